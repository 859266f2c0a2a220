"""The tables `ledger_digest` and `daily_close`: merchants with days to close, the lines of a day, and the digest chain.

A day is closed before it is read. From then on no entry is written into it (`ledger/store/entries.py`); transactions
that began earlier are waited for with their transaction ids, so no lock is needed.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from tael.db.database import Database
from tael.db.due_queue import DueQueue
from tael.db.tables import Home, Table, write_rows
from tael.ledger.domain.digest import NO_DIGEST, LedgerDigest, Line
from tael.ledger.store.entries import LINE

if TYPE_CHECKING:
    import asyncpg

    from tael.db.database import Connection

PAGE: Final = 2_000
RECHECK_S: Final = 0.02
#: Longer than any statement of ours may take.
MAX_RECHECKS: Final = 1_500

CLOSE: Final = "UPDATE daily_close SET closed_until = greatest(closed_until, $2) WHERE mchid = $1"
#: A transaction id higher than that of every transaction that may not see the close. Each node has its own: Citus reads
#: that of the cell's, since `cell` is there.
BARRIER: Final = "SELECT pg_current_xact_id()::text::bigint AS barrier FROM cell"
ALL_OLDER_ARE_OVER: Final = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint > $1 AS are_over FROM cell
"""
FIRST_AT: Final = "SELECT min(at) AS at FROM ledger_entry WHERE mchid = $1"
#: Ordered by code point, independent of the database's collation.
LINES: Final = f"""
SELECT {LINE.select} FROM ledger_entry
WHERE mchid = $1 AND at >= $2 AND at < $3
  AND (at, cause COLLATE "C", kind COLLATE "C") > ($4::timestamptz, $5::text, $6::text)
ORDER BY at, cause COLLATE "C", kind COLLATE "C" LIMIT $7
"""
NEWEST: Final = "SELECT digest FROM ledger_digest WHERE mchid = $1 ORDER BY day DESC LIMIT 1"
STEP: Final = """
UPDATE daily_close SET next_day = $3 WHERE mchid = $1 AND next_day IS NOT DISTINCT FROM $2 RETURNING 1
"""
NOT_CLOSED: Final = "SELECT unnest($1::text[]) AS mchid EXCEPT SELECT mchid FROM daily_close ORDER BY mchid"
RESCHEDULE: Final = "UPDATE daily_close SET close_at = $2, lease_until = NULL WHERE mchid = $1"


@dataclass(frozen=True, slots=True)
class DueClose:
    """A merchant with days to close."""

    mchid: str
    closed_until: datetime | None  #: entries are written no earlier than this
    next_day: date | None  #: the first day that is not closed; None before the first close


DAILY_CLOSE: Final = Table(
    "daily_close",
    Home.CELL,
    DueClose,
    ("mchid",),
    internal={"close_at": "timestamptz", "lease_until": "timestamptz"},
)
DIGEST: Final = Table("ledger_digest", Home.CELL, LedgerDigest, ("mchid", "day"))
CLAIM: Final = f"""
UPDATE daily_close AS s SET lease_until = $3
FROM (
    SELECT mchid FROM daily_close
    WHERE close_at <= $1 AND (lease_until IS NULL OR lease_until < $2)
    ORDER BY close_at LIMIT $4 FOR UPDATE SKIP LOCKED
) AS due
WHERE s.mchid = due.mchid
RETURNING {DAILY_CLOSE.select_from("s")}
"""


class CloseQueue(DueQueue[DueClose]):
    """Merchants with a day to close."""

    due_column = "close_at"

    def __init__(self, database: Database) -> None:
        super().__init__(database, DAILY_CLOSE)

    async def claim(
        self, now: datetime, real_now: datetime, lease_until: datetime, limit: int
    ) -> list[DueClose]:
        """The longest overdue, leased until `lease_until` (real time). Raises StoreUnavailable."""
        return await self._claim(CLAIM, now, real_now, lease_until, limit)


class LedgerDigests:
    """The digest chain of each merchant, and its schedule."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.due: Final = CloseQueue(database)

    async def close(self, mchid: str, until: datetime) -> bool:
        """Forbid entries before `until`. False if a transaction that began earlier does not end."""
        await self._database.execute(CLOSE, mchid, until)
        (row,) = await self._database.fetch(BARRIER)
        for _ in range(MAX_RECHECKS):
            (status,) = await self._database.fetch(ALL_OLDER_ARE_OVER, row["barrier"])
            if status["are_over"]:
                return True
            await asyncio.sleep(RECHECK_S)
        return False

    async def without_close(self, mchids: Sequence[str]) -> list[str]:
        """Those of these merchants whose days are never closed. Raises StoreUnavailable."""
        return [row["mchid"] for row in await self._database.fetch(NOT_CLOSED, mchids)]

    async def first_at(self, mchid: str) -> datetime | None:
        """The instant of the merchant's first entry."""
        (row,) = await self._database.fetch(FIRST_AT, mchid)
        at: datetime | None = row["at"]
        return at

    async def newest_digest(self, mchid: str) -> str:
        rows = await self._database.fetch(NEWEST, mchid)
        return rows[0]["digest"] if rows else NO_DIGEST

    async def lines(self, mchid: str, since: datetime, until: datetime) -> AsyncIterator[Line]:
        """The lines of a closed period, in digest order."""
        async with self._database.connection(is_long=True) as connection:
            async for line in lines_between(connection, mchid, since, until):
                yield line

    async def write(self, ledger_digest: LedgerDigest, next_day: date | None) -> bool:
        """Append a digest to the chain whose next day is `next_day`; False if another worker was faster."""
        async with self._database.transaction() as connection:
            stepped = await connection.fetch(
                STEP, ledger_digest.mchid, next_day, ledger_digest.day + timedelta(days=1)
            )
            if stepped:
                await write_rows(
                    connection, DIGEST.insert(), 1, *DIGEST.arrays([ledger_digest], DIGEST.columns)
                )
        return bool(stepped)

    async def reschedule(self, mchid: str, close_at: datetime) -> None:
        """Release the row until its next close."""
        await self._database.execute(RESCHEDULE, mchid, close_at)


async def lines_between(
    connection: "Connection", mchid: str, since: datetime, until: datetime
) -> AsyncGenerator[Line, None]:
    """Lines with `since` <= at < `until`, page by page, ordered by at, cause and kind."""
    after = (since, "", "")
    while True:
        rows = await connection.fetch(LINES, mchid, since, until, *after, PAGE)
        for row in rows:
            yield LINE.read(row)
        if len(rows) < PAGE:
            return
        after = _key(rows[-1])


def _key(row: "asyncpg.Record") -> tuple[datetime, str, str]:
    return row["at"], row["cause"], row["kind"]
