"""Histories of payments, refunds and reversals, and the statements that a correct wallet would make of them.

The statements are derived from what happened at the wallet, not from our records: fees with decimals and running
totals, days by the wallet's clock. They agree; and an error that is planted in one line or one record is found, and
nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from tael.base.money import Money
from tael.channels.alipay_mapi.statements import STATEMENTS as ALIPAY
from tael.channels.outcomes import ReversalAction
from tael.channels.statements import LineType, StatementFormat, StatementKind, StatementLine
from tael.channels.wechat_v2.statements import STATEMENTS as WECHAT
from tael.payments.domain.payment import State
from tael.payments.domain.refund import RefundState
from tael.payments.domain.reversal import ReversalState
from tael.reconciliation.domain.difference import DifferenceKind
from tael.reconciliation.domain.matching import Copy, Finding, Matcher, Terms, compare
from tael.reconciliation.domain.records import OurRows, PaymentRow, RefundRow, ReversalRow
from tests.support.statements import a_line

HONG_KONG: Final = timezone(timedelta(hours=8))
FIRST: Final = datetime(2026, 1, 2, tzinfo=HONG_KONG)
DECIMALS: Final = {"HKD": 2, "JPY": 0}
EVENTS: Final = ("refund", "reversal", "by refund")


@dataclass(frozen=True)
class Wallet:
    """What a wallet does in its own way."""

    form: StatementFormat
    fee_decimals: int | None  #: None: the currency's
    returns_fees: bool
    cancel: LineType

    def fee(self, amount_minor: int, currency: str, rate_ppm: int) -> Decimal:
        units = Decimal(amount_minor).scaleb(-DECIMALS[currency]) * rate_ppm / 1_000_000
        decimals = DECIMALS[currency] if self.fee_decimals is None else self.fee_decimals
        return units.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


WALLETS: Final = {
    "wechat": Wallet(WECHAT, 5, returns_fees=True, cancel=LineType.REVERSAL),
    "alipay": Wallet(ALIPAY, None, returns_fees=False, cancel=LineType.REFUND),
}


@dataclass(frozen=True)
class Order:
    """A paid order, and what was returned of it: parts by refunds, or all of it."""

    number: int
    amount_minor: int
    paid_at: datetime
    refunds: tuple[int, ...] = ()
    reversal: str = ""
    later: timedelta = timedelta(minutes=1)  #: each return after what came before

    @property
    def syssn(self) -> str:
        return f"P{self.number}"


@dataclass(frozen=True)
class History:
    wallet: Wallet
    currency: str
    rate_ppm: int
    orders: tuple[Order, ...]


@st.composite
def histories(draw: Any) -> History:
    orders: list[Order] = []
    for number in range(draw(st.integers(1, 6))):
        amount_minor = draw(st.integers(1, 500_000))
        event = draw(st.sampled_from(["", *EVENTS]))
        parts: tuple[int, ...] = ()
        if event == "refund":
            cuts = draw(st.lists(st.integers(1, amount_minor), max_size=3, unique=True).map(sorted))
            parts = tuple(end - start for start, end in zip([0, *cuts], cuts, strict=False))
        orders.append(
            Order(
                number=number,
                amount_minor=amount_minor,
                paid_at=FIRST + timedelta(seconds=draw(st.integers(0, 86_399))),
                refunds=parts,
                reversal=event if event != "refund" else "",
                later=timedelta(seconds=draw(st.integers(1, 100_000))),
            )
        )
    return History(
        wallet=WALLETS[draw(st.sampled_from(sorted(WALLETS)))],
        currency=draw(st.sampled_from(sorted(DECIMALS))),
        rate_ppm=draw(st.integers(0, 30_000)),
        orders=tuple(orders),
    )


def lines_of(history: History) -> dict[date, list[StatementLine]]:
    """The wallet's statements by day."""
    by_day: dict[date, list[StatementLine]] = {}
    for order in history.orders:
        for line in _lines_of(order, history):
            by_day.setdefault(line.at.astimezone(HONG_KONG).date(), []).append(line)
    return {
        day: [replace(line, number=n) for n, line in enumerate(lines, 1)] for day, lines in by_day.items()
    }


def _lines_of(order: Order, history: History) -> list[StatementLine]:
    def line(type_: LineType, syssn: str, amount_minor: int, fee: Decimal, at: datetime) -> StatementLine:
        money = Money(amount_minor, history.currency)
        micros = int(fee.scaleb(6))
        return a_line(type_, syssn, money, fee_micros=micros, at=at, wallet_ref=f"t{order.number}")

    def fee(amount_minor: int) -> Decimal:
        return history.wallet.fee(amount_minor, history.currency, history.rate_ppm)

    returned = history.wallet.returns_fees
    lines = [line(LineType.PAYMENT, order.syssn, order.amount_minor, fee(order.amount_minor), order.paid_at)]
    total, at = 0, order.paid_at
    for place, part in enumerate(order.refunds):
        at += order.later
        charge = fee(total + part) - fee(total) if returned else Decimal(0)
        lines.append(line(LineType.REFUND, f"R{order.number}.{place}", part, charge, at))
        total += part
    at += order.later
    if order.reversal == "by refund":
        charge = fee(order.amount_minor) if returned else Decimal(0)
        lines.append(line(LineType.REFUND, f"V{order.number}", order.amount_minor, charge, at))
    elif order.reversal:
        whole = fee(order.amount_minor)
        lines.append(line(history.wallet.cancel, order.syssn, order.amount_minor, whole, at))
    return lines


