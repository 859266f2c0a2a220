"""Sequence numbers for syssn, allocated from the database in blocks, with random steps that hide the volume.

The rest of a process's block is lost when it ends: there are plenty of numbers, and none is ever used twice.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

from tael.base import ids, serial
from tael.db.database import Database, within

BLOCK: Final = 8_000
MAX_STEP: Final = 15  #: uniform from 1, so a step is 8 on average

TAKE_BLOCK: Final = """
INSERT INTO serial AS s (node, next_sequence) VALUES ($1, $2)
ON CONFLICT (node) DO UPDATE SET next_sequence = (s.next_sequence + $2) % $3
RETURNING (next_sequence - $2 + $3) % $3 AS first
"""


class Serials:
    """Numbers of `cell` for one process of `node`.

    Raises StoreUnavailable if a new block is needed and cannot be allocated.
    `step_of` draws each step from 1 to the number it is given.
    """

    def __init__(
        self,
        database: Database,
        node: int,
        step_of: Callable[[int], int] = ids.small_step,
        *,
        cell: int = 0,
    ) -> None:
        self._database = database
        self._node = node
        self._cell = cell
        self._step_of = step_of
        self._next = self._end = 0
        self._taking = asyncio.Lock()

    async def syssn(self, at: datetime) -> str:
        """A new unique number, dated `at`."""
        step = self._step_of(MAX_STEP)
        if self._next + step >= self._end:
            async with within(self._database.limits.call_s), self._taking:
                if self._next + step >= self._end:  # no other caller was faster
                    await self._take_block()
        self._next += step
        return serial.syssn(at, self._node, self._next, self._cell)

    async def _take_block(self) -> None:
        rows = await self._database.fetch(TAKE_BLOCK, self._node, BLOCK, serial.SEQUENCES)
        self._next = int(rows[0]["first"])
        self._end = self._next + BLOCK
