"""The loop of every job: a finished row frees its place at once, and rows in progress keep their lease."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from tael.db.database import StoreUnavailable
from tael.jobs import runner
from tael.jobs.runner import LEASE, Job, Worker, run_for_ever, run_once
from tests.support.alipay import TestClock
from tests.support.metrics import growth
from tests.support.values import NOW

PATIENCE_S = 10.0


@dataclass
class Queue:
    """Due rows in memory: those named `hang…` block until they are released."""

    rows: list[str]
    places: int = 2
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    all_done: asyncio.Event = field(default_factory=asyncio.Event)
    done: list[str] = field(default_factory=list)
    asked_for: list[int] = field(default_factory=list)
    renewed: list[tuple[list[str], list[datetime], datetime]] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    fails: list[Exception] = field(default_factory=list)

    def job(self) -> Job[str]:
        return Job("test", self.claim, self.do, self.renew, self.places)

    async def claim(self, now: datetime, real_now: datetime, lease_until: datetime, limit: int) -> list[str]:
        if self.fails:
            raise self.fails.pop()
        self.asked_for.append(limit)
        taken, self.rows = self.rows[:limit], self.rows[limit:]
        return taken

    async def do(self, row: str) -> None:
        if row.startswith("hang"):
            await self.let_go.wait()
        if row.startswith("bad"):
            raise ValueError(row)
        self.done.append(row)
        if not self.rows:
            self.all_done.set()

    async def renew(self, rows: Sequence[str], held: Sequence[datetime], until: datetime) -> list[bool]:
        self.renewed.append((list(rows), list(held), until))
        return [row not in self.lost for row in rows]


async def test_a_row_that_hangs_keeps_its_own_place_only() -> None:
    queue = Queue(["hang", *map(str, range(20))])
    stop = asyncio.Event()
    running = asyncio.create_task(run_for_ever([queue.job()], TestClock(NOW), stop))
    await asyncio.wait_for(queue.all_done.wait(), PATIENCE_S)
    assert queue.done == [str(n) for n in range(20)]
    assert max(queue.asked_for) == queue.places
    stop.set()
    queue.let_go.set()
    await asyncio.wait_for(running, PATIENCE_S)
    assert queue.done[-1] == "hang"  # started rows are finished


async def test_no_more_rows_are_claimed_than_there_are_places() -> None:
    queue = Queue(["hang 1", "hang 2", "hang 3"])
    worker = Worker(queue.job(), TestClock(NOW), asyncio.Event())
    assert [await worker.take(), await worker.take()] == [2, 0]
    queue.let_go.set()
    await worker.finish()
    assert await worker.take() == 1
    await worker.finish()
    assert len(queue.done) == 3


async def test_a_row_that_fails_frees_its_place_and_stops_no_other() -> None:
    queue = Queue(["bad 1", "bad 2", "good"])
    assert [await run_once(queue.job(), TestClock(NOW)) for _ in range(3)] == [2, 1, 0]
    assert queue.done == ["good"]


async def test_a_loop_whose_store_is_gone_ends_on_request() -> None:
    queue = Queue([], fails=[StoreUnavailable("gone"), ValueError("worse")])
    stop = asyncio.Event()
    stop.set()
    await asyncio.wait_for(run_for_ever([queue.job()], TestClock(NOW), stop), PATIENCE_S)


async def test_leases_of_rows_in_progress_are_extended_from_their_end() -> None:
    queue = Queue(["hang 1", "hang 2"])
    worker = Worker(queue.job(), TestClock(NOW), asyncio.Event())
    before = datetime.now(UTC)
    await worker.take()
    queue.lost = {"hang 2"}
    await worker.renew()
    await worker.renew()
    (rows, first, until), (_, second, _) = queue.renewed
    assert rows == ["hang 1", "hang 2"]
    assert all(before + LEASE <= held <= before + LEASE + timedelta(seconds=PATIENCE_S) for held in first)
    assert until >= max(first)
    assert second == [until, first[1]]  # a lost row is no longer held
    queue.let_go.set()
    await worker.finish()
    await worker.renew()
    assert len(queue.renewed) == 2


@dataclass
class StubDueQueues:
    """Finds the queues in `due`. `seen` is set at the `count`th call."""

    due: set[str]
    count: int
    calls: int = 0
    seen: asyncio.Event = field(default_factory=asyncio.Event)

    async def find(self, now: datetime, real_now: datetime) -> set[str]:
        self.calls += 1
        if self.calls == self.count:
            self.seen.set()
        return self.due


async def running_until(jobs: Sequence[Job[str]], stub: StubDueQueues, event: asyncio.Event) -> None:
    """The loop, ended after `event`."""
    stop = asyncio.Event()
    running = asyncio.create_task(run_for_ever(jobs, TestClock(NOW), stop, stub.find))
    await asyncio.wait_for(event.wait(), PATIENCE_S)
    stop.set()
    await asyncio.wait_for(running, PATIENCE_S)


async def test_a_job_whose_queue_is_empty_claims_at_the_start_only() -> None:
    idle, busy = Queue([]), Queue([])
    stub = StubDueQueues({"busy"}, count=4)
    jobs = [replace(idle.job(), queue="idle"), replace(busy.job(), queue="busy")]
    await running_until(jobs, stub, stub.seen)
    assert idle.asked_for == [idle.places]
    assert len(busy.asked_for) > 1


async def test_a_row_that_was_done_is_followed_by_another_statement_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have made a row of another queue due; an idle worker would wait longer than the test."""
    monkeypatch.setattr(runner, "IDLE_S", 10 * PATIENCE_S)
    monkeypatch.setattr(runner, "MAX_IDLE_S", 10 * PATIENCE_S)
    queue = Queue(["row"])
    stub = StubDueQueues(set(), count=2)
    await running_until([replace(queue.job(), queue="rows")], stub, stub.seen)
    assert queue.done == ["row"]


