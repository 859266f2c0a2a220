"""The ledger: append-only rows, written only in the transaction of the change that they record."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tael.db.pipeline import Statement, counted
from tael.db.tables import MONEY, Home, Table, write_rows
from tael.ledger.domain.digest import Line
from tael.ledger.domain.entries import Entry

if TYPE_CHECKING:
    from tael.db.database import Connection, Database

ENTRY: Final = Table("ledger_entry", Home.CELL, Entry, ("mchid", "cause", "kind"), codecs={"amount": MONEY})
#: The same table, for rows that need not be valid.
LINE: Final = Table("ledger_entry", Home.CELL, Line, ("mchid", "cause", "kind"))
#: A closed day gains no rows: an entry that was decided in it but is written later belongs to the next open day.
WRITE: Final = f"""
INSERT INTO ledger_entry ({ENTRY.select})
SELECT w.mchid, w.cause, w.kind, w.debit, w.credit, w.amount_minor, w.currency, greatest(w.at, s.closed_until)
FROM {ENTRY.unnest(ENTRY.columns)} CROSS JOIN cell LEFT JOIN daily_close AS s ON s.mchid = w.mchid
"""
#: Fails unless they are written: Citus has executed an INSERT without its rows, and without an error.
WRITTEN: Final = counted(
    f"""
    SELECT FROM {ENTRY.unnest(ENTRY.key)}
    JOIN ledger_entry AS e ON e.mchid = w.mchid AND e.cause = w.cause AND e.kind = w.kind
    """,
    len(ENTRY.key),
)
READ: Final = f"""
SELECT {ENTRY.select} FROM ledger_entry
WHERE mchid = $1 AND cause = ANY($2) ORDER BY at, cause, kind
"""


async def write_entries(connection: "Connection", entries: Sequence[Entry]) -> None:
    """Append `entries` in the caller's transaction."""
    if entries:
        await write_rows(connection, WRITE, len(entries), *ENTRY.arrays(entries, ENTRY.columns))


def entries_to_write(entries: Sequence[Entry]) -> Sequence[Statement]:
    """Append `entries`. The primary key prevents a second entry of a kind for one cause."""
    return (
        Statement(WRITE, ENTRY.arrays(entries, ENTRY.columns)),
        Statement(WRITTEN, ENTRY.arrays(entries, ENTRY.key), len(entries)),
    )


async def entries_of(database: "Database", mchid: str, causes: Sequence[str]) -> list[Entry]:
    """The entries of `causes` (syssns of payments, refunds, reversals …), oldest first."""
    rows = await database.fetch(READ, mchid, list(causes))
    return [ENTRY.read(row) for row in rows]
