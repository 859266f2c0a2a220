"""A merchant's list of payments and refunds, newest first. Reversals and closes are not listed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from tael.base.reasons import Reason
from tael.db.database import Database
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import Refund, RefundState
from tael.payments.store.rows import PAYMENT, REFUND

if TYPE_CHECKING:
    import asyncpg

#: The rows of one page of `trade (kind, syssn, created_at)`: a payment, and the refund if the row is one. LIMIT makes
#: each a look-up by primary key; a join could read all rows of the merchant, if they are newer than the statistics.
PAGE: Final = f"""
SELECT {PAYMENT.select_from("p")}, {REFUND.select_from("r")}
FROM (SELECT kind, syssn, created_at FROM ({{trade}}) AS trade {{page}}) AS t
LEFT JOIN LATERAL (
    SELECT * FROM refund WHERE t.kind = 'refund' AND mchid = $1 AND syssn = t.syssn LIMIT 1
) AS r ON true
CROSS JOIN LATERAL (
    SELECT * FROM payment WHERE mchid = $1 AND syssn = coalesce(r.payment_syssn, t.syssn) LIMIT 1
) AS p
ORDER BY t.created_at DESC, t.syssn DESC
"""
#: A reason is set in failed rows only.
FILTERED: Final = """
    SELECT 'payment' AS kind, syssn, reference, pay_type, created_at
    FROM payment WHERE mchid = $1 AND ($7::text[] IS NULL OR state = ANY($7) OR reason = ANY($9))
  UNION ALL
    SELECT 'refund', r.syssn, r.reference, p.pay_type, r.created_at
    FROM refund AS r JOIN payment AS p ON p.mchid = r.mchid AND p.syssn = r.payment_syssn
    WHERE r.mchid = $1 AND ($8::text[] IS NULL OR r.state = ANY($8) OR r.reason = ANY($9))
"""
LIST: Final = PAGE.format(
    trade=FILTERED,
    page="""
    WHERE ($2::timestamptz IS NULL OR created_at >= $2)
      AND ($3::timestamptz IS NULL OR created_at < $3)
      AND ($4::text[] IS NULL OR syssn = ANY($4))
      AND ($5::text[] IS NULL OR reference = ANY($5))
      AND ($6::text[] IS NULL OR pay_type = ANY($6))
    ORDER BY created_at DESC, syssn DESC LIMIT $10 OFFSET $11""",
)
#: By time alone, by numbers alone: without optional filters, the plan is made once and not at every call. By time, each
#: table gives no more rows than the page can need, in the order of its index; a plan for any time would sort a month.
IN_TIME: Final = """
    (SELECT 'payment' AS kind, syssn, created_at FROM payment
     WHERE mchid = $1 AND created_at >= $2 AND created_at < $3
     ORDER BY created_at DESC, syssn DESC LIMIT $4::bigint + $5::bigint)
  UNION ALL
    (SELECT 'refund', syssn, created_at FROM refund
     WHERE mchid = $1 AND created_at >= $2 AND created_at < $3
     ORDER BY created_at DESC, syssn DESC LIMIT $4::bigint + $5::bigint)
"""
BY_TIME: Final = PAGE.format(
    trade=IN_TIME, page="ORDER BY created_at DESC, syssn DESC LIMIT $4::bigint OFFSET $5::bigint"
)
NUMBERED: Final = """
    SELECT 'payment' AS kind, syssn, created_at FROM payment WHERE mchid = $1 AND {condition}
  UNION ALL
    SELECT 'refund', syssn, created_at FROM refund WHERE mchid = $1 AND {condition}
"""
NUMBERED_PAGE: Final = "ORDER BY created_at DESC, syssn DESC LIMIT $3 OFFSET $4"
#: One number has statements of its own. For a list PostgreSQL assumes ten numbers: a plan for one looks cheaper, and is
#: made at every call, which takes longer than the query.
BY_SYSSN: Final = PAGE.format(trade=NUMBERED.format(condition="syssn = $2"), page=NUMBERED_PAGE)
BY_SYSSNS: Final = PAGE.format(trade=NUMBERED.format(condition="syssn = ANY($2)"), page=NUMBERED_PAGE)
BY_REFERENCE: Final = PAGE.format(trade=NUMBERED.format(condition="reference = $2"), page=NUMBERED_PAGE)
BY_REFERENCES: Final = PAGE.format(trade=NUMBERED.format(condition="reference = ANY($2)"), page=NUMBERED_PAGE)


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
        return [_transaction(record) for record in await self._database.fetch(*_statement(filters))]


def _statement(filters: Filter) -> tuple[Any, ...]:
    """The statement for these filters, with its values."""
    page = filters.page_size, (filters.page - 1) * filters.page_size
    match filters:
        case Filter(
            start=datetime() as start,
            end=datetime() as end,
            syssns=None,
            references=None,
            pay_types=None,
            states=None,
        ):
            return BY_TIME, filters.mchid, start, end, *page
        case Filter(start=None, end=None, pay_types=None, states=None, references=None, syssns=[*syssns]):
            return _numbered(BY_SYSSN, BY_SYSSNS, filters.mchid, syssns, page)
        case Filter(start=None, end=None, pay_types=None, states=None, syssns=None, references=[*references]):
            return _numbered(BY_REFERENCE, BY_REFERENCES, filters.mchid, references, page)
    states = filters.states
    return (
        LIST,
        *(filters.mchid, filters.start, filters.end, filters.syssns, filters.references, filters.pay_types),
        *(states and states.payments, states and states.refunds, states and states.reasons),
        *page,
    )


def _numbered(
    of_one: str, of_several: str, mchid: str, numbers: Sequence[str], page: tuple[int, int]
) -> tuple[Any, ...]:
    match numbers:
        case [number]:
            return of_one, mchid, number, *page
        case _:
            return of_several, mchid, numbers, *page


def _transaction(record: "asyncpg.Record") -> Transaction:
    payment, of_refund = PAYMENT.read(record), record[len(PAYMENT.columns) :]
    return payment if of_refund[0] is None else RefundTransaction(REFUND.read(of_refund), payment)
