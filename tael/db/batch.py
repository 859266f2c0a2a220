"""Many callers' rows in one statement: while one batch commits, the next gathers.

No timer and no delay when idle, and each caller still waits for the commit of its own row, so durability is the same.
A batch that fails for a reason of its own is replayed row by row: one bad row never fails its neighbours. A batch that
meets a locked row is replayed beside the batches that follow, and only the rows that are locked wait for their lock.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Final, Generic, TypeVar

import asyncpg

from tael.db.database import Limits, RowLocked, StoreUnavailable, within, without_lock_waits

Row = TypeVar("Row")
Result = TypeVar("Result")
Waiting = list[tuple[Row, asyncio.Future[Result]]]

MAX_ROWS: Final = 256
MAX_TRIES: Final = 3
#: Each holds a connection for as long as it waits.
MAX_LOCK_WAITS: Final = 1
TRY_AGAIN: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class Batch(Generic[Row, Result]):
    """Calls `write` with whatever rows have gathered; `write` gives one result per row, in order."""

    def __init__(
        self,
        write: Callable[[Sequence[Row]], Awaitable[Sequence[Result]]],
        max_wait_s: float = Limits().call_s,
    ) -> None:
        self._write = write
        self._max_wait_s = max_wait_s
        self._waiting: Waiting[Row, Result] = []
        self._runner: asyncio.Task[None] | None = None
        self._replays: set[asyncio.Task[None]] = set()
        self._lock_waits = asyncio.Semaphore(MAX_LOCK_WAITS)

    async def __call__(self, row: Row) -> Result:
        """The result for `row`, once its batch is committed. Raises StoreUnavailable."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, future))
        if self._runner is None:
            # With a context of its own: it works for others too, and not within this caller's budget.
            self._runner = asyncio.create_task(self._run(), context=Context())
        async with within(self._max_wait_s):
            return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[:MAX_ROWS], self._waiting[MAX_ROWS:]
                await self._write_batch(_wanted(taken))
        finally:
            self._runner = None

    async def _write_batch(self, taken: Waiting[Row, Result]) -> None:
        """Write `taken`; rows that are locked are left to a task of their own."""
        try:
            with without_lock_waits():
                await self._write_rows(taken)
        except RowLocked:
            replay = asyncio.create_task(self._replay(taken))
            self._replays.add(replay)
            replay.add_done_callback(self._replays.discard)

    async def _replay(self, taken: Waiting[Row, Result]) -> None:
        """Row by row, without waiting; then those that were locked, each waiting for its lock."""
        locked = taken
        if len(taken) > 1:
            locked = [one for one in taken if await self._is_locked(one)]
        for one in locked:
            async with self._lock_waits:
                wanted = _wanted([one])
                try:
                    await self._write_rows(wanted)
                except RowLocked as error:
                    _fail(wanted, error)

    async def _is_locked(self, one: tuple[Row, "asyncio.Future[Result]"]) -> bool:
        try:
            with without_lock_waits():
                await self._write_rows(_wanted([one]))
        except RowLocked:
            return True
        return False

    async def _write_rows(self, taken: Waiting[Row, Result]) -> None:
        """Write `taken` and give every caller its result or error. Raises RowLocked, having written nothing of it."""
        if not taken:
            return
        try:
            results = await self._write_persistently([row for row, _ in taken])
        except RowLocked:
            raise
        except StoreUnavailable as error:
            _fail(taken, error)
        except Exception as error:
            if len(taken) == 1:
                _fail(taken, error)
                return
            for one in taken:
                await self._write_batch([one])
        else:
            for (_, future), result in zip(taken, results, strict=True):
                if not future.done():
                    future.set_result(result)

    async def _write_persistently(self, rows: list[Row]) -> Sequence[Result]:
        for tries in range(1, MAX_TRIES + 1):
            try:
                return await self._write(rows)
            except TRY_AGAIN:
                if tries == MAX_TRIES:
                    raise
        raise AssertionError("unreachable")


def _wanted(taken: Waiting[Row, Result]) -> Waiting[Row, Result]:
    """Without the rows whose callers have given up: what they were not told of is not begun."""
    return [one for one in taken if not one[1].done()]


def _fail(taken: Waiting[Row, Result], error: Exception) -> None:
    for _, future in taken:
        if not future.done():
            future.set_exception(error)
