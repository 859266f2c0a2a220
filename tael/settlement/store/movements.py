"""Reads a merchant's movements and their sums from the ledger, in one snapshot and page by page.

The order is that of the ledger digest: by instant, cause and kind. Statement lines are looked up by our number; of a
cancelled payment some wallets give the payment's number (`docs/decisions/0024-statements.md`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tael.db.database import Database
from tael.settlement.domain.movement import EntrySum, Movement
from tael.settlement.domain.payout import OF_PAYOUTS

if TYPE_CHECKING:
    from tael.db.database import Connection

PAGE: Final = 1_000
#: The merchant's account of an entry's currency, and the entry's amount with the sign of the balance.
ACCOUNT: Final = "'merchant:' || e.currency || ':' || e.mchid"
SIGNED: Final = f"CASE WHEN e.credit = {ACCOUNT} THEN e.amount_minor ELSE -e.amount_minor END"
IS_OURS: Final = f"({ACCOUNT}) IN (e.debit, e.credit)"
OF_PAYMENT: Final = """
LEFT JOIN refund AS r ON r.mchid = e.mchid AND r.syssn = e.cause
LEFT JOIN reversal AS v ON v.mchid = e.mchid AND v.syssn = e.cause
LEFT JOIN payment AS p ON p.mchid = e.mchid AND p.syssn = coalesce(r.payment_syssn, v.payment_syssn, e.cause)
"""
#: The entries but fees of one page, each with its fee and its statement line. A line of a settlement is preferred:
#: it has both. With a currency in $7, only what its payouts count.
MOVEMENTS: Final = f"""
WITH page AS (
    SELECT e.mchid, e.at, e.cause, e.kind, e.currency, {SIGNED} AS amount_minor FROM ledger_entry AS e
    WHERE e.mchid = $1 AND e.at >= $2 AND e.at < $3 AND e.kind NOT IN ('fee', 'fee_back') AND {IS_OURS}
      AND (e.at, e.cause COLLATE "C", e.kind COLLATE "C") > ($2, $4::text, $5::text)
      AND ($7::text IS NULL OR (e.currency = $7 AND e.kind <> ALL($8::text[])))
    ORDER BY e.at, e.cause COLLATE "C", e.kind COLLATE "C" LIMIT $6
)
SELECT e.at, e.kind, e.cause AS syssn, coalesce(r.payment_syssn, v.payment_syssn, '') AS payment_syssn,
    coalesce(r.reference, p.reference, '') AS reference, coalesce(p.pay_type, '') AS pay_type,
    coalesce(p.protocol, '') AS protocol, coalesce(p.subject, '') AS subject,
    coalesce(r.device, p.device, '') AS device, e.currency, e.amount_minor,
    CASE WHEN f.kind = 'fee' THEN -f.amount_minor ELSE coalesce(f.amount_minor, 0) END AS fee_minor,
    l.fee_micros AS wallet_fee_micros, l.settled_at
FROM page AS e {OF_PAYMENT}
LEFT JOIN ledger_entry AS f ON f.mchid = e.mchid AND f.cause = e.cause
    AND f.kind = CASE WHEN e.kind = 'payment' THEN 'fee' WHEN e.kind IN ('refund', 'reversal') THEN 'fee_back' END
LEFT JOIN LATERAL (
    SELECT l.fee_micros, l.settled_at FROM statement_line AS l JOIN statement AS s USING (mchid, statement_id)
    WHERE l.mchid = e.mchid AND s.superseded_at IS NULL AND e.kind IN ('payment', 'refund', 'reversal')
      AND (l.syssn = e.cause OR (e.kind = 'reversal' AND l.syssn = v.payment_syssn))
      AND (l.type = 'payment') = (e.kind = 'payment')
    ORDER BY l.settled_at IS NULL, s.day DESC LIMIT 1
) AS l ON true
ORDER BY e.at, e.cause COLLATE "C", e.kind COLLATE "C"
"""
SUMS: Final = f"""
SELECT e.currency, e.kind, coalesce(p.pay_type, '') AS pay_type, coalesce(p.protocol, '') AS protocol,
    count(*) AS count, sum({SIGNED})::bigint AS amount_minor
FROM ledger_entry AS e {OF_PAYMENT}
WHERE e.mchid = $1 AND e.at >= $2 AND e.at < $3 AND {IS_OURS}
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
BALANCES: Final = f"""
SELECT e.currency, sum({SIGNED})::bigint AS balance_minor FROM ledger_entry AS e
WHERE e.mchid = $1 AND e.at < $2 AND {IS_OURS} GROUP BY e.currency
"""


@dataclass(frozen=True, slots=True)
class MovementSnapshot:
    """A merchant's ledger account at one moment; `since` <= at < `until` is the period, in UTC."""

    connection: "Connection"
    mchid: str
    since: datetime
    until: datetime
    counted_in: str | None = None

    async def opening(self) -> dict[str, int]:
        """The balance before the period, by currency."""
        rows = await self.connection.fetch(BALANCES, self.mchid, self.since)
        return {row["currency"]: row["balance_minor"] for row in rows}

    async def sums(self) -> list[EntrySum]:
        rows = await self.connection.fetch(SUMS, self.mchid, self.since, self.until)
        return [EntrySum(**row) for row in rows]

    async def pages(self) -> AsyncIterator[list[Movement]]:
        """The movements of the period, in pages of at most `PAGE`."""
        after = (self.since, "", "")
        while True:
            since, cause, kind = after
            place = (since, self.until, cause, kind, PAGE)
            rows = await self.connection.fetch(
                MOVEMENTS, self.mchid, *place, self.counted_in, list(OF_PAYOUTS)
            )
            movements = [Movement(**row) for row in rows]
            if movements:
                yield movements
            if len(movements) < PAGE:
                return
            after = movements[-1].at, movements[-1].syssn, movements[-1].kind


@asynccontextmanager
async def movement_snapshot(
    database: Database, mchid: str, since: datetime, until: datetime, *, counted_in: str | None = None
) -> AsyncIterator[MovementSnapshot]:
    """With a currency in `counted_in`, pages have only what its payouts count. Raises StoreUnavailable."""
    async with (
        database.connection(is_long=True) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield MovementSnapshot(connection, mchid, since, until, counted_in)
