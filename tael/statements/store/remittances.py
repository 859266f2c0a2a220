"""The table `remittance`: what the wallets paid out, booked and undone with the statement that reports it."""

from datetime import date
from typing import TYPE_CHECKING, Final

from tael.base import ids
from tael.db.database import Database
from tael.db.tables import Home, Table
from tael.statements.domain.entries import remittance_entries
from tael.statements.domain.remittance import Remittance
from tael.statements.store.booked import BookedRows

if TYPE_CHECKING:
    from tael.statements.domain.statement import Statement

MAX_LISTED: Final = 1000
REMITTANCE: Final = Table("remittance", Home.CELL, Remittance, ("mchid", "remittance_id"))
#: The index under which an account has a batch once.
ONE_REMITTANCE: Final = "one_current_remittance"
REMITTANCES: Final = BookedRows(REMITTANCE, "batch_no, currency", remittance_entries, ids.remittance_id)
#: $4 is null for all protocols.
SETTLED_BETWEEN: Final = f"""
SELECT {REMITTANCE.select} FROM remittance
WHERE mchid = $1 AND settled_on BETWEEN $2 AND $3 AND superseded_at IS NULL AND ($4::text IS NULL OR protocol = $4)
ORDER BY settled_on, account_id, batch_no, currency LIMIT {MAX_LISTED}
"""


class Remittances:
    """What the wallets paid out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_statement(self, statement: "Statement") -> list[Remittance]:
        key = statement.mchid, statement.statement_id, statement.superseded_at
        return [REMITTANCE.read(row) for row in await self._database.fetch(REMITTANCES.of_statement, *key)]

    async def settled_between(
        self, mchid: str, first: date, last: date, protocol: str | None = None
    ) -> list[Remittance]:
        """The merchant's current ones of these days (UTC+8), oldest first, at most `MAX_LISTED`."""
        rows = await self._database.fetch(SETTLED_BETWEEN, mchid, first, last, protocol)
        return [REMITTANCE.read(row) for row in rows]
