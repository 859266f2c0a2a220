"""A wallet's book against ours: only decided orders are compared, by the money that they hold."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from tael.audit.domain.audit import OrderRows, RefundRow, ReversalRow, UnmatchedRow
from tael.audit.domain.wallet_book import (
    WalletBook,
    WalletTrade,
    disagreements_with_wallet,
    is_completed,
    unknown_orders,
)
from tests.support.values import MCHID, NOW
from tests.unit.audit.test_audit import PAYMENT

READ_AT: Final = NOW + timedelta(hours=1)
PAID: Final = replace(PAYMENT, refunded_minor=30, refund_count=1)
REFUND: Final = RefundRow("R1", "P", "DONE", 30, "HKD", 0, NOW)
ORDER: Final = OrderRows(PAID, [REFUND], [], [])
TRADE: Final = WalletTrade("wechat", "P", "t1", "REFUND", 100, "HKD", 30)
UNMATCHED: Final = UnmatchedRow(MCHID, "S", "P", "HELD", 9, "HKD", "acc", NOW)


def whats(
    order: OrderRows, *trades: WalletTrade, unmatched_payments: tuple[UnmatchedRow, ...] = ()
) -> list[str]:
    book = WalletBook({"P": trades} if trades else {}, READ_AT)
    return [one.what for one in disagreements_with_wallet(order, unmatched_payments, book)]


def test_both_hold_the_same_money() -> None:
    assert whats(ORDER, TRADE) == []
    assert whats(OrderRows(replace(PAID, state="EXPIRED", refunded_minor=0), [], [], [])) == []
    closed = replace(TRADE, state="TRADE_CLOSED", refunded_minor=0)
    assert whats(OrderRows(replace(PAID, state="CLOSED", refunded_minor=0), [], [], []), closed) == []


@pytest.mark.parametrize("state", ["TRADE_SUCCESS", "TRADE_FINISHED", "SUCCESS", "REFUND"])
def test_states_of_paid_trades(state: str) -> None:
    assert whats(ORDER, replace(TRADE, state=state)) == []


def test_a_trade_in_any_state_was_paid_if_some_came_back() -> None:
    order = OrderRows(replace(PAID, refunded_minor=100), [], [], [])
    assert whats(order, replace(TRADE, state="REVOKED", refunded_minor=100)) == []
    assert whats(order, replace(TRADE, state="REVOKED", refunded_minor=0)) == ["a paid trade"]


@pytest.mark.parametrize(
    ("trades", "what"),
    [
        ((), "a paid trade"),
        ((replace(TRADE, state="NOTPAY", refunded_minor=0),), "a paid trade"),
        ((replace(TRADE, amount_minor=101),), "money held"),
        ((replace(TRADE, refunded_minor=31),), "money held"),
        ((TRADE, replace(TRADE, trade="t2")), "money held"),
        ((replace(TRADE, currency="JPY"),), "currency"),
    ],
)
def test_different_money_is_reported(trades: tuple[WalletTrade, ...], what: str) -> None:
    assert whats(ORDER, *trades) == [what]


def test_money_for_an_order_that_is_unpaid_here_is_reported() -> None:
    failed = OrderRows(replace(PAID, state="FAILED", refunded_minor=0, refund_count=0), [], [], [])
    assert whats(failed, TRADE) == ["money held"]


def test_an_unmatched_payment_is_held_until_it_is_returned() -> None:
    twice = (TRADE, WalletTrade("wechat", "P", "t2", "SUCCESS", 9, "HKD", 0))
    assert whats(ORDER, *twice, unmatched_payments=(UNMATCHED,)) == []
    for state in ("KEPT", "REFUSED"):
        assert whats(ORDER, *twice, unmatched_payments=(replace(UNMATCHED, state=state),)) == []
    assert whats(ORDER, *twice, unmatched_payments=(replace(UNMATCHED, state="RETURNED"),)) == ["money held"]


@pytest.mark.parametrize(
    "order",
    [
        replace(ORDER, payment=replace(PAID, state="PENDING")),
        replace(ORDER, payment=replace(PAID, is_watched=True)),
        replace(ORDER, payment=replace(PAID, reserved_minor=1)),
        replace(ORDER, payment=replace(PAID, changed_at=READ_AT)),
        replace(ORDER, refunds=[replace(REFUND, state="PROCESSING")]),
        replace(ORDER, refunds=[replace(REFUND, changed_at=READ_AT)]),
        replace(ORDER, reversals=[ReversalRow("V", "P", "PENDING", 0, NOW)]),
        replace(ORDER, reversals=[ReversalRow("V", "P", "FAILED", 0, READ_AT)]),
    ],
)
def test_an_undecided_or_just_changed_order_is_not_compared(order: OrderRows) -> None:
    assert is_completed(ORDER, (), READ_AT)
    assert not is_completed(order, (), READ_AT)
    assert whats(order) == []


@pytest.mark.parametrize("change", [{"state": "SUSPECTED"}, {"state": "RETURNING"}, {"changed_at": READ_AT}])
def test_an_order_with_an_unmatched_payment_in_progress_is_not_compared(change: dict[str, Any]) -> None:
    assert is_completed(ORDER, (UNMATCHED,), READ_AT)
    assert not is_completed(ORDER, (replace(UNMATCHED, **change),), READ_AT)


def test_money_for_an_unknown_order_is_reported_unless_an_incident_accounts_for_it() -> None:
    book = WalletBook({"P": [TRADE]}, READ_AT)
    (wrong,) = unknown_orders(book, {}, frozenset())
    assert (wrong.syssn, wrong.what) == ("P", "money held for an unknown order")
    assert list(unknown_orders(book, {"P": 70}, frozenset())) == []
    assert len(list(unknown_orders(book, {"P": 69}, frozenset()))) == 1
    assert list(unknown_orders(book, {}, frozenset({"P"}))) == []
    unpaid = WalletBook({"P": [replace(TRADE, state="NOTPAY", refunded_minor=0)]}, READ_AT)
    assert list(unknown_orders(unpaid, {}, frozenset())) == []
