"""The ledger: append-only rows, written only inside the transaction that makes them true."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tael.domain.ledger import Entry, EntryKind
from tael.domain.money import Money

if TYPE_CHECKING:
    from tael.store.database import Connection, Database

WRITE: Final = """
INSERT INTO ledger_entry (mchid, cause, kind, debit, credit, amount_minor, currency, at)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::timestamptz[])
"""
READ: Final = """
SELECT mchid, cause, kind, debit, credit, amount_minor, currency, at FROM ledger_entry
WHERE mchid = $1 AND cause = ANY($2) ORDER BY at, cause, kind
"""


async def write_entries(connection: "Connection", entries: Sequence[Entry]) -> None:
    """Append `entries`. A second entry of a kind for one cause violates the primary key: it is never written twice."""
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
    """What `causes` (syssns of payments, refunds and reversals) moved, oldest first."""
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
