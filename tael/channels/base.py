"""The interface to a wallet: orders in, outcomes out. Service code depends on it and on no wallet's protocol.

A `ChannelOrder` is frozen and complete, so a channel needs neither the store nor the merchant API. No failure of a
wallet or network raises: it is `NotSent` or `Unknown`. Only `read_notice` raises.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, BinaryIO, Protocol

from msgspec import Struct, structs

from tael.base.money import Money
from tael.base.pay_types import PayType, Region, Wallet
from tael.channels.outcomes import OpenidOutcome, Outcome, RefundOutcome, ReversalOutcome
from tael.channels.statements import DownloadOutcome, StatementKind
from tael.merchants.domain.account import Account


class BadSignature(Exception):
    """A notice that failed verification: it must change nothing."""


#: Called after each response that must be signed, with the account of `Account.verifiers` whose keys verified it, or
#: None. Never raises.
NoteAnswer = Callable[[Account, Account | None], Awaitable[None]]


async def note_nothing(account: Account, verifier: Account | None) -> None:
    """For a channel whose responses are not counted."""


class ChannelOrder(Struct, frozen=True):
    """Everything that a wallet needs about one payment. Instants are UTC; the order number at the wallet is `syssn`."""

    account: Account
    pay_type: PayType
    syssn: str
    amount: Money
    subject: str  #: shown to the payer; at most 256 characters, which the channel adapts to its wallet
    created_at: datetime
    expires_at: datetime  #: the wallet should take no money from then on
    notice_url: str  #: where the wallet sends its notices; "" if the gateway's base URL is unknown
    return_url: str  #: our URL to which the payer's browser returns; online Alipay only
    auth_code: str = ""  #: the payer's barcode; only in the initial request of an offline payment
    forbid_credit: bool = False  #: refuse credit cards, if the wallet can
    openid: str = ""  #: the payer's, if the pay type needs it; under the appid of the page or mini program
    region: Region | None = None  #: whose edition of the wallet may pay; None for any
    payer_ip: str = ""  #: of the payer's browser, if the pay type needs it
    scene_info: str = ""  #: JSON text about the merchant's site, if the pay type needs it
    goods_info: str = ""  #: the merchant's description of the goods, for a wallet that shows it
    wallet_ref: str = ""  #: the wallet's own number, once known
    names_trade: bool = False  #: query and refund by `wallet_ref`: our number has several trades there

    def replace(self, **changes: Any) -> "ChannelOrder":
        """A copy with these fields changed."""
        return structs.replace(self, **changes)


@dataclass(frozen=True, slots=True)
class ChannelRefund:
    """Everything that a wallet needs about one refund; its number there is `syssn`, the same in every repeat."""

    order: ChannelOrder  #: the payment it belongs to
    syssn: str
    amount: Money
    requested_at: datetime  #: when the refund was created here, UTC; the same in every repeat
    notice_url: str


@dataclass(frozen=True, slots=True)
class PaymentNotice:
    """A notice of a payment. If `confirmed` is false, the wallet's signature does not cover the outcome: query it."""

    syssn: str
    outcome: Outcome
    confirmed: bool = True


@dataclass(frozen=True, slots=True)
class RefundNotice:
    """A notice of a refund; always confirmed with a query before money is booked."""

    syssn: str  #: the refund's
    payment_syssn: str


Notice = PaymentNotice | RefundNotice


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The response bodies that a wallet takes as "received" or "send it again"."""

    content_type: str
    received: bytes
    refused: bytes


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an account's contract covers. Use cases depend on this, never on which wallet or protocol it is."""

    pay_types: frozenset[str]  #: the codes that it serves
    supports_close: bool = True
    supports_partial_refunds: bool = True
    max_refunds_per_order: int | None = None
    refund_gap: timedelta = timedelta(0)  #: the wallet requires this time between two refunds of the account
    signs_returns: bool = False  #: `read_return` can verify that a payer's browser returned from the wallet


class OpenidSource(Protocol):
    """Identifies payers to a merchant's page inside the wallet's app, by their ids under the merchant's account."""

    def authorize_url(self, account: Account, return_url: str) -> str | None:
        """The wallet's page that sends the payer's browser to `return_url` with a code; None if not set up."""
        ...

    async def redeem(self, account: Account, code: str) -> OpenidOutcome:
        """Exchange a code for the payer's id. A code works once."""
        ...


class StatementSource(Protocol):
    """Where a wallet's statements are downloaded."""

    @property
    def kinds(self) -> frozenset[StatementKind]:
        """Those that the wallet has as files."""
        ...

    def available_at(self, day: date, kind: StatementKind) -> datetime:
        """When the statement of `day` (UTC+8) can be downloaded, by the wallet's documents."""
        ...

    async def download(
        self, account: Account, day: date, kind: StatementKind, target: BinaryIO
    ) -> DownloadOutcome:
        """Write the statement of `day` (UTC+8) to `target`, which is empty, as it arrives. Never raises."""
        ...


class Channel(Protocol):
    """A wallet. Each method sends a request, verifies the response, and compares numbers, amount and currency."""

    wallet: Wallet  #: the notices of its accounts arrive under this name
    acknowledgement: Acknowledgement
    #: How old an undecided barcode payment must be before the wallet accepts its reversal.
    reversal_after: timedelta
    #: If an order's number has several trades at the wallet, a single one of them can be refunded.
    refunds_single_trades: bool

    @property
    def openids(self) -> OpenidSource | None:
        """None if the wallet has no pages that need a payer's id."""
        ...

    @property
    def statements(self) -> StatementSource | None:
        """None if the wallet's statements cannot be downloaded."""
        ...

    def capabilities(self, account: Account) -> Capabilities:
        """What the contract of `account` covers."""
        ...

    def shows_code(self, auth_code: str) -> bool:
        """Whether the wallet's payers show such barcodes."""
        ...

    def deadline(self, order: ChannelOrder) -> datetime:
        """When the wallet stops taking money for `order`; never before its `expires_at`."""
        ...

    async def open(self, order: ChannelOrder) -> Outcome:
        """Request the payment. Safe to repeat with the same order."""
        ...

    async def query(self, order: ChannelOrder) -> Outcome:
        """The wallet's record of the order."""
        ...

    async def close(self, order: ChannelOrder) -> Outcome:
        """Close an unpaid order: Closed, Paid if the payer was faster, Refused, or Unknown."""
        ...

    async def reverse(self, order: ChannelOrder) -> ReversalOutcome:
        """Reverse an offline payment in any state."""
        ...

    async def refund(self, order: ChannelRefund) -> RefundOutcome:
        """Request the refund. Repeats with the same refund move money once."""
        ...

    async def query_refund(self, order: ChannelRefund) -> RefundOutcome:
        """The wallet's record of the refund. Unknown with `no_such_order` if the wallet never received it."""
        ...

    async def read_notice(self, account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
        """Verify and parse a wallet's notice, with the keys of one of the account's `verifiers`. Raises BadSignature.

        Whether the order is ours is not checked.
        """
        ...

    def read_return(self, account: Account, query: Mapping[str, str]) -> str | None:
        """The order number in a payer's return from the wallet, if one of the `verifiers` signed it. Only a hint."""
        ...
