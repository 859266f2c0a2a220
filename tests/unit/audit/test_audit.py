"""The audit of one order: correct rows agree, and each single change of one is detected."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from tael.audit.domain.audit import (
    NOTHING,
    Balances,
    Disagreement,
    Missing,
    OrderRows,
    PaymentRow,
    RefundRow,
    ReversalRow,
    UnmatchedRow,
    disagreements_of_order,
    expected_lines,
    expected_of_unmatched,
    missing_row,
    wrong_lines,
)
from tael.ledger.domain.digest import Line, beginning_of, day_of
from tests.support.values import MCHID, NOW

LATER: Final = NOW + timedelta(minutes=5)
PAYMENT: Final = PaymentRow(
    mchid=MCHID,
    syssn="P",
    state="PAID",
    amount_minor=100,
    currency="HKD",
    account_id="acc",
    fee_rate_ppm=50_000,
    refunded_minor=100,
    reserved_minor=0,
    refund_count=2,
    reversal_syssn="",
    is_reversed=False,
    is_watched=False,
    changed_at=NOW,
)
R1: Final = RefundRow("R1", "P", "DONE", 30, "HKD", 0, LATER)
R2: Final = RefundRow("R2", "P", "DONE", 70, "HKD", 30, LATER)
WALLET, MERCHANT, FEE = "wallet:HKD:acc", f"merchant:HKD:{MCHID}", "fee:HKD:acc"


def line(cause: str, kind: str, debit: str, credit: str, amount_minor: int, at: datetime) -> Line:
    return Line(MCHID, cause, kind, debit, credit, amount_minor, "HKD", at)


LINES: Final = [
    line("P", "payment", WALLET, MERCHANT, 100, NOW),
    line("P", "fee", MERCHANT, FEE, 5, NOW),
    line("R1", "refund", MERCHANT, WALLET, 30, LATER),
    line("R1", "fee_back", FEE, MERCHANT, 1, LATER),
    line("R2", "refund", MERCHANT, WALLET, 70, LATER),
    line("R2", "fee_back", FEE, MERCHANT, 4, LATER),
]
ORDER: Final = OrderRows(PAYMENT, [R1, R2], [], LINES)


def undone() -> OrderRows:
    """An order that was paid and reversed."""
    payment = replace(PAYMENT, refund_count=0, reversal_syssn="V", is_reversed=True)
    back = [
        line("V", "reversal", MERCHANT, WALLET, 100, LATER),
        line("V", "fee_back", FEE, MERCHANT, 5, LATER),
    ]
    return OrderRows(payment, [], [ReversalRow("V", "P", "DONE", 100, LATER)], [*LINES[:2], *back])


def wrongs(order: OrderRows) -> list[tuple[str, str, str]]:
    return [(one.table, one.syssn, one.what) for one in disagreements_of_order(order)]


def test_correct_orders_agree() -> None:
    assert expected_lines(ORDER) == LINES
    assert wrongs(ORDER) == wrongs(undone()) == []
    assert (
        wrongs(OrderRows(replace(PAYMENT, state="CLOSED", refunded_minor=0, refund_count=0), [], [], []))
        == []
    )


def test_an_undecided_refund_is_reserved_and_not_booked() -> None:
    payment = replace(PAYMENT, refunded_minor=30, reserved_minor=70)
    waiting = replace(R2, state="PROCESSING", refunded_before_minor=None)
    assert wrongs(OrderRows(payment, [R1, waiting], [], LINES[:4])) == []
    reversing = replace(PAYMENT, refunded_minor=0, reserved_minor=100, refund_count=0, reversal_syssn="V")
    assert wrongs(OrderRows(reversing, [], [ReversalRow("V", "P", "PENDING", 100, NOW)], LINES[:2])) == []


def test_a_refund_that_failed_counts_nowhere() -> None:
    payment = replace(PAYMENT, refunded_minor=30, refund_count=1)
    failed = replace(R2, state="FAILED", refunded_before_minor=None)
    assert wrongs(OrderRows(payment, [R1, failed], [], LINES[:4])) == []


@pytest.mark.parametrize("place", range(len(LINES)))
@pytest.mark.parametrize(
    "change",
    [
        {"debit": "wallet:HKD:other"},
        {"credit": "wallet:HKD:other"},
        {"amount_minor": 7},
        {"currency": "HKE"},
        {"at": NOW + timedelta(microseconds=1)},
        {"mchid": "other"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_change_of_an_entry_is_detected(place: int, change: dict[str, Any]) -> None:
    changed = [replace(one, **change) if at == place else one for at, one in enumerate(LINES)]
    assert wrongs(replace(ORDER, lines=changed)) == [("ledger_entry", LINES[place].cause, "a wrong entry")]


@pytest.mark.parametrize("place", range(len(LINES)))
def test_a_missing_entry_is_detected(place: int) -> None:
    left = [*LINES[:place], *LINES[place + 1 :]]
    (wrong,) = disagreements_of_order(replace(ORDER, lines=left))
    assert (wrong.syssn, wrong.what, wrong.found) == (LINES[place].cause, "an entry is missing", NOTHING)


def test_an_entry_too_many_is_detected() -> None:
    extra = line("R1", "reversal", MERCHANT, WALLET, 30, LATER)
    (wrong,) = disagreements_of_order(replace(ORDER, lines=[*LINES, extra]))
    assert (wrong.syssn, wrong.what, wrong.expected) == ("R1", "an entry too many", NOTHING)


def test_an_entry_of_another_kind_is_both() -> None:
    lines = [replace(LINES[0], kind="paymenu"), *LINES[1:]]
    assert [what for _, _, what in wrongs(replace(ORDER, lines=lines))] == [
        "an entry is missing",
        "an entry too many",
    ]


def test_an_entry_may_have_been_moved_to_the_beginning_of_a_later_day() -> None:
    tomorrow = beginning_of(day_of(LATER) + timedelta(days=1))
    for at, is_right in (
        (tomorrow, True),
        (tomorrow + timedelta(microseconds=1), False),
        (beginning_of(day_of(LATER)), False),
        (datetime.max.replace(tzinfo=UTC), False),
    ):
        lines = [*LINES[:5], replace(LINES[5], at=at)]
        assert (wrongs(replace(ORDER, lines=lines)) == []) is is_right, at


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"amount_minor": 101}, ("ledger_entry", "P")),
        ({"currency": "HKE"}, ("ledger_entry", "P")),
        ({"account_id": "other"}, ("ledger_entry", "P")),
        ({"fee_rate_ppm": 60_000}, ("ledger_entry", "P")),
        ({"state": "FAILED"}, ("ledger_entry", "P")),
        ({"changed_at": LATER}, ("ledger_entry", "P")),
        ({"refunded_minor": 99}, ("payment", "P")),
        ({"reserved_minor": 1}, ("payment", "P")),
        ({"refund_count": 1}, ("payment", "P")),
        ({"is_reversed": True}, ("payment", "P")),
        ({"reversal_syssn": "V"}, ("reversal", "V")),
    ],
    ids=str,
)
def test_each_change_of_a_payment_is_detected(change: dict[str, Any], named: tuple[str, str]) -> None:
    assert wrongs(replace(ORDER, payment=replace(PAYMENT, **change)))[0][:2] == named


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"amount_minor": 31}, ("ledger_entry", "R1")),
        ({"state": "FAILED"}, ("ledger_entry", "R1")),
        ({"refunded_before_minor": 1}, ("refund", "R1")),
        ({"currency": "HKE"}, ("refund", "R1")),
        ({"changed_at": NOW}, ("ledger_entry", "R1")),
    ],
    ids=str,
)
def test_each_change_of_a_refund_is_detected(change: dict[str, Any], named: tuple[str, str]) -> None:
    assert named in [wrong[:2] for wrong in wrongs(replace(ORDER, refunds=[replace(R1, **change), R2]))]


@pytest.mark.parametrize(
    "change",
    [{"state": "FAILED"}, {"syssn": "W"}, {"changed_at": NOW}],
    ids=lambda change: next(iter(change)),
)
def test_each_change_of_a_reversal_is_detected(change: dict[str, Any]) -> None:
    order = undone()
    (reversal,) = order.reversals
    assert wrongs(replace(order, reversals=[replace(reversal, **change)]))
    assert ("reversal", "V", "a row is missing") in wrongs(replace(order, reversals=[]))


def test_a_returned_unmatched_payment_balances() -> None:
    unmatched = UnmatchedRow(MCHID, "S", "P", "RETURNED", 7, "HKD", "acc", NOW)
    came, went = expected_of_unmatched(unmatched)
    assert (came.kind, came.debit, came.credit) == ("unmatched_received", WALLET, "unmatched:HKD:acc")
    assert (went.kind, went.debit, went.credit) == ("unmatched_returned", came.credit, came.debit)
    for state in ("HELD", "KEPT", "RETURNING", "REFUSED"):
        assert expected_of_unmatched(replace(unmatched, state=state)) == [came]
    booked = [replace(came, at=NOW), replace(went, at=LATER)]
    assert list(wrong_lines([came, went], booked)) == []
    (wrong,) = wrong_lines([came, went], booked[:1])
    assert (wrong.syssn, wrong.what) == ("S", "an entry is missing")


def test_balances_sum_to_zero() -> None:
    balances = Balances()
    for one in LINES[:4]:
        balances.add(one)
    assert balances.minor == {("wallet", "HKD"): 70, ("merchant", "HKD"): -66, ("fee", "HKD"): -4}
    assert sum(balances.minor.values()) == 0


def test_a_missing_row_is_reported_with_the_row_that_refers_to_it() -> None:
    assert missing_row(Missing("payment", MCHID, "P", "refund R1")) == Disagreement(
        "payment", MCHID, "P", "a row is missing", "a row, since refund R1 refers to it", NOTHING
    )
