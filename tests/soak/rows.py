"""The rows that the soak compares: our books, the wallets', and what merchants received.

Values only. `reading.py` fills ours from columns of the same names, `receiver.py` and `merchant.py` the merchants'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: The wallets' states of an order that was paid and still holds money, whole or in part.
HOLDS_MONEY: Final = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED", "SUCCESS", "REFUND"})
#: A refund in one of these states moved nothing.
MOVED_NOTHING: Final = frozenset({"REFUNDCLOSE", "FAIL", "REFUND_FAIL"})
#: Unmatched payments in one of these states are still at the wallet.
AT_THE_WALLET: Final = frozenset({"HELD", "APPROVED", "KEPT", "REFUSED"})
PENDING, PAID, DONE, FAILED = "PENDING", "PAID", "DONE", "FAILED"


@dataclass(frozen=True, slots=True)
class PaymentRow:
    mchid: str
    syssn: str
    appcode: str
    account_id: str
    reference: str
    pay_type: str
    state: str
    amount_minor: int
    currency: str
    fee_rate_ppm: int = 0
    refunded_minor: int = 0
    reserved_minor: int = 0
    is_reversed: bool = False
    notify_merchant: bool = True


@dataclass(frozen=True, slots=True)
class RefundRow:
    syssn: str
    payment_syssn: str
    reference: str
    state: str
    amount_minor: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ReversalRow:
    syssn: str
    payment_syssn: str
    state: str


@dataclass(frozen=True, slots=True)
class EntryRow:
    cause: str
    kind: str
    debit: str
    credit: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class WebhookRow:
    cause: str
    kind: str
    state: str


@dataclass(frozen=True, slots=True)
class UnmatchedRow:
    """An unmatched payment that was booked; `syssn` is also the number of its refund."""

    syssn: str
    subject_id: str  #: the order at the wallet
    state: str
    amount_minor: int

    @property
    def held_minor(self) -> int:
        return self.amount_minor if self.state in AT_THE_WALLET else 0


@dataclass(frozen=True, slots=True)
class OurBook:
    payments: Sequence[PaymentRow] = ()
    refunds: Sequence[RefundRow] = ()
    reversals: Sequence[ReversalRow] = ()
    entries: Sequence[EntryRow] = ()
    webhooks: Sequence[WebhookRow] = ()
    unmatched: Sequence[UnmatchedRow] = ()
    #: Apps of the new style: only they get webhooks of refunds.
    new_style_apps: frozenset[str] = frozenset()

    @property
    def unmatched_numbers(self) -> frozenset[str]:
        return frozenset(row.syssn for row in self.unmatched)

    def held_minor(self, order: str) -> int:
        """What the wallet holds of unmatched payments for this order."""
        return sum(row.held_minor for row in self.unmatched if row.subject_id == order)


@dataclass(frozen=True, slots=True)
class WalletTrade:
    order: str
    state: str
    amount_minor: int
    currency: str
    refunded_minor: int

    @property
    def came_minor(self) -> int:
        return self.amount_minor if self.state in HOLDS_MONEY or self.refunded_minor else 0


@dataclass(frozen=True, slots=True)
class WalletRefund:
    order: str
    number: str
    state: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class WalletBook:
    trades: Sequence[WalletTrade] = ()
    refunds: Sequence[WalletRefund] = ()


@dataclass(frozen=True, slots=True)
class ReceivedWebhook:
    """A webhook as a merchant received it."""

    appcode: str  #: of the receiver
    syssn: str
    reference: str
    kind: str  #: payment or refund
    amount_minor: int
    body: bytes
    is_signed: bool
    was_acknowledged: bool


@dataclass(frozen=True, slots=True)
class MerchantResponse:
    """A response that a merchant received, or one row of it ("row")."""

    call: str
    reference: str
    respcd: str
    syssn: str
    orig_syssn: str = ""
    amount_minor: int | None = None  #: if the response has one