async def test_a_failed_statement_is_followed_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "STORE_DOWN_S", 0.0)
    stub = StubDueQueues({"rows"}, count=2)
    fails: list[Exception] = [ValueError("worse"), StoreUnavailable("gone")]

    async def find(now: datetime, real_now: datetime) -> set[str]:
        if fails:
            raise fails.pop()
        return await stub.find(now, real_now)

    queue, stop = Queue([]), asyncio.Event()
    jobs = [replace(queue.job(), queue="rows")]
    running = asyncio.create_task(run_for_ever(jobs, TestClock(NOW), stop, find))
    await asyncio.wait_for(stub.seen.wait(), PATIENCE_S)
    stop.set()
    await asyncio.wait_for(running, PATIENCE_S)
    assert len(queue.asked_for) > 1


def test_an_idle_worker_calls_less_and_less_often_down_to_a_bound() -> None:
    rests = [runner.IDLE_S]
    for _ in range(100):
        rests.append(runner.next_pause_s(rests[-1], is_busy=False))
    assert rests == sorted(rests)
    assert rests[-1] == runner.MAX_IDLE_S
    for cells, max_idle_s in ((2, 0.5), (4, 1.0), (16, 1.0)):
        assert runner.next_pause_s(10.0, is_busy=False, cells=cells) == max_idle_s
    assert runner.next_pause_s(rests[-1], is_busy=True) == runner.IDLE_S


async def test_rows_are_counted_as_claimed_done_and_failed() -> None:
    claimed = growth("tael_job_rows_claimed_total", job_name="test")
    results = {
        result: growth("tael_job_row_duration_seconds_count", job_name="test", result=result)
        for result in ("done", "failed", "unavailable")
    }
    assert await run_once(Queue(["1", "2", "bad"], places=3).job(), TestClock(NOW)) == 3
    assert claimed() == 3
    assert {result: counted() for result, counted in results.items()} == {
        "done": 2,
        "failed": 1,
        "unavailable": 0,
    }


async def test_a_row_that_met_an_unavailable_database_has_not_failed() -> None:
    async def do(row: str) -> None:
        raise StoreUnavailable("TimeoutError")

    results = {
        result: growth("tael_job_row_duration_seconds_count", job_name="test", result=result)
        for result in ("done", "failed", "unavailable")
    }
    await run_once(replace(Queue(["1"]).job(), do=do), TestClock(NOW))
    assert {result: counted() for result, counted in results.items()} == {
        "done": 0,
        "failed": 0,
        "unavailable": 1,
    }
