"""A wallet as a value: what one order of it is, and what it answers to each question. Written from the wallets' rules.

An order may be paid until it is closed or undone. Closing a paid order is refused by telling that it is paid. Undoing a
barcode order closes it, or sends all of it back, unless a part went back before.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from tael.domain.money import Money
from tael.domain.outcome import (
    AwaitingPayer,
    Closed,
    Outcome,
    Paid,
    PayCode,
    Refunded,
    RefundOutcome,
    Refusal,
    Refused,
    Reversal,
    ReversalAction,
    Reversed,
    Unknown,
)

PRICE: Final = Money(100, "HKD")
PART: Final = Money(40, "HKD")
TRADE: Final = "trade-1"
NOBODY: Final = Unknown("no such order", no_such_order=True)


@dataclass(frozen=True, slots=True)
class PureWallet:
    """One order. `remembers_paid`: a query of an undone order still says paid, as Alipay's does in a store."""

    is_online: bool
    remembers_paid: bool
    paid_at: datetime
    is_there: bool = False
    is_paid: bool = False
    is_over: bool = False  #: closed or undone: no money comes any more
    is_undone: bool = False
    has_part_back: bool = False

    @property
    def holds_minor(self) -> int:
        if not self.is_paid or self.is_undone:
            return 0
        return PRICE.amount_minor - (PART.amount_minor if self.has_part_back else 0)

    def created(self) -> "PureWallet":
        return replace(self, is_there=True)

    def after_the_payer(self) -> "PureWallet":
        """The payer pays, if that can be."""
        return replace(self, is_paid=True) if self.is_there and not self.is_over else self

    def state(self) -> Outcome:
        """The answer to a query."""
        if not self.is_there:
            return NOBODY
        if self.is_paid and (not self.is_undone or self.remembers_paid):
            return Paid(PRICE, TRADE, "payer-1", self.paid_at)
        return Closed() if self.is_over else AwaitingPayer()

    def opened(self) -> Outcome:
        """The answer to the question that creates the order."""
        return AwaitingPayer(PayCode("pay://1")) if self.is_online else self.state()

    def closed(self) -> "tuple[PureWallet, Outcome]":
        if not self.is_there or self.is_paid:
            return self, self.state()
        return replace(self, is_over=True), Closed()

    def reversed(self) -> "tuple[PureWallet, Reversal]":
        if not self.is_there:
            return self, NOBODY
        if self.has_part_back:
            return self, Refused(Refusal.REVERSAL_REFUSED, "PARTLY_REFUNDED")
        action = ReversalAction.REFUNDED if self.is_paid else ReversalAction.CLOSED
        return replace(self, is_over=True, is_undone=True), Reversed(action, TRADE)

    def refunded(self) -> "tuple[PureWallet, RefundOutcome]":
        if not self.is_paid:
            return self, Refused(Refusal.WRONG_STATE, "NOT_PAID")
        if self.is_undone:
            return self, Refused(Refusal.ALREADY_REFUNDED, "UNDONE")
        return replace(self, has_part_back=True), Refunded(PART, "refund-1", self.paid_at)

    def refund_state(self) -> RefundOutcome:
        """The answer to a query of the refund."""
        return Refunded(PART, "refund-1", self.paid_at) if self.has_part_back else NOBODY
