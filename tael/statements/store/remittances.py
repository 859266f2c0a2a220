"""The table `remittance`: written, superseded and restored with the statement that reports it."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Final

from tael.db.database import Database
from tael.db.tables import Home, Table, write_rows
from tael.statements.domain.remittance import Remittance

if TYPE_CHECKING:
    from tael.db.database import Connection
    from tael.statements.domain.statement import Statement

MAX_LISTED: Final = 1000
REMITTANCE: Final = Table("remittance", Home.CELL, Remittance, ("mchid", "remittance_id"))
#: The index under which an account has a batch once.
ONE_REMITTANCE: Final = "one_current_remittance"
INSERT: Final = REMITTANCE.insert()
SUPERSEDE: Final = """
UPDATE remittance SET superseded_at = $3 WHERE mchid = $1 AND statement_id = $2 AND superseded_at IS NULL
"""
RESTORE: Final = "UPDATE remittance SET superseded_at = NULL WHERE mchid = $1 AND statement_id = $2"
OF_STATEMENT: Final = f"""
SELECT {REMITTANCE.select} FROM remittance WHERE mchid = $1 AND statement_id = $2 ORDER BY batch_no, currency
"""
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
        rows = await self._database.fetch(OF_STATEMENT, statement.mchid, statement.statement_id)
        return [REMITTANCE.read(row) for row in rows]

    async def settled_between(
        self, mchid: str, first: date, last: date, protocol: str | None = None
    ) -> list[Remittance]:
        """The merchant's current ones of these days (UTC+8), oldest first, at most `MAX_LISTED`."""
        rows = await self._database.fetch(SETTLED_BETWEEN, mchid, first, last, protocol)
        return [REMITTANCE.read(row) for row in rows]


async def write_remittances(connection: "Connection", remittances: Sequence[Remittance]) -> None:
    """Raises asyncpg.UniqueViolationError if the account has one of the same batch and currency."""
    if remittances:
        await write_rows(
            connection, INSERT, len(remittances), *REMITTANCE.arrays(remittances, REMITTANCE.columns)
        )


async def supersede_remittances(connection: "Connection", superseded: "Statement") -> None:
    await connection.execute(SUPERSEDE, superseded.mchid, superseded.statement_id, superseded.superseded_at)


async def restore_remittances(connection: "Connection", restored: "Statement") -> None:
    await connection.execute(RESTORE, restored.mchid, restored.statement_id)
