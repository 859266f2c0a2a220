"""The tables `ledger_digest` and `sealing`: whose days are sealed next, the lines of a day, and the chain.

A day is closed before it is read: from then on no entry is written into it (`ledger/store/entries.py`), and those whose
writing had begun are waited for, by the numbers of their transactions, without a lock in anybody's way.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from tael.db.database import Database
from tael.ledger.domain.digest import NO_DIGEST, LedgerDigest, Line
from tael.ledger.store.entries import LINE_COLUMNS, line_of

if TYPE_CHECKING:
    import asyncpg

    from tael.db.database import Connection

PAGE: Final = 2_000
LOOK_S: Final = 0.02
#: Longer than any statement of ours may take.
MAX_LOOKS: Final = 1_500

CLAIM: Final = """
UPDATE daily_close AS s SET lease_until = $3
FROM (
    SELECT mchid FROM daily_close
    WHERE close_at <= $1 AND (lease_until IS NULL OR lease_until < $2)
    ORDER BY close_at LIMIT $4 FOR UPDATE SKIP LOCKED
) AS due
WHERE s.mchid = due.mchid
RETURNING s.mchid, s.closed_until, s.next_day
"""
CLOSE: Final = "UPDATE daily_close SET closed_until = greatest(closed_until, $2) WHERE mchid = $1"
#: A number that is younger than every transaction which may have missed the closing.
BARRIER: Final = "SELECT pg_current_xact_id()::text::bigint AS barrier"
ALL_OLDER_ARE_OVER: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint > $1 AS are_over"
FIRST_AT: Final = "SELECT min(at) AS at FROM ledger_entry WHERE mchid = $1"
#: By code point, whatever the order of texts is in this database.
LINES: Final = f"""
SELECT {LINE_COLUMNS} FROM ledger_entry
WHERE mchid = $1 AND at >= $2 AND at < $3
  AND (at, cause COLLATE "C", kind COLLATE "C") > ($4::timestamptz, $5::text, $6::text)
ORDER BY at, cause COLLATE "C", kind COLLATE "C" LIMIT $7
"""
NEWEST: Final = "SELECT digest FROM ledger_digest WHERE mchid = $1 ORDER BY day DESC LIMIT 1"
STEP: Final = """
UPDATE daily_close SET next_day = $3 WHERE mchid = $1 AND next_day IS NOT DISTINCT FROM $2 RETURNING 1
"""
WRITE: Final = """
INSERT INTO ledger_digest (mchid, day, digest, previous, entries, closed_at) VALUES ($1, $2, $3, $4, $5, $6)
"""
REST: Final = "UPDATE daily_close SET close_at = $2, lease_until = NULL WHERE mchid = $1"


@dataclass(frozen=True, slots=True)
class DueClose:
    """Whose days are to be sealed."""

    mchid: str
    closed_until: datetime | None  #: entries are written no earlier than this
    next_day: date | None  #: the first day without a seal; None while there is no seal


class LedgerDigests:
    """The chain of each merchant, and when it grows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim_due(
        self, now: datetime, real_now: datetime, lease_until: datetime, limit: int
    ) -> list[DueClose]:
        """Merchants with a day to seal, leased to the caller until `lease_until` (real time)."""
        rows = await self._database.fetch(CLAIM, now, real_now, lease_until, limit)
        return [DueClose(row["mchid"], row["closed_until"], row["next_day"]) for row in rows]

    async def close(self, mchid: str, until: datetime) -> bool:
        """Let no entry be written before `until`; False if a writing that began earlier does not end."""
        await self._database.execute(CLOSE, mchid, until)
        (row,) = await self._database.fetch(BARRIER)
        for _ in range(MAX_LOOKS):
            (look,) = await self._database.fetch(ALL_OLDER_ARE_OVER, row["barrier"])
            if look["are_over"]:
                return True
            await asyncio.sleep(LOOK_S)
        return False

    async def first_at(self, mchid: str) -> datetime | None:
        """When the merchant's first entry was written."""
        (row,) = await self._database.fetch(FIRST_AT, mchid)
        at: datetime | None = row["at"]
        return at

    async def newest_digest(self, mchid: str) -> str:
        rows = await self._database.fetch(NEWEST, mchid)
        return rows[0]["digest"] if rows else NO_DIGEST

    async def lines(self, mchid: str, since: datetime, until: datetime) -> AsyncIterator[Line]:
        """The lines of a closed stretch of time, in the order in which they are digested."""
        async with self._database.connection(is_long=True) as connection:
            async for line in lines_between(connection, mchid, since, until):
                yield line

    async def write(self, ledger_digest: LedgerDigest, next_day: date | None) -> bool:
        """Add a link to the chain whose first day without one is `next_day`; False if somebody was faster."""
        async with self._database.transaction() as connection:
            stepped = await connection.fetch(
                STEP, ledger_digest.mchid, next_day, ledger_digest.day + timedelta(days=1)
            )
            if stepped:
                await connection.execute(
                    WRITE,
                    ledger_digest.mchid,
                    ledger_digest.day,
                    ledger_digest.digest,
                    ledger_digest.previous,
                    ledger_digest.entries,
                    ledger_digest.closed_at,
                )
        return bool(stepped)

    async def rest(self, mchid: str, close_at: datetime) -> None:
        """Give the row back until its next day is over."""
        await self._database.execute(REST, mchid, close_at)


async def lines_between(
    connection: "Connection", mchid: str, since: datetime, until: datetime
) -> AsyncGenerator[Line, None]:
    """Lines of `since` <= at < `until`, a page at a time, by at, cause and kind."""
    after = (since, "", "")
    while True:
        rows = await connection.fetch(LINES, mchid, since, until, *after, PAGE)
        for row in rows:
            yield line_of(row)
        if len(rows) < PAGE:
            return
        after = _key(rows[-1])


def _key(row: "asyncpg.Record") -> tuple[datetime, str, str]:
    return row["at"], row["cause"], row["kind"]
