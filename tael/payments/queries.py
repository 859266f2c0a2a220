"""A merchant's query of its payments and refunds, within one calendar month of UTC+8 unless numbers are given.

A query reads our rows only. Pending payments become due at once, so that the next query is up to date.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tael.base.errors import RangeSpansMonths
from tael.base.moments import UTC8
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import Payment, State
from tael.payments.store.transactions import Filter, StateFilter, Transaction

#: Queries do not make a pending payment due more often than this.
MIN_POLL_GAP: Final = timedelta(seconds=1)
PAID: Final = StateFilter(payments=(State.PAID,), refunds=(), reasons=())
ONE_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class TransactionQuery:
    """Filters are ANDed; empty ones do not filter. `start` and `end` are both included, UTC+8, to the second."""

    mchid: str
    syssns: tuple[str, ...]
    references: tuple[str, ...]
    pay_types: tuple[str, ...]
    states: StateFilter | None  #: None for all
    start: datetime | None
    end: datetime | None
    page: int
    page_size: int


@dataclass(frozen=True, slots=True)
class PaidQuery:
    """Payments that were paid, from `start` to `end`, both included, to the second; over any number of months."""

    mchid: str
    start: datetime
    end: datetime
    page: int
    page_size: int


async def list_transactions(request: TransactionQuery, context: PaymentContext) -> Sequence[Transaction]:
    """One page, newest first. Raises RangeSpansMonths, StoreUnavailable."""
    now = context.clock.now()
    start, end = time_range(request, now)
    transactions = await context.store.transactions.list(
        Filter(
            mchid=request.mchid,
            start=start,
            end=end,
            syssns=request.syssns or None,
            references=request.references or None,
            pay_types=request.pay_types or None,
            states=request.states,
            page=request.page,
            page_size=request.page_size,
        )
    )
    pending = [t.syssn for t in transactions if isinstance(t, Payment) and t.state is State.PENDING]
    if pending:
        await context.store.payments.expedite(request.mchid, pending, now, now - MIN_POLL_GAP)
    return transactions


async def list_paid(request: PaidQuery, context: PaymentContext) -> Sequence[Payment]:
    """One page of paid payments, newest first; later refunds do not remove them. Raises StoreUnavailable."""
    transactions = await context.store.transactions.list(
        Filter(
            mchid=request.mchid,
            start=request.start,
            end=request.end + ONE_SECOND,
            syssns=None,
            references=None,
            pay_types=None,
            states=PAID,
            page=request.page,
            page_size=request.page_size,
        )
    )
    return [each for each in transactions if isinstance(each, Payment)]


def time_range(request: TransactionQuery, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Start (inclusive) and end (exclusive). Without times, numbers are searched in all months."""
    if request.syssns or request.references:
        return request.start, request.end + ONE_SECOND if request.end else None
    inside = request.start or request.end or now.astimezone(UTC8)
    first, next_first = month_of(inside)
    start = request.start or first
    end = request.end + ONE_SECOND if request.end else next_first
    if not (first <= start < next_first and first < end <= next_first):
        raise RangeSpansMonths
    return start, end


def month_of(at: datetime) -> tuple[datetime, datetime]:
    """The first instant of the month of `at` in UTC+8, and that of the next month."""
    first = at.astimezone(UTC8).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first, (first + timedelta(days=32)).replace(day=1)
