"""Group commit: many callers' rows in one statement. While one batch commits, the next one fills.

A batch is sent as soon as the one before it is committed, with the rows that have come meanwhile, and before the
callers of the one before go on: the database works while they do. Each caller still waits for the commit of its own
row, so durability is unchanged. A batch that fails is replayed row by row, so one bad row never fails others. A batch
with a locked row is replayed concurrently with later batches, and only the locked rows wait for their lock.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Final, Generic, TypeVar

import asyncpg

from tael.base.metrics import BATCH_ROWS, BATCHES, timer_s
from tael.base.tracing import SpanKind, span
from tael.db.database import Limits, RowLocked, StoreUnavailable, result_within, without_lock_waits

Row = TypeVar("Row")
Result = TypeVar("Result")
Pending = list[tuple[Row, asyncio.Future[Result]]]

MAX_ROWS: Final = 256
#: OpenTelemetry's attribute of a call to a database.
POSTGRESQL: Final = {"db.system.name": "postgresql"}
MAX_TRIES: Final = 3
#: Each waiting row holds a connection.
MAX_LOCK_WAITS: Final = 1
RETRYABLE: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class Batch(Generic[Row, Result]):
    """Calls `write` with the rows collected so far; `write` returns one result per row, in order.

    `name` is that of its metrics.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[Row]], Awaitable[Sequence[Result]]],
        max_wait_s: float = Limits().call_s,
    ) -> None:
        BATCHES.initialize(name)
        self._name = name
        self._write = write
        self._max_wait_s = max_wait_s
        self._pending: Pending[Row, Result] = []
        self._runner: asyncio.Task[None] | None = None
        self._replays: set[asyncio.Task[None]] = set()
        self._lock_waits = asyncio.Semaphore(MAX_LOCK_WAITS)

    async def __call__(self, row: Row, step: str = "") -> Result:
        """The result for `row`, once its batch is committed. Raises StoreUnavailable.

        `step` is the name of the span, if it is not the batch's.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._pending.append((row, future))
        if self._runner is None:
            # In a context of its own: it also writes other callers' rows, and is not part of this caller's budget.
            self._runner = asyncio.create_task(self._run(), context=Context())
        with span(step or self._name, SpanKind.CLIENT, POSTGRESQL):
            return await result_within(future, self._max_wait_s)

    async def _run(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending[:MAX_ROWS], self._pending[MAX_ROWS:]
                await self._write_batch(_without_timed_out(batch))
        finally:
            self._runner = None

    async def _write_batch(self, batch: Pending[Row, Result]) -> None:
        """Write `batch`; if rows are locked, replay it in a task of its own."""
        try:
            with without_lock_waits():
                await self._write_rows(batch)
        except RowLocked:
            replay = asyncio.create_task(self._replay(batch))
            self._replays.add(replay)
            replay.add_done_callback(self._replays.discard)

    async def _replay(self, batch: Pending[Row, Result]) -> None:
        """Row by row without waiting; then the locked rows, each waiting for its lock."""
        locked = batch
        if len(batch) > 1:
            locked = [item for item in batch if await self._is_locked(item)]
        for item in locked:
            async with self._lock_waits:
                single = _without_timed_out([item])
                try:
                    await self._write_rows(single)
                except RowLocked as error:
                    _fail(single, error)

    async def _is_locked(self, item: tuple[Row, "asyncio.Future[Result]"]) -> bool:
        try:
            with without_lock_waits():
                await self._write_rows(_without_timed_out([item]))
        except RowLocked:
            return True
        return False

    async def _write_rows(self, batch: Pending[Row, Result]) -> None:
        """Write `batch` and give every caller its result or error. Raises RowLocked, having written nothing."""
        if not batch:
            return
        try:
            results = await self._write_with_retries([row for row, _ in batch])
        except RowLocked:
            raise
        except StoreUnavailable as error:
            _fail(batch, error)
        except Exception as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            for item in batch:
                await self._write_batch([item])
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

    async def _write_with_retries(self, rows: list[Row]) -> Sequence[Result]:
        for tries in range(1, MAX_TRIES + 1):
            began_s = timer_s()
            try:
                return await self._write(rows)
            except RETRYABLE:
                if tries == MAX_TRIES:
                    raise
            finally:
                BATCHES.observe_since(began_s, self._name)
                BATCH_ROWS.observe(len(rows), self._name)
        raise AssertionError("unreachable")


class KeyedBatches(Generic[Row, Result]):
    """A batch for each key, so that the slow rows of one delay no other's. At most `max_at_once` are written at a time.

    The rows of unkeyed batches are not delayed either, if that is less than BATCH_CONNECTIONS.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[Row]], Awaitable[Sequence[Result]]],
        max_wait_s: float,
        max_at_once: int,
    ) -> None:
        self._name = name
        self._write = write
        self._max_wait_s = max_wait_s
        self._places = asyncio.Semaphore(max_at_once)
        self._batches: dict[str, Batch[Row, Result]] = {}
        self._callers: Counter[str] = Counter()

    async def __call__(self, key: str, row: Row) -> Result:
        """As a batch's. Raises StoreUnavailable."""
        batch = self._batches.setdefault(key, Batch(self._name, self._write_in_turn, self._max_wait_s))
        self._callers[key] += 1
        try:
            return await batch(row)
        finally:
            self._callers[key] -= 1
            if not self._callers[key]:
                del self._callers[key], self._batches[key]

    async def _write_in_turn(self, rows: Sequence[Row]) -> Sequence[Result]:
        async with self._places:
            return await self._write(rows)


def _without_timed_out(batch: Pending[Row, Result]) -> Pending[Row, Result]:
    """Without the rows whose callers have timed out: a write for which no caller waits is not started."""
    return [item for item in batch if not item[1].done()]


def _fail(batch: Pending[Row, Result], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
