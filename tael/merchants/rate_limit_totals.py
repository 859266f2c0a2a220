"""Counts what the limits did, for the metrics: in the process first, and within a second in the database.

Processes share one port, and a scrape reaches any of them, so the figures are those of the database. While it is
unavailable, a process keeps its counts and tries again.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextvars import Context
from typing import Final

from tael.db.database import StoreUnavailable
from tael.db.outages import log_unavailable
from tael.merchants.domain.rate_limits import Limit
from tael.merchants.store.rate_limits import RateLimitRows

WRITE_INTERVAL_S: Final = 1.0
#: Requests that were admitted without being counted, because the database was unavailable.
UNCHECKED: Final = "unchecked"
#: Calls that were refused because their process had no place for them.
SHED: Final = "shed"


class RateLimitTotals:
    """Requests that were refused, by limit or in an overload, and requests that were admitted uncounted."""

    def __init__(self, rows: RateLimitRows) -> None:
        self._rows = rows
        self._pending: Counter[str] = Counter()
        self._writer: asyncio.Task[None] | None = None

    def count_refused(self, limit: Limit) -> None:
        self._count(limit.value)

    def count_unchecked(self) -> None:
        self._count(UNCHECKED)

    def count_shed(self) -> None:
        self._count(SHED)

    async def read(self) -> Mapping[str, int]:
        """The totals of all processes, with this one's latest. Raises StoreUnavailable."""
        await self._write()
        return await self._rows.totals()

    def _count(self, result: str) -> None:
        self._pending[result] += 1
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_soon(), context=Context())

    async def _write_soon(self) -> None:
        try:
            while self._pending:
                await asyncio.sleep(WRITE_INTERVAL_S)
                try:
                    await self._write()
                except StoreUnavailable as error:
                    log_unavailable(error, part="rate_limit_totals")
        finally:
            self._writer = None

    async def _write(self) -> None:
        counts, self._pending = self._pending, Counter()
        if not counts:
            return
        try:
            await self._rows.add_totals(counts)
        except BaseException:
            self._pending.update(counts)
            raise
