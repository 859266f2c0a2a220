"""The table `conversion`: what a bill converts, booked and undone with its statement."""

from typing import TYPE_CHECKING, Final

from tael.base import ids
from tael.db.database import Database
from tael.db.tables import Home, Table
from tael.statements.domain.conversion import Conversion
from tael.statements.domain.entries import conversion_entries
from tael.statements.store.booked import BookedRows

if TYPE_CHECKING:
    from tael.statements.domain.statement import Statement

CONVERSION: Final = Table("conversion", Home.CELL, Conversion, ("mchid", "conversion_id"))
CONVERSIONS: Final = BookedRows(
    CONVERSION, "price_currency, settlement_currency", conversion_entries, ids.conversion_id
)


class Conversions:
    """What the wallets converted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_statement(self, statement: "Statement") -> list[Conversion]:
        key = statement.mchid, statement.statement_id, statement.superseded_at
        return [CONVERSION.read(row) for row in await self._database.fetch(CONVERSIONS.of_statement, *key)]
