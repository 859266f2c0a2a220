"""The edge to a wallet: orders in, outcomes out. Service code knows this protocol and nothing of a wallet's words.

A `ChannelOrder` is frozen and complete, so a channel needs neither the store nor the merchant's API. Nothing that a
wallet or a network does makes a method raise: that is what `NotSent` and `Unknown` are for. Only `read_notice` raises.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from tael.base.money import Money
from tael.base.pay_types import PayType
from tael.channels.outcomes import Outcome, RefundOutcome, ReversalOutcome
from tael.merchants.domain.account import Account


class BadSignature(Exception):
    """A notice that is not proven to come from the wallet: it must change nothing."""


#: Called after each answer that should be signed: whether it was, by the account's wallet. Never raises.
NoteAnswer = Callable[[Account, bool], Awaitable[None]]


async def note_nothing(account: Account, is_verified: bool) -> None:
    """For a channel whose answers are not counted."""


@dataclass(frozen=True, slots=True)
class ChannelOrder:
    """Everything a wallet is told of one payment. Instants are UTC; the order number we give the wallet is `syssn`."""

    account: Account
    pay_type: PayType
    syssn: str
    amount: Money
    subject: str  #: shown to the payer; at most 256 characters, the channel cuts and cleans it for its wallet
    created_at: datetime
    expires_at: datetime  #: from then on the wallet should take no money for it
    notice_url: str  #: where the wallet tells us news; "" if the base URL of the gateway is not known
    return_url: str  #: where the payer's browser comes back to (our own address); online Alipay only
    auth_code: str = ""  #: the payer's barcode, on the first question of an offline payment only
    forbid_credit: bool = False  #: take no credit card, where the wallet knows such a limit
    openid: str = ""  #: 800207: the payer under the account's `sub_appid`
    wallet_ref: str = ""  #: the wallet's own number, once known
    names_trade: bool = False  #: ask by `wallet_ref`: this number of ours has several trades there


@dataclass(frozen=True, slots=True)
class ChannelRefund:
    """Everything a wallet is told of one refund; its number at the wallet is `syssn`, the same on every repeat."""

    order: ChannelOrder  #: the payment it belongs to
    syssn: str
    amount: Money
    asked_at: datetime  #: when the refund was made here, UTC: the same on every repeat
    notice_url: str


@dataclass(frozen=True, slots=True)
class PaymentNotice:
    """News of a payment. `confirmed` is false where the wallet's signature does not cover it: ask, do not believe."""

    syssn: str
    outcome: Outcome
    confirmed: bool = True


@dataclass(frozen=True, slots=True)
class RefundNotice:
    """News of a refund; always confirmed by a query before money is booked."""

    syssn: str  #: the refund's
    payment_syssn: str


Notice = PaymentNotice | RefundNotice


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The wallet's own words for "received" or "send it again"."""

    content_type: str
    received: bytes
    refused: bytes


class Channel(Protocol):
    """A wallet. Each method asks it one question, verifies the answer, and compares numbers, amount and currency."""

    acknowledgement: Acknowledgement
    #: How old an undecided barcode payment must be before the wallet takes a reversal of it.
    reversal_after: timedelta

    def deadline(self, order: ChannelOrder) -> datetime:
        """Until when the wallet may still take money for `order`; never before its `expires_at`."""
        ...

    async def open(self, order: ChannelOrder) -> Outcome:
        """Ask for the payment. Asking twice with the same order is safe."""
        ...

    async def query(self, order: ChannelOrder) -> Outcome:
        """What does the wallet know of this order?"""
        ...

    async def close(self, order: ChannelOrder) -> Outcome:
        """Take no more money for an unpaid order: Closed, Paid if the payer was faster, Refused, or not known."""
        ...

    async def reverse(self, order: ChannelOrder) -> ReversalOutcome:
        """Undo an offline payment, whatever its state."""
        ...

    async def refund(self, order: ChannelRefund) -> RefundOutcome:
        """Send money back. Asking twice with the same refund moves money once."""
        ...

    async def query_refund(self, order: ChannelRefund) -> RefundOutcome:
        """What became of this refund? Unknown with `no_such_order` if the wallet never heard of it."""
        ...

    async def read_notice(self, account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
        """A wallet's call to us, proven. Raises BadSignature; says nothing of whether the order is ours."""
        ...

    def read_return(self, account: Account, query: Mapping[str, str]) -> str | None:
        """The order that a payer's browser brings back from the wallet, if the call is properly signed; only a hint."""
        ...
