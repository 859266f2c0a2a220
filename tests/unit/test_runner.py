"""The loop of every job: a finished row frees its place at once, and rows in progress keep their lease."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tael.db.database import StoreUnavailable
from tael.jobs.runner import LEASE, Job, Worker, run_for_ever, run_once
from tests.support.alipay import TestClock
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
    worker = Worker(queue.job(), TestClock(NOW))
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
    worker = Worker(queue.job(), TestClock(NOW))
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
