"""The loop of every job: claim due rows, do them side by side, rest when there are none, never die of an error.

A row that is done frees its place at once, so one that hangs delays nothing but itself. Whether a row is due is told by
the gateway's clock, leases by real time: a worker extends those of the rows it works on, and a process that dies gives
its rows back when they end, whatever the demo's clock does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeVar

import structlog

from tael.base.clock import Clock
from tael.db.database import StoreUnavailable
from tael.db.outages import log_unavailable

log = structlog.get_logger()

Row = TypeVar("Row")

#: How soon a dead worker's rows are given to another.
LEASE: Final = timedelta(seconds=15)
#: Two renewals may fail before a lease ends.
RENEW_S: Final = 5.0
IDLE_S: Final = 0.1
#: A claim that finds nothing rests this many times as long as it took: many accounts make it long, not the load heavy.
RESTS_PER_CLAIM: Final = 10
STORE_GONE_S: Final = 1.0
MAX_AT_ONCE: Final = 50


@dataclass(frozen=True, slots=True)
class Job(Generic[Row]):
    """One kind of due row: `claim(now, real_now, lease_until, limit)` takes some, `do` works on one.

    `renew(rows, held, until)` extends the leases that are to end at `held`, and says of each whether it did;
    without it a row must take less time than a lease.
    """

    name: str
    claim: Callable[[datetime, datetime, datetime, int], Awaitable[Sequence[Row]]]
    do: Callable[[Row], Awaitable[object]]
    renew: Callable[[Sequence[Row], Sequence[datetime], datetime], Awaitable[Sequence[bool]]] | None = None
    places: int = MAX_AT_ONCE


async def run_for_ever(jobs: Sequence[Job[Any]], clock: Clock, stop: asyncio.Event) -> None:
    """Run all jobs until `stop` is set; what has begun is finished."""
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(_run(Worker(job, clock), stop))


async def run_once(job: Job[Row], clock: Clock) -> int:
    """Claim and do what is due now; how many rows it was. Raises StoreUnavailable."""
    worker = Worker(job, clock)
    taken = await worker.take()
    await worker.finish()
    return taken


@dataclass(slots=True)
class _Held(Generic[Row]):
    """A row that is worked on, and when its lease ends."""

    row: Row
    until: datetime


class Worker(Generic[Row]):
    """One job in one process: its rows under way and the places that are left."""

    def __init__(self, job: Job[Row], clock: Clock) -> None:
        self.job = job
        self.news = asyncio.Event()  #: a place was freed
        self._clock = clock
        self._working: dict[asyncio.Task[None], _Held[Row]] = {}

    async def take(self) -> int:
        """Claim what is due, as far as there are places, and begin it; how many rows. Raises StoreUnavailable."""
        self.news.clear()
        places = self.job.places - len(self._working)
        if places <= 0:
            return 0
        real_now = datetime.now(UTC)
        until = real_now + LEASE
        rows = await self.job.claim(self._clock.now(), real_now, until, places)
        for row in rows:
            task = asyncio.create_task(self._do(row))
            self._working[task] = _Held(row, until)
            task.add_done_callback(self._free)
        return len(rows)

    async def renew(self) -> None:
        """Extend the leases of what is under way. Raises StoreUnavailable."""
        held = list(self._working.values())
        if not held or self.job.renew is None:
            return
        until = datetime.now(UTC) + LEASE
        extended = await self.job.renew([one.row for one in held], [one.until for one in held], until)
        for one, is_extended in zip(held, extended, strict=True):
            if is_extended:
                one.until = until

    async def finish(self) -> None:
        """Wait for what has begun."""
        while self._working:
            await asyncio.wait(self._working)

    def abandon(self) -> None:
        """Leave what has begun to whoever gets its lease next."""
        for task in self._working:
            task.cancel()

    async def _do(self, row: Row) -> None:
        """One row; whatever goes wrong, its lease ends and it is tried again."""
        try:
            await self.job.do(row)
        except StoreUnavailable as error:
            log_unavailable(error, job=self.job.name)
        except Exception:
            log.exception("job.row_failed", job=self.job.name)

    def _free(self, task: asyncio.Task[None]) -> None:
        del self._working[task]
        self.news.set()


async def _run(worker: Worker[Row], stop: asyncio.Event) -> None:
    helpers = [asyncio.create_task(_renew_for_ever(worker)), asyncio.create_task(_tell(stop, worker.news))]
    loop = asyncio.get_running_loop()
    try:
        while not stop.is_set():
            began = loop.time()
            if not await _begin_some(worker, stop):
                await _wait(worker.news, max(IDLE_S, RESTS_PER_CLAIM * (loop.time() - began)))
        await worker.finish()
    finally:
        worker.abandon()
        for helper in helpers:
            helper.cancel()


async def _begin_some(worker: Worker[Row], stop: asyncio.Event) -> bool:
    """Whether there was something to do; an error is logged and followed by a rest."""
    try:
        return bool(await worker.take())
    except StoreUnavailable as error:
        log_unavailable(error, job=worker.job.name)
    except Exception:
        log.exception("job.failed", job=worker.job.name)
    await _wait(stop, STORE_GONE_S)
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


async def _tell(stop: asyncio.Event, news: asyncio.Event) -> None:
    """An end is news too."""
    await stop.wait()
    news.set()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
