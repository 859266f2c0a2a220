"""Rows of a statement that are booked in the ledger: written, superseded and restored with the statement.

The id of a row is the cause of its entries. Entries are only added, and one cause has one entry of a kind. So a
statement that becomes current again gets new rows with new ids, and those that were superseded stay as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tael.db.tables import Table, write_rows
from tael.ledger.domain.entries import Entry
from tael.ledger.store.entries import write_entries
from tael.statements.domain.entries import undone

if TYPE_CHECKING:
    from tael.db.database import Connection
    from tael.statements.domain.statement import Statement

Row = TypeVar("Row", bound=Any)


@dataclass(frozen=True, slots=True)
class BookedRows(Generic[Row]):
    """The rows of one table. Each function takes an open transaction."""

    table: Table[Row]
    unique: str  #: the columns that are unique within a current statement
    entries: Callable[[Row, datetime], list[Entry]]
    new_id: Callable[[], str]

    @property
    def _id(self) -> str:
        return self.table.key[-1]

    @property
    def of_statement(self) -> str:
        """Takes the merchant, the statement's id, and when it was superseded. Each row once."""
        return f"""
SELECT DISTINCT ON ({self.unique}) {self.table.select} FROM {self.table.name}
WHERE mchid = $1 AND statement_id = $2 AND superseded_at IS NOT DISTINCT FROM $3 ORDER BY {self.unique}
"""

    async def write(self, connection: "Connection", rows: Sequence[Row], at: datetime) -> None:
        """Raises asyncpg.UniqueViolationError if there is a current one already."""
        if not rows:
            return
        arrays = self.table.arrays(rows, self.table.columns)
        await write_rows(connection, self.table.insert(), len(rows), *arrays)
        await write_entries(connection, [entry for row in rows for entry in self.entries(row, at)])

    async def supersede(self, connection: "Connection", superseded: "Statement", at: datetime) -> None:
        statement = f"""
UPDATE {self.table.name} SET superseded_at = $3
WHERE mchid = $1 AND statement_id = $2 AND superseded_at IS NULL RETURNING {self.table.select}
"""
        found = await connection.fetch(statement, superseded.mchid, superseded.statement_id, at)
        rows = [self.table.read(row) for row in found]
        await write_entries(connection, undone(entry for row in rows for entry in self.entries(row, at)))

    async def restore(self, connection: "Connection", superseded: "Statement", at: datetime) -> None:
        found = await connection.fetch(
            self.of_statement, superseded.mchid, superseded.statement_id, superseded.superseded_at
        )
        rows = [
            replace(self.table.read(row), **{self._id: self.new_id(), "superseded_at": None}) for row in found
        ]
        await self.write(connection, rows, at)
