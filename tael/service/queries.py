"""What a merchant asks to see: its payments and refunds, within one calendar month of UTC+8 unless numbers are given.

A query reads our rows; pending ones become due at once, so that the next query knows more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tael.clock import UTC8
from tael.domain.errors import BadField
from tael.domain.payment import Payment, State
from tael.service.gateway import Gateway
from tael.store.trades import Filter, Trade

#: A pending payment is not asked about more often than this because somebody is impatient.
PATIENCE: Final = timedelta(seconds=1)
ONE_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class TradeQuery:
    """Filters are ANDed; empty ones do not filter. `start` and `end` are both included, UTC+8, to the second."""

    mchid: str
    syssns: tuple[str, ...]
    references: tuple[str, ...]
    pay_types: tuple[str, ...]
    respcd: str
    start: datetime | None
    end: datetime | None
    page: int
    page_size: int


async def list_trades(ask: TradeQuery, gateway: Gateway) -> Sequence[Trade]:
    """One page, newest first. Raises BadField where a range leaves its month, StoreUnavailable."""
    now = gateway.clock.now()
    start, end = wanted_range(ask, now)
    trades = await gateway.store.trades.list(
        Filter(
            mchid=ask.mchid,
            start=start,
            end=end,
            syssns=ask.syssns or None,
            references=ask.references or None,
            pay_types=ask.pay_types or None,
            respcd=ask.respcd or None,
            page=ask.page,
            page_size=ask.page_size,
        )
    )
    pending = [t.syssn for t in trades if isinstance(t, Payment) and t.state is State.PENDING]
    if pending:
        await gateway.store.payments.hurry(ask.mchid, pending, now, now - PATIENCE)
    return trades


def wanted_range(ask: TradeQuery, now: datetime) -> tuple[datetime | None, datetime | None]:
    """From (included) and to (not included). Numbers are looked for in all months if no times are given."""
    if ask.syssns or ask.references:
        return ask.start, ask.end + ONE_SECOND if ask.end else None
    inside = ask.start or ask.end or now.astimezone(UTC8)
    first, next_first = month_of(inside)
    start = ask.start or first
    end = ask.end + ONE_SECOND if ask.end else next_first
    if not (first <= start < next_first and first < end <= next_first):
        raise BadField.malformed("end_time", "must lie in the same calendar month as start_time")
    return start, end


def month_of(at: datetime) -> tuple[datetime, datetime]:
    """The first instant of the month of `at` in UTC+8, and that of the next month."""
    first = at.astimezone(UTC8).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first, (first + timedelta(days=32)).replace(day=1)
