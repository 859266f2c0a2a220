"""The loop of every job: claim due rows, process them concurrently, sleep when there are none, survive errors.

A finished row frees its slot at once, so a hanging row delays only itself. Whether a row is due depends on the
gateway's clock; leases use real time. A worker extends the leases of its rows, and a dead process's rows become free
when their leases end, whatever the demo's clock does.

One statement finds the queues with due rows, so an idle worker costs a few statements per second whatever the number of
its jobs. It runs again when a row is finished, which may have made another row due, and less often while idle: the more
cells a worker has, the longer an idle one may rest.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

import structlog

from tael.base.clock import Clock
from tael.base.metrics import JOB_ROWS, JOB_ROWS_CLAIMED, timer_s
from tael.base.tracing import span
from tael.db.database import StoreUnavailable
from tael.db.outages import log_unavailable

log = structlog.get_logger()

Row = TypeVar("Row")

#: How soon another worker may claim a dead worker's rows.
LEASE: Final = timedelta(seconds=15)
#: Two renewals may fail before a lease ends.
RENEW_S: Final = 5.0
#: The pause between two such statements while there is work. Each one that finds nothing makes the next pause longer.
IDLE_S: Final = 0.1
IDLE_GROWTH: Final = 1.1
#: Work that another process made due starts at most this much later, for each cell of the worker, and at most
MAX_IDLE_S: Final = 0.25
#: this much.
MAX_IDLE_OF_CELLS_S: Final = 1.0
#: The minimum pause, however many rows are finished.
MIN_PAUSE_S: Final = 0.02
#: The pause is at least this many times as long as the statement or an empty claim took: with many accounts these are
#: slow, and must not load the database.
SLEEP_PER_CLAIM: Final = 10
STORE_DOWN_S: Final = 1.0
DEFAULT_SLOTS: Final = 50


class RowResult(StrEnum):
    """What became of a row, for metrics."""

    DONE = "done"
    FAILED = "failed"  #: a fault of ours
    UNAVAILABLE = "unavailable"  #: the database


@dataclass(frozen=True, slots=True)
class Job(Generic[Row]):
    """One kind of due row: `claim(now, real_now, lease_until, limit)` claims some, `do` processes one.

    `renew(rows, held, until)` extends the leases that end at `held`, and returns for each whether it did. Without it,
    processing a row must take less time than a lease. `queue` is its name in `FindDueQueues`.
    """

    name: str
    claim: Callable[[datetime, datetime, datetime, int], Awaitable[Sequence[Row]]]
    do: Callable[[Row], Awaitable[object]]
    renew: Callable[[Sequence[Row], Sequence[datetime], datetime], Awaitable[Sequence[bool]]] | None = None
    slots: int = DEFAULT_SLOTS
    queue: str = ""


#: Which queues have due rows, by the gateway's clock and in real time. Raises StoreUnavailable.
FindDueQueues = Callable[[datetime, datetime], Awaitable[Collection[str]]]


async def run_for_ever(
    jobs: Sequence[Job[Any]],
    clock: Clock,
    stop: asyncio.Event,
    find_due: FindDueQueues | None = None,
    cells: Callable[[], int] = lambda: 1,
) -> None:
    """Run all jobs until `stop` is set; rows in progress are finished. Without `find_due` all jobs claim each time.

    `cells` is the number of cells in which this process runs jobs.
    """
    _initialize_metrics(jobs)
    done = asyncio.Event()
    workers = [Worker(job, clock, done) for job in jobs]
    dispatcher = asyncio.create_task(_dispatch(workers, clock, find_due, done, cells))
    try:
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(_run(worker, stop))
    finally:
        dispatcher.cancel()


def _initialize_metrics(jobs: Sequence[Job[Any]]) -> None:
    """So that the first failure of a job is an increase."""
    for job in jobs:
        JOB_ROWS_CLAIMED.initialize(job.name)
        for result in RowResult:
            JOB_ROWS.initialize(job.name, result)


async def run_once(job: Job[Row], clock: Clock) -> int:
    """Process what is due now; returns the number of rows. Raises StoreUnavailable."""
    worker = Worker(job, clock, asyncio.Event())
    taken = await worker.take()
    await worker.finish()
    return taken


@dataclass(slots=True)
class _Held(Generic[Row]):
    """A row in progress, and when its lease ends."""

    row: Row
    until: datetime


class Worker(Generic[Row]):
    """One job in one process: its rows in progress and its free slots."""

    def __init__(self, job: Job[Row], clock: Clock, done: asyncio.Event) -> None:
        self.job = job
        self.wake = asyncio.Event()  #: set when a slot becomes free or a row is due, or to stop
        self.sleeps_until = 0.0  #: in the event loop's time; not woken for due rows before
        self._done = done  #: shared by all workers: a row was finished
        self._clock = clock
        self._in_progress: dict[asyncio.Task[None], _Held[Row]] = {}

    @property
    def is_working(self) -> bool:
        return bool(self._in_progress)

    async def take(self) -> int:
        """Claim due rows up to the free slots and start them; returns their number. Raises StoreUnavailable."""
        self.wake.clear()
        free_slots = self.job.slots - len(self._in_progress)
        if free_slots <= 0:
            return 0
        real_now = datetime.now(UTC)
        until = real_now + LEASE
        rows = await self.job.claim(self._clock.now(), real_now, until, free_slots)
        JOB_ROWS_CLAIMED.count(self.job.name, number=len(rows))
        for row in rows:
            task = asyncio.create_task(self._do(row))
            self._in_progress[task] = _Held(row, until)
            task.add_done_callback(self._free)
        return len(rows)

    async def renew(self) -> None:
        """Extend the leases of the rows in progress. Raises StoreUnavailable."""
        held = list(self._in_progress.values())
        if not held or self.job.renew is None:
            return
        until = datetime.now(UTC) + LEASE
        extended = await self.job.renew([lease.row for lease in held], [lease.until for lease in held], until)
        for lease, is_extended in zip(held, extended, strict=True):
            if is_extended:
                lease.until = until

    async def finish(self) -> None:
        """Wait for the rows in progress."""
        while self._in_progress:
            await asyncio.wait(self._in_progress)

    def abandon(self) -> None:
        """Cancel the rows in progress; another worker may claim them when their leases end."""
        for task in self._in_progress:
            task.cancel()

    async def _do(self, row: Row) -> None:
        """Process one row, within a span."""
        began_s = timer_s()
        with span(self.job.name):
            result = await self._result_of(row)
        JOB_ROWS.observe_since(began_s, self.job.name, result)

    async def _result_of(self, row: Row) -> RowResult:
        """Process one row. After an error, which is logged, its lease ends and it is tried again."""
        try:
            await self.job.do(row)
        except StoreUnavailable as error:
            log_unavailable(error, job=self.job.name)
            return RowResult.UNAVAILABLE
        except Exception:
            log.exception("job.row_failed", job=self.job.name)
            return RowResult.FAILED
        return RowResult.DONE

    def _free(self, task: asyncio.Task[None]) -> None:
        del self._in_progress[task]
        self.wake.set()
        self._done.set()


async def _run(worker: Worker[Row], stop: asyncio.Event) -> None:
    helpers = [asyncio.create_task(_renew_for_ever(worker)), asyncio.create_task(_wake_on(stop, worker.wake))]
    loop = asyncio.get_running_loop()
    try:
        while not stop.is_set():
            began = loop.time()
            if not await _take_some(worker, stop):
                worker.sleeps_until = loop.time() + SLEEP_PER_CLAIM * (loop.time() - began)
                await worker.wake.wait()
        await worker.finish()
    finally:
        worker.abandon()
        for helper in helpers:
            helper.cancel()


async def _dispatch(
    workers: Sequence[Worker[Any]],
    clock: Clock,
    find_due: FindDueQueues | None,
    done: asyncio.Event,
    cells: Callable[[], int],
) -> None:
    """Wake each worker whose queue has due rows."""
    loop = asyncio.get_running_loop()
    pause_s = IDLE_S
    while True:
        done.clear()
        began = loop.time()
        due = (
            {worker.job.queue for worker in workers}
            if find_due is None
            else await _due_queues(find_due, clock)
        )
        for worker in workers:
            if worker.job.queue in due and loop.time() >= worker.sleeps_until:
                worker.wake.set()
        is_busy = bool(due) or any(worker.is_working for worker in workers)
        pause_s = next_pause_s(pause_s, is_busy=is_busy, cells=cells())
        at_least_s = max(MIN_PAUSE_S, SLEEP_PER_CLAIM * (loop.time() - began))
        await asyncio.sleep(at_least_s)
        await _wait(done, pause_s - at_least_s)


def next_pause_s(pause_s: float, *, is_busy: bool, cells: int = 1) -> float:
    """The pause after one of `pause_s`."""
    max_idle_s = min(MAX_IDLE_S * cells, MAX_IDLE_OF_CELLS_S)
    return IDLE_S if is_busy else min(max_idle_s, pause_s * IDLE_GROWTH)


async def _due_queues(find_due: FindDueQueues, clock: Clock) -> Collection[str]:
    """The queues with due rows; none, after a pause, if the store is down."""
    try:
        return await find_due(clock.now(), datetime.now(UTC))
    except StoreUnavailable as error:
        log_unavailable(error, job="due_queues")
    except Exception:
        log.exception("job.failed", job="due_queues")
    await asyncio.sleep(STORE_DOWN_S)
    return ()


async def _take_some(worker: Worker[Row], stop: asyncio.Event) -> bool:
    """Whether any row was due. After an error, log it and pause."""
    try:
        return bool(await worker.take())
    except StoreUnavailable as error:
        log_unavailable(error, job=worker.job.name)
    except Exception:
        log.exception("job.failed", job=worker.job.name)
    await _wait(stop, STORE_DOWN_S)
    return False


async def _renew_for_ever(worker: Worker[Row]) -> None:
    while True:
        await asyncio.sleep(RENEW_S)
        try:
            await worker.renew()
        except StoreUnavailable as error:
            log_unavailable(error, job=worker.job.name)
        except Exception:
            log.exception("job.failed", job=worker.job.name)


async def _wake_on(stop: asyncio.Event, wake: asyncio.Event) -> None:
    """Wake the worker when it has to stop."""
    await stop.wait()
    wake.set()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
