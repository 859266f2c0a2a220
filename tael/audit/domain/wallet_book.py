"""A wallet's own book beside ours: of each order that is settled, both must hold the same money. Pure.

An order is settled when nothing about it waits, here or there, and nothing changed since the book was read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tael.audit.domain.audit import NOTHING, Disagreement, OrderRows, UnmatchedRow

TABLE: Final = "wallet's book"
#: A trade in another state holds no money, unless some of it came back: then it was paid.
PAID_STATES: Final = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED", "SUCCESS", "REFUND"})


@dataclass(frozen=True, slots=True)
class WalletTrade:
    """One row of a wallet's book, by the wallet's words for states."""

    wallet: str
    order: str  #: the number that we gave it
    trade: str
    state: str
    amount_minor: int
    currency: str
    refunded_minor: int

    @property
    def was_paid(self) -> bool:
        return self.state in PAID_STATES or self.refunded_minor > 0

    @property
    def held_minor(self) -> int:
        return self.amount_minor - self.refunded_minor if self.was_paid else 0


@dataclass(frozen=True, slots=True)
class WalletBook:
    """The trades of all wallets by order, as they stood at `read_at` (the gateway's clock)."""

    trades: Mapping[str, Sequence[WalletTrade]]
    read_at: datetime


def disagreements_with_wallet(
    order: OrderRows, unmatched_payments: Sequence[UnmatchedRow], book: WalletBook
) -> Iterator[Disagreement]:
    """What the wallet holds of an order that is settled, and what it should."""
    if not is_settled(order, unmatched_payments, book.read_at):
        return
    payment = order.payment
    ours_minor = payment.amount_minor - payment.refunded_minor if payment.state == "PAID" else 0
    unmatched_minor = sum(held_of_unmatched(unmatched) for unmatched in unmatched_payments)
    trades = book.trades.get(payment.syssn, ())
    expected = f"{ours_minor + unmatched_minor} {payment.currency}"
    if payment.state == "PAID" and not any(trade.was_paid for trade in trades):
        yield Disagreement(TABLE, payment.mchid, payment.syssn, "a paid trade", expected, _told(trades))
    elif sum(trade.held_minor for trade in trades) != ours_minor + unmatched_minor:
        yield Disagreement(TABLE, payment.mchid, payment.syssn, "money held", expected, _told(trades))
    elif (
        payment.state == "PAID"
        and not unmatched_payments
        and any(t.currency != payment.currency for t in trades)
    ):
        yield Disagreement(TABLE, payment.mchid, payment.syssn, "currency", expected, _told(trades))


def unknown_orders(
    book: WalletBook, unmatched_payments: Mapping[str, int], known: frozenset[str]
) -> Iterator[Disagreement]:
    """Orders that hold money and are not ours; `unmatched_payments` is what incidents account for, by order."""
    for order, trades in book.trades.items():
        held_minor = sum(trade.held_minor for trade in trades)
        if order not in known and held_minor != unmatched_payments.get(order, 0):
            expected = str(unmatched_payments.get(order, 0))
            yield Disagreement(TABLE, "", order, "money held for an unknown order", expected, _told(trades))


def is_settled(order: OrderRows, unmatched_payments: Sequence[UnmatchedRow], read_at: datetime) -> bool:
    """Whether no question is open about the order, and none was answered since `read_at`."""
    payment = order.payment
    waits = payment.state == "PENDING" or payment.is_watched or payment.reserved_minor > 0
    waits = waits or any(refund.state == "PROCESSING" for refund in order.refunds)
    waits = waits or any(reversal.state == "PENDING" for reversal in order.reversals)
    waits = waits or any(unmatched.state in ("SUSPECTED", "RETURNING") for unmatched in unmatched_payments)
    changes = [payment.changed_at]
    changes += [refund.changed_at for refund in order.refunds]
    changes += [reversal.changed_at for reversal in order.reversals]
    changes += [unmatched.changed_at for unmatched in unmatched_payments]
    return not waits and max(changes) < read_at


def held_of_unmatched(unmatched: UnmatchedRow) -> int:
    """What the wallet still holds of it."""
    return unmatched.amount_minor if unmatched.state in ("KEPT", "REFUSED") else 0


def _told(trades: Sequence[WalletTrade]) -> str:
    told = (
        f"trade {one.trade} {one.state} of {one.amount_minor} {one.currency}, {one.refunded_minor} refunded"
        for one in trades
    )
    return "; ".join(told) or NOTHING
