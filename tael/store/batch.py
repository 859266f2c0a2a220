"""Many callers' rows in one statement: while one batch commits, the next gathers.

No timer and no delay when idle, and each caller still waits for the commit of its own row, so durability is the same.
A batch that fails for a reason of its own is replayed row by row: one bad row never fails its neighbours.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

import asyncpg

from tael.store.database import StoreUnavailable

Row = TypeVar("Row")
Result = TypeVar("Result")

MOST_ROWS: Final = 256
MOST_TRIES: Final = 3
TRY_AGAIN: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class Batch(Generic[Row, Result]):
    """Calls `write` with whatever rows have gathered; `write` gives one result per row, in order."""

    def __init__(self, write: Callable[[Sequence[Row]], Awaitable[Sequence[Result]]]) -> None:
        self._write = write
        self._waiting: list[tuple[Row, asyncio.Future[Result]]] = []
        self._runner: asyncio.Task[None] | None = None

    async def __call__(self, row: Row) -> Result:
        """The result for `row`, once its batch is committed."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, future))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[:MOST_ROWS], self._waiting[MOST_ROWS:]
                await self._write_batch(taken)
        finally:
            self._runner = None

    async def _write_batch(self, taken: list[tuple[Row, "asyncio.Future[Result]"]]) -> None:
        try:
            results = await self._write_persistently([row for row, _ in taken])
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
        for tries in range(1, MOST_TRIES + 1):
            try:
                return await self._write(rows)
            except TRY_AGAIN:
                if tries == MOST_TRIES:
                    raise
        raise AssertionError("unreachable")


def _fail(taken: list[tuple[Row, "asyncio.Future[Result]"]], error: Exception) -> None:
    for _, future in taken:
        if not future.done():
            future.set_exception(error)