def rows_of(history: History) -> OurRows:
    """Our records. Our clock is a second behind the wallet's."""
    late = timedelta(seconds=1)
    payments, refunds, reversals = {}, {}, []
    for order in history.orders:
        amount = Money(order.amount_minor, history.currency)
        paid_at = order.paid_at.astimezone(UTC)
        payments[order.syssn] = PaymentRow(
            order.syssn, amount, State.PAID, f"t{order.number}", bool(order.reversal), paid_at - late, paid_at
        )
        at = paid_at
        for place, part in enumerate(order.refunds):
            at += order.later
            syssn = f"R{order.number}.{place}"
            money = Money(part, history.currency)
            refunds[syssn] = RefundRow(syssn, money, RefundState.DONE, at - late, at + late)
        if order.reversal:
            at += order.later
            by_refund = order.reversal == "by refund"
            action = ReversalAction.BY_REFUND if by_refund else ReversalAction.REFUNDED
            reversals.append(
                ReversalRow(
                    f"V{order.number}", order.syssn, amount, ReversalState.DONE, action, at - late, at + late
                )
            )
    return OurRows(payments, refunds, reversals)


def reconcile(history: History, lines: Mapping[date, list[StatementLine]], rows: OurRows) -> list[Finding]:
    found: list[Finding] = []
    copies = {id(line): Copy("S", day, line.number, line.wallet_ref) for day in lines for line in lines[day]}
    for day in sorted(lines):
        terms = Terms(day, StatementKind.TRANSACTIONS, history.wallet.form, history.rate_ppm)
        for line in lines[day]:
            earlier = [
                copies[id(other)]
                for of_day, others in lines.items()
                for other in others
                if (other.type, other.syssn) == (line.type, line.syssn)
                and (of_day, other.number) < (day, line.number)
            ]
            found += compare(line, Matcher(rows).match(line), earlier, terms)
    return found


@given(histories())
def test_statements_of_what_happened_agree_with_our_records(history: History) -> None:
    assert reconcile(history, lines_of(history), rows_of(history)) == []


Lines = dict[date, list[StatementLine]]
Plant = Callable[[Lines, OurRows, date, int], OurRows]


def _change(**changes: Callable[[StatementLine], Any]) -> Plant:
    def plant(lines: Lines, rows: OurRows, day: date, place: int) -> OurRows:
        line = lines[day][place]
        lines[day][place] = replace(line, **{name: change(line) for name, change in changes.items()})
        return rows

    return plant


def _duplicate(lines: Lines, rows: OurRows, day: date, place: int) -> OurRows:
    lines[day].append(replace(lines[day][place], number=len(lines[day]) + 1))
    return rows


def _move(lines: Lines, rows: OurRows, day: date, place: int) -> OurRows:
    line = lines[day].pop(place)
    far = day - timedelta(days=30)
    lines[far] = [replace(line, at=line.at - timedelta(days=30))]
    return rows


def _forget(lines: Lines, rows: OurRows, day: date, place: int) -> OurRows:
    """A refund that we do not have. A payment is needed for what is returned of it, so it is the line that changes."""
    lines[day][place] = replace(lines[day][place], syssn="unknown", payment_syssn="unknown")
    return rows


def _fail(lines: Lines, rows: OurRows, day: date, place: int) -> OurRows:
    """Our row has failed. Of a payment that failed, nothing was returned."""
    line = lines[day][place]
    if line.type is LineType.PAYMENT:
        payment = replace(rows.payments[line.syssn], state=State.FAILED)
        reversals = [row for row in rows.reversals if row.payment_syssn != line.syssn]
        for other in lines:
            lines[other] = [
                each for each in lines[other] if each is line or each.wallet_ref != line.wallet_ref
            ]
        return replace(rows, payments={**rows.payments, line.syssn: payment}, reversals=reversals)
    if line.syssn in rows.refunds:
        refund = replace(rows.refunds[line.syssn], state=RefundState.FAILED)
        return replace(rows, refunds={**rows.refunds, line.syssn: refund})
    reversals = [
        replace(row, state=ReversalState.FAILED) if line.syssn in (row.syssn, row.payment_syssn) else row
        for row in rows.reversals
    ]
    return replace(rows, reversals=reversals)


PLANTS: Final[dict[DifferenceKind, Plant]] = {
    DifferenceKind.MISSING_HERE: _forget,
    DifferenceKind.AMOUNT: _change(
        amount=lambda line: Money(line.amount.amount_minor + 1, line.amount.currency)
    ),
    DifferenceKind.FEE: _change(fee_micros=lambda line: line.fee_micros + 2_000_000),
    DifferenceKind.STATE: _fail,
    DifferenceKind.DUPLICATE: _duplicate,
    DifferenceKind.WRONG_DAY: _move,
}


@given(histories(), st.sampled_from(sorted(PLANTS)), st.data())
def test_a_planted_error_is_found_and_nothing_else(
    history: History, kind: DifferenceKind, data: st.DataObject
) -> None:
    lines = lines_of(history)
    day = data.draw(st.sampled_from(sorted(lines)))
    place = data.draw(st.integers(0, len(lines[day]) - 1))
    rows = PLANTS[kind](lines, rows_of(history), day, place)
    assert [finding.kind for finding in reconcile(history, lines, rows)] == [kind]
