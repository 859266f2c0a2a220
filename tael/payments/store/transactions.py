"""A merchant's list of payments and refunds, newest first. Reversals and closes are not listed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tael.base.reasons import Reason
from tael.db.database import Database
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import Refund, RefundState
from tael.payments.store.rows import PAYMENT, REFUND

#: A reason is set in failed rows only.
LIST: Final = """
SELECT kind, syssn, created_at FROM (
    SELECT 'payment' AS kind, syssn, reference, pay_type, created_at
    FROM payment WHERE mchid = $1 AND ($7::text[] IS NULL OR state = ANY($7) OR reason = ANY($9))
  UNION ALL
    SELECT 'refund', r.syssn, r.reference, p.pay_type, r.created_at
    FROM refund AS r JOIN payment AS p ON p.mchid = r.mchid AND p.syssn = r.payment_syssn
    WHERE r.mchid = $1 AND ($8::text[] IS NULL OR r.state = ANY($8) OR r.reason = ANY($9))
) AS trade
WHERE ($2::timestamptz IS NULL OR created_at >= $2)
  AND ($3::timestamptz IS NULL OR created_at < $3)
  AND ($4::text[] IS NULL OR syssn = ANY($4))
  AND ($5::text[] IS NULL OR reference = ANY($5))
  AND ($6::text[] IS NULL OR pay_type = ANY($6))
ORDER BY created_at DESC, syssn DESC LIMIT $10 OFFSET $11
"""
PAYMENTS: Final = f"SELECT {PAYMENT.select} FROM payment WHERE mchid = $1 AND syssn = ANY($2)"
REFUNDS: Final = f"SELECT {REFUND.select} FROM refund WHERE mchid = $1 AND syssn = ANY($2)"


@dataclass(frozen=True, slots=True)
class StateFilter:
    """Rows in one of these states, and rows that failed for one of these reasons."""

    payments: Sequence[State]
    refunds: Sequence[RefundState]
    reasons: Sequence[Reason]


@dataclass(frozen=True, slots=True)
class Filter:
    """Filters are ANDed; None does not filter. `start` is inclusive, `end` exclusive, both UTC."""

    mchid: str
    start: datetime | None
    end: datetime | None
    syssns: Sequence[str] | None
    references: Sequence[str] | None
    pay_types: Sequence[str] | None
    states: StateFilter | None
    page: int
    page_size: int


@dataclass(frozen=True, slots=True)
class RefundTransaction:
    """A refund and its payment."""

    refund: Refund
    payment: Payment


Transaction = Payment | RefundTransaction


class Transactions:
    """Reads over `payment` and `refund`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, filters: Filter) -> Sequence[Transaction]:
        """One page of rows, newest first."""
        states = filters.states
        rows = await self._database.fetch(
            LIST,
            filters.mchid,
            filters.start,
            filters.end,
            filters.syssns,
            filters.references,
            filters.pay_types,
            states and states.payments,
            states and states.refunds,
            states and states.reasons,
            filters.page_size,
            (filters.page - 1) * filters.page_size,
        )
        refunds = await self._refunds(
            filters.mchid, [row["syssn"] for row in rows if row["kind"] == "refund"]
        )
        payments = await self._payments(
            filters.mchid,
            [row["syssn"] for row in rows if row["kind"] == "payment"]
            + [refund.payment_syssn for refund in refunds.values()],
        )
        return [
            payments[row["syssn"]]
            if row["kind"] == "payment"
            else RefundTransaction(refunds[row["syssn"]], payments[refunds[row["syssn"]].payment_syssn])
            for row in rows
        ]

    async def _payments(self, mchid: str, syssns: Sequence[str]) -> dict[str, Payment]:
        rows = await self._database.fetch(PAYMENTS, mchid, syssns) if syssns else []
        return {row["syssn"]: PAYMENT.read(row) for row in rows}

    async def _refunds(self, mchid: str, syssns: Sequence[str]) -> dict[str, Refund]:
        rows = await self._database.fetch(REFUNDS, mchid, syssns) if syssns else []
        return {row["syssn"]: REFUND.read(row) for row in rows}
