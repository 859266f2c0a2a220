"""The ledger: append-only rows, written only in the transaction of the change that they record."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tael.base.money import Money
from tael.ledger.domain.digest import Line
from tael.ledger.domain.entries import Entry, EntryKind

if TYPE_CHECKING:
    import asyncpg

    from tael.db.database import Connection, Database

#: A closed day gains no rows: an entry that was decided in it but is written later belongs to the next open day.
WRITE: Final = """
INSERT INTO ledger_entry (mchid, cause, kind, debit, credit, amount_minor, currency, at)
SELECT w.mchid, w.cause, w.kind, w.debit, w.credit, w.amount_minor, w.currency, greatest(w.at, s.closed_until)
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::timestamptz[]
) AS w (mchid, cause, kind, debit, credit, amount_minor, currency, at) LEFT JOIN daily_close AS s USING (mchid)
"""
LINE_COLUMNS: Final = "mchid, cause, kind, debit, credit, amount_minor, currency, at"
READ: Final = f"""
SELECT {LINE_COLUMNS} FROM ledger_entry
WHERE mchid = $1 AND cause = ANY($2) ORDER BY at, cause, kind
"""


async def write_entries(connection: "Connection", entries: Sequence[Entry]) -> None:
    """Append `entries`. The primary key prevents a second entry of a kind for one cause."""
    if not entries:
        return
    await connection.execute(
        WRITE,
        [e.mchid for e in entries],
        [e.cause for e in entries],
        [e.kind.value for e in entries],
        [e.debit for e in entries],
        [e.credit for e in entries],
        [e.amount.amount_minor for e in entries],
        [e.amount.currency for e in entries],
        [e.at for e in entries],
    )


async def entries_of(database: "Database", mchid: str, causes: Sequence[str]) -> list[Entry]:
    """The entries of `causes` (syssns of payments, refunds, reversals …), oldest first."""
    rows = await database.fetch(READ, mchid, list(causes))
    return [
        Entry(
            mchid=row["mchid"],
            cause=row["cause"],
            kind=EntryKind(row["kind"]),
            debit=row["debit"],
            credit=row["credit"],
            amount=Money(row["amount_minor"], row["currency"]),
            at=row["at"],
        )
        for row in rows
    ]


def line_of(row: "asyncpg.Record") -> Line:
    """A row with LINE_COLUMNS, as stored: its values need not be valid."""
    return Line(
        mchid=row["mchid"],
        cause=row["cause"],
        kind=row["kind"],
        debit=row["debit"],
        credit=row["credit"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        at=row["at"],
    )
