"""Compares a wallet's own books with ours: both must hold the same money for each completed order. Pure.

An order is completed when nothing about it is in progress on either side and nothing has changed since the wallet's
books were read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tael.audit.domain.audit import NOTHING, Disagreement, OrderRows, UnmatchedRow

TABLE: Final = "wallet's book"
#: A trade in any other state holds no money, unless some of it was refunded: then it was paid.
PAID_STATES: Final = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED", "SUCCESS", "REFUND"})


@dataclass(frozen=True, slots=True)
class WalletTrade:
    """One row of a wallet's books, with the wallet's own states."""

    wallet: str
    order: str  #: our number
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
    """The trades of all wallets by order, as of `read_at` (the gateway's clock)."""

    trades: Mapping[str, Sequence[WalletTrade]]
    read_at: datetime


def disagreements_with_wallet(
    order: OrderRows, unmatched_payments: Sequence[UnmatchedRow], book: WalletBook
) -> Iterator[Disagreement]:
    """Where the wallet holds other money for a completed order than it should."""
    if not is_completed(order, unmatched_payments, book.read_at):
        return
    payment = order.payment
    ours_minor = payment.amount_minor - payment.refunded_minor if payment.state == "PAID" else 0
    unmatched_minor = sum(held_of_unmatched(unmatched) for unmatched in unmatched_payments)
    trades = book.trades.get(payment.syssn, ())
    expected = f"{ours_minor + unmatched_minor} {payment.currency}"
    if payment.state == "PAID" and not any(trade.was_paid for trade in trades):
        yield Disagreement(
            TABLE, payment.mchid, payment.syssn, "a paid trade", expected, _trades_text(trades)
        )
    elif sum(trade.held_minor for trade in trades) != ours_minor + unmatched_minor:
        yield Disagreement(TABLE, payment.mchid, payment.syssn, "money held", expected, _trades_text(trades))
    elif (
        payment.state == "PAID"
        and not unmatched_payments
        and any(t.currency != payment.currency for t in trades)
    ):
        yield Disagreement(TABLE, payment.mchid, payment.syssn, "currency", expected, _trades_text(trades))


def unknown_orders(
    book: WalletBook, unmatched_payments: Mapping[str, int], our_orders: frozenset[str]
) -> Iterator[Disagreement]:
    """Orders that hold money and are not ours, except unmatched payments (`unmatched_payments`, by order)."""
    for order, trades in book.trades.items():
        held_minor = sum(trade.held_minor for trade in trades)
        if order not in our_orders and held_minor != unmatched_payments.get(order, 0):
            expected = str(unmatched_payments.get(order, 0))
            yield Disagreement(
                TABLE, "", order, "money held for an unknown order", expected, _trades_text(trades)
            )


def is_completed(order: OrderRows, unmatched_payments: Sequence[UnmatchedRow], read_at: datetime) -> bool:
    """Whether nothing about the order is in progress, and nothing has changed since `read_at`."""
    payment = order.payment
    in_progress = payment.state == "PENDING" or payment.is_watched or payment.reserved_minor > 0
    in_progress = in_progress or any(refund.state == "PROCESSING" for refund in order.refunds)
    in_progress = in_progress or any(reversal.state == "PENDING" for reversal in order.reversals)
    in_progress = in_progress or any(
        unmatched.state in ("SUSPECTED", "RETURNING") for unmatched in unmatched_payments
    )
    changes = [payment.changed_at]
    changes += [refund.changed_at for refund in order.refunds]
    changes += [reversal.changed_at for reversal in order.reversals]
    changes += [unmatched.changed_at for unmatched in unmatched_payments]
    return not in_progress and max(changes) < read_at


def held_of_unmatched(unmatched: UnmatchedRow) -> int:
    """What the wallet still holds of it, in minor units."""
    return unmatched.amount_minor if unmatched.state in ("HELD", "APPROVED", "KEPT", "REFUSED") else 0


def _trades_text(trades: Sequence[WalletTrade]) -> str:
    return "; ".join(map(_trade_text, trades)) or NOTHING


def _trade_text(trade: WalletTrade) -> str:
    amount = f"{trade.amount_minor} {trade.currency}"
    return f"trade {trade.trade} {trade.state} of {amount}, {trade.refunded_minor} refunded"
