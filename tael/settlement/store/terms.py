"""The table `payout_terms`. A row is locked while it is changed and while a payout is made by it."""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from tael.audit_log.domain.entry import Origin
from tael.audit_log.store.entries import write_change
from tael.db.database import Database
from tael.db.tables import Home, Table, write_rows
from tael.settlement.domain.terms import PayoutTerms

if TYPE_CHECKING:
    from tael.db.database import Connection

PAGE: Final = 1_000
#: How many currencies of one merchant are shown.
MAX_LISTED: Final = 1_000
TERMS: Final = Table("payout_terms", Home.CELL, PayoutTerms, ("mchid", "currency"))
INSERT: Final = TERMS.insert_one()
UPDATE: Final = TERMS.update_one(TERMS.columns[2:])
LOCK: Final = f"SELECT {TERMS.select} FROM payout_terms WHERE mchid = $1 AND currency = $2 FOR UPDATE"
REMOVE: Final = "DELETE FROM payout_terms WHERE mchid = $1 AND currency = $2"
OF_MERCHANT: Final = (
    f"SELECT {TERMS.select} FROM payout_terms WHERE mchid = $1 ORDER BY currency LIMIT {MAX_LISTED}"
)
#: $3 is null for all merchants.
ALL: Final = f"""
SELECT {TERMS.select} FROM payout_terms
WHERE (mchid, currency) > ($1, $2) AND ($3::text IS NULL OR mchid = $3) ORDER BY mchid, currency LIMIT {PAGE}
"""


class PayoutTermsTable:
    """The terms of all merchants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_merchant(self, mchid: str) -> list[PayoutTerms]:
        return [TERMS.read(row) for row in await self._database.fetch(OF_MERCHANT, mchid)]

    async def all(self, mchid: str | None) -> AsyncIterator[PayoutTerms]:
        """In pages, by merchant and currency; only those of `mchid` if it is given."""
        after = ("", "")
        while rows := await self._database.fetch(ALL, *after, mchid):
            for row in rows:
                yield TERMS.read(row)
            after = rows[-1]["mchid"], rows[-1]["currency"]

    async def change(
        self,
        mchid: str,
        currency: str,
        change: Callable[[PayoutTerms | None], PayoutTerms | None],
        origin: Origin,
    ) -> PayoutTerms | None:
        """Write what `change` makes of the row; None is no row. What `change` raises changes nothing."""
        async with self._database.transaction() as connection:
            before = await locked_terms(connection, mchid, currency)
            after = change(before)
            if after is None:
                await connection.execute(REMOVE, mchid, currency)
            elif before is None:
                await write_rows(connection, INSERT, 1, *TERMS.values(after, TERMS.columns))
            else:
                await connection.execute(UPDATE, *TERMS.values(after, TERMS.columns))
            if before is not None or after is not None:
                await write_change(connection, origin, TERMS, f"{mchid}/{currency}", before, after)
            return after


async def locked_terms(connection: "Connection", mchid: str, currency: str) -> PayoutTerms | None:
    """The row, locked until the transaction ends."""
    rows = await connection.fetch(LOCK, mchid, currency)
    return TERMS.read(rows[0]) if rows else None
