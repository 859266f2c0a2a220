"""A wallet's line against our records: each kind of difference, and what must not be one."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pytest

from tael.base.money import Money
from tael.channels.alipay_mapi.statements import STATEMENTS as ALIPAY
from tael.channels.outcomes import ReversalAction
from tael.channels.statements import LineType, StatementKind, StatementLine
from tael.channels.wechat_v2.statements import STATEMENTS as WECHAT
from tael.payments.domain.payment import State
from tael.payments.domain.refund import RefundState
from tael.payments.domain.reversal import ReversalState
from tael.reconciliation.domain.difference import DifferenceKind
from tael.reconciliation.domain.matching import Copy, Finding, Matcher, Terms, compare
from tael.reconciliation.domain.records import OurRows, PaymentRow, RefundRow, ReversalRow, UnmatchedRow
from tael.unmatched.domain.unmatched import UnmatchedState
from tests.support.statements import a_line, paid_line

#: 2026-01-03 00:00 in UTC+8.
MIDNIGHT: Final = datetime(2026, 1, 2, 16, tzinfo=UTC)
NOON: Final = MIDNIGHT - timedelta(hours=12)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
TERMS: Final = Terms(date(2026, 1, 2), StatementKind.TRANSACTIONS, WECHAT, None)
NEXT_DAY: Final = replace(TERMS, day=date(2026, 1, 3))
PAYMENT: Final = PaymentRow("P", Money(100, "HKD"), State.PAID, "t1", False, NOON - HOUR, NOON)
REFUND: Final = RefundRow("R", Money(40, "HKD"), RefundState.DONE, NOON, NOON)
REVERSAL: Final = ReversalRow(
    "V", "P", Money(100, "HKD"), ReversalState.DONE, ReversalAction.REFUNDED, NOON, NOON
)
UNMATCHED: Final = UnmatchedRow("P", "U", Money(100, "HKD"), UnmatchedState.HELD, "t2", NOON, None, None)
PAID: Final = paid_line("P", wallet_ref="t1")
RETURNED: Final = a_line(LineType.REFUND, "R", Money(40, "HKD"), payment_syssn="P")
REVOKED: Final = a_line(LineType.REVERSAL, "P")
CANCELLED: Final = a_line(LineType.REFUND, "P")  #: as Alipay lists it


def findings(
    line: StatementLine,
    *rows: PaymentRow | RefundRow | ReversalRow | UnmatchedRow,
    terms: Terms = TERMS,
    copies: Sequence[Copy] = (),
) -> list[Finding]:
    ours = OurRows(
        payments={row.syssn: row for row in rows if isinstance(row, PaymentRow)},
        refunds={row.syssn: row for row in rows if isinstance(row, RefundRow)},
        reversals=[row for row in rows if isinstance(row, ReversalRow)],
        unmatched=[row for row in rows if isinstance(row, UnmatchedRow)],
    )
    return list(compare(line, Matcher(ours).match(line), list(copies), terms))


def kinds(*arguments: Any, **options: Any) -> list[str]:
    return [finding.kind.value for finding in findings(*arguments, **options)]


CLOSED: Final = replace(PAYMENT, state=State.CLOSED, paid_at=None, wallet_ref="")
RETURNED_UNMATCHED: Final = replace(UNMATCHED, state=UnmatchedState.RETURNED, asked_at=NOON, returned_at=NOON)
AGREE: Final[dict[str, tuple[Any, ...]]] = {
    "payment": (PAID, PAYMENT),
    "payment, without the wallet's number": (replace(PAID, wallet_ref=""), PAYMENT),
    "refund": (RETURNED, PAYMENT, REFUND),
    "refund under way on both sides": (
        replace(RETURNED, state="PROCESSING"),
        PAYMENT,
        replace(REFUND, state=RefundState.PROCESSING, done_at=None),
    ),
    "refund, done after the statement": (replace(RETURNED, state="PROCESSING"), PAYMENT, REFUND),
    "refund that failed on both sides": (
        replace(RETURNED, state="FAIL"),
        PAYMENT,
        replace(REFUND, state=RefundState.FAILED, done_at=None),
    ),
    "reversal at WeChat Pay": (REVOKED, PAYMENT, REVERSAL),
    "cancel at Alipay": (CANCELLED, PAYMENT, REVERSAL),
    "reversal of which the wallet does not say what it did": (
        REVOKED,
        CLOSED,
        replace(REVERSAL, action=ReversalAction.DONE),
    ),
    "payment between two of our requests, then reversed": (
        PAID,
        CLOSED,
        replace(REVERSAL, action=ReversalAction.DONE),
    ),
    "reversal by refund": (
        a_line(LineType.REFUND, "V"),
        PAYMENT,
        replace(REVERSAL, action=ReversalAction.BY_REFUND),
    ),
    "unmatched payment after a failure": (
        replace(PAID, wallet_ref="t2"),
        replace(CLOSED, state=State.FAILED),
        UNMATCHED,
    ),
    "unmatched payment of an unknown order": (replace(PAID, wallet_ref=""), UNMATCHED),
    "unmatched payment beside the order's own": (replace(PAID, wallet_ref="t2"), PAYMENT, UNMATCHED),
    "return of an unmatched payment": (a_line(LineType.REFUND, "U"), RETURNED_UNMATCHED),
    "yen": (
        paid_line("P", Money(1200, "JPY")),
        replace(PAYMENT, amount=Money(1200, "JPY")),
    ),
    "another currency, whose rate we do not know": (
        paid_line("P", Money(912, "CNY")),
        PAYMENT,
    ),
    "another currency, settled in ours": (
        paid_line("P", Money(912, "CNY"), settlement=Money(100, "HKD")),
        PAYMENT,
    ),
}


@pytest.mark.parametrize("name", AGREE)
def test_movements_that_agree_are_no_difference(name: str) -> None:
    assert findings(*AGREE[name]) == []


DIFFER: Final[dict[str, tuple[str, tuple[Any, ...]]]] = {
    "unknown payment": ("missing_here", (PAID,)),
    "unknown refund": ("missing_here", (RETURNED, PAYMENT)),
    "refund with the number of its order, at WeChat Pay": (
        "missing_here",
        (replace(RETURNED, syssn="P", payment_syssn="another"), PAYMENT),
    ),
    "unknown reversal": ("missing_here", (REVOKED,)),
    "voided unmatched payment": (
        "missing_here",
        (replace(PAID, wallet_ref="t2"), replace(UNMATCHED, state=UnmatchedState.VOIDED)),
    ),
    "pending payment": ("state", (PAID, replace(CLOSED, state=State.PENDING))),
    "closed payment": ("state", (PAID, CLOSED)),
    "payment that a reversal found unpaid": (
        "state",
        (PAID, CLOSED, replace(REVERSAL, action=ReversalAction.CLOSED)),
    ),
    "refund under way here": (
        "state",
        (RETURNED, PAYMENT, replace(REFUND, state=RefundState.PROCESSING)),
    ),
    "refund that failed here": ("state", (RETURNED, PAYMENT, replace(REFUND, state=RefundState.FAILED))),
    "refund that failed at the wallet": ("state", (replace(RETURNED, state="REFUNDCLOSE"), PAYMENT, REFUND)),
    "refund that did not reach the payer": ("state", (replace(RETURNED, state="CHANGE"), PAYMENT, REFUND)),
    "reversal without one here": ("state", (REVOKED, PAYMENT)),
    "cancel without one here": ("state", (CANCELLED, PAYMENT)),
    "reversal under way here": (
        "state",
        (REVOKED, PAYMENT, replace(REVERSAL, state=ReversalState.PENDING, action=None)),
    ),
    "reversal that went by a refund": (
        "state",
        (REVOKED, PAYMENT, replace(REVERSAL, action=ReversalAction.BY_REFUND)),
    ),
    "return that was refused": (
        "state",
        (a_line(LineType.REFUND, "U"), replace(UNMATCHED, state=UnmatchedState.REFUSED)),
    ),
    "amount of a payment": ("amount", (paid_line("P", Money(101, "HKD")), PAYMENT)),
    "amount of a refund": ("amount", (replace(RETURNED, amount=Money(41, "HKD")), PAYMENT, REFUND)),
    "amount of a reversal": ("amount", (a_line(LineType.REVERSAL, "P", Money(99, "HKD")), PAYMENT, REVERSAL)),
    "settled amount": (
        "amount",
        (paid_line("P", Money(912, "CNY"), settlement=Money(99, "HKD")), PAYMENT),
    ),
    "second trade": ("duplicate", (replace(PAID, wallet_ref="t2"), PAYMENT)),
}


@pytest.mark.parametrize("name", DIFFER)
def test_movements_that_disagree_are_one_difference(name: str) -> None:
    kind, arguments = DIFFER[name]
    assert kinds(*arguments) == [kind]


def test_of_several_lines_about_a_movement_the_earlier_one_is_compared() -> None:
    copy = Copy("S", TERMS.day, 1, "t1")
    assert kinds(PAID, PAYMENT, copies=[copy]) == ["duplicate"]
    assert kinds(replace(PAID, amount=Money(1, "HKD")), PAYMENT, copies=[copy]) == ["duplicate"]
    assert kinds(PAID, PAYMENT, copies=[replace(copy, wallet_ref="t2")]) == []  # another trade's
    assert kinds(PAID, PAYMENT, copies=[replace(copy, wallet_ref="")]) == ["duplicate"]


#: A payment's or refund's own time, the time of the end, and on which of two days the wallet may list it.
DAYS: Final = [
    (MIDNIGHT - 6 * 60 * SECOND, True, False),
    (MIDNIGHT - 4 * 60 * SECOND, True, True),
    (MIDNIGHT - SECOND, True, True),
    (MIDNIGHT + SECOND, True, True),
    (MIDNIGHT + 6 * 60 * SECOND, False, True),
]


@pytest.mark.parametrize(("at", "on_day", "on_next"), DAYS)
def test_a_payment_is_on_the_day_of_the_wallets_time(at: datetime, on_day: bool, on_next: bool) -> None:
    row = replace(PAYMENT, paid_at=at)
    assert (kinds(PAID, row) == []) is on_day
    assert (kinds(PAID, row, terms=NEXT_DAY) == []) is on_next
    later = replace(TERMS, day=date(2026, 1, 4))
    assert kinds(PAID, row, terms=later) == ["wrong_day"]
    assert kinds(PAID, row, terms=replace(later, kind=StatementKind.SETTLEMENT)) == []


def test_a_refund_is_on_any_day_from_its_request_to_its_end() -> None:
    row = replace(REFUND, created_at=NOON, done_at=NOON + timedelta(days=2))
    found = [
        kinds(RETURNED, PAYMENT, row, terms=replace(TERMS, day=date(2026, 1, day))) for day in range(1, 6)
    ]
    assert found == [["wrong_day"], [], [], [], ["wrong_day"]]
    under_way = replace(row, state=RefundState.PROCESSING, done_at=None)
    pending, much_later = replace(RETURNED, state="PROCESSING"), replace(TERMS, day=date(2026, 1, 9))
    assert kinds(pending, PAYMENT, under_way, terms=much_later) == []


def test_a_payment_that_was_reversed_before_it_was_seen_has_the_time_of_the_reversal() -> None:
    created_at = NOON - timedelta(days=1)
    row = replace(PAYMENT, created_at=created_at, paid_at=NOON, is_reversed=True)
    for day in (date(2026, 1, 1), date(2026, 1, 2)):
        assert kinds(PAID, row, terms=replace(TERMS, day=day)) == []


#: Wallet, type, amount, charged in micros, and the fees in micros that are right at 0.6 %: by the wallets' documents.
FEES: Final[list[tuple[Any, StatementLine, set[int]]]] = [
    (WECHAT, paid_line("P", Money(1002, "HKD")), {60_120}),
    (WECHAT, paid_line("P", Money(1, "HKD")), {60}),
    (WECHAT, paid_line("P", Money(1234, "JPY")), {7_404_000}),
    (WECHAT, replace(RETURNED, amount=Money(333, "HKD")), {19_970, 19_980, 19_990}),
    (WECHAT, a_line(LineType.REVERSAL, "P", Money(1002, "HKD")), {60_120}),
    (ALIPAY, paid_line("P", Money(1002, "HKD")), {60_000}),
    (ALIPAY, paid_line("P", Money(1042, "HKD")), {60_000}),
    (ALIPAY, paid_line("P", Money(1084, "HKD")), {70_000}),
    (ALIPAY, paid_line("P", Money(1250, "HKD")), {80_000}),  # 7.5 cents: half up
    (ALIPAY, paid_line("P", Money(40, "HKD")), {0}),
    (ALIPAY, paid_line("P", Money(1234, "JPY")), {7_000_000}),
    (ALIPAY, RETURNED, {0}),
    (ALIPAY, a_line(LineType.REFUND, "P", Money(1002, "HKD")), {60_000}),
]


@pytest.mark.parametrize(("form", "line", "right"), FEES)
def test_a_fee_is_right_to_the_last_decimal_of_its_wallet(
    form: Any, line: StatementLine, right: set[int]
) -> None:
    rows = (
        replace(PAYMENT, amount=line.amount),
        replace(REFUND, amount=line.amount),
        replace(REVERSAL, amount=line.amount),
    )
    terms = replace(TERMS, form=form, fee_rate_ppm=6_000)
    candidates = {micros + by for micros in right for by in (-10_000, -10, 0, 10, 10_000) if micros + by >= 0}
    for micros in candidates:
        expected = [] if micros in right else [DifferenceKind.FEE.value]
        assert kinds(replace(line, fee_micros=micros), *rows, terms=terms) == expected, micros


def test_fees_are_compared_only_with_a_rate_and_the_same_amount() -> None:
    line = replace(PAID, fee_micros=123_456)
    assert kinds(line, PAYMENT) == []
    terms = replace(TERMS, fee_rate_ppm=0)
    assert kinds(line, PAYMENT, terms=terms) == ["fee"]
    assert kinds(replace(line, amount=Money(99, "HKD")), PAYMENT, terms=terms) == ["amount"]
    (finding,) = findings(line, PAYMENT, terms=replace(TERMS, fee_rate_ppm=6_000))
    assert (finding.fee_micros, finding.detail) == (6_000, "a fee of 0.123456 HKD, expected 0.006000")
