"""The results of the calls as frozen dataclasses. Money is in minor units, times are aware.

`members` contains the response as received, with members that have no field here; servers may add members at any time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from tael_client.codes import Meaning, meaning_of
from tael_client.money import Money
from tael_client.paytypes import BARCODES

Members = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """An opened payment. A barcode payment is paid; an online one is created and waits for the payer."""

    syssn: str  #: the server's number; keep it as text
    reference: str
    pay_type: str
    amount: Money
    server_time: datetime
    client_time: datetime | None  #: `txdtm` as sent
    payer_ref: str  #: the payer's id at the wallet; only of barcode payments
    pay_url: str  #: Alipay: open it. Some servers have one for every online type
    qr_code: str  #: WeChat: show it as a QR code
    bridge_params: Mapping[str, str]  #: 800207, 800213: pass them to WeChat's page or mini program unchanged
    pay_params: Mapping[str, Any] = field(default_factory=dict)  #: as received: for an app
    members: Members = field(repr=False)

    @property
    def is_paid(self) -> bool:
        """Whether this response means paid. Always False for online types: a query or a webhook decides."""
        return self.pay_type in BARCODES


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A completed refund. One that is not completed raises `OutcomePending` (2999): query the refund's own `syssn`."""

    syssn: str  #: the refund's own
    payment_syssn: str
    reference: str  #: the refund's own
    amount: Money
    server_time: datetime
    members: Members = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """A completed close or reversal. `syssn` is its own; no query lists it."""

    syssn: str
    payment_syssn: str
    reference: str  #: the payment's
    server_time: datetime
    members: Members = field(repr=False)


class Close(Undoing):
    """An online order that can no longer be paid."""

    __slots__ = ()


class Reversal(Undoing):
    """A reversed barcode payment: closed if it was unpaid, refunded in full if it was paid."""

    __slots__ = ()


class RowKind(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"
    OTHER = "other"  #: a kind that this client does not know


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A payment or refund in the result of a query, in its current state."""

    kind: RowKind
    syssn: str
    reference: str
    pay_type: str
    amount: Money  #: as requested; some servers leave the currency out
    respcd: str  #: the row's own: 0000 is paid, or refunded
    text: str  #: for the cashier, mostly in Chinese
    cancel: str  #: of a payment: 0 no, 1 reversed, 2 refunded in full or in part, or closed; later servers use 3 and 5
    server_time: datetime
    client_time: datetime | None
    paid_at: datetime | None = None  #: when the money moved, if the server returns it
    wallet_ref: str = ""  #: the wallet's number
    payer_ref: str = ""  #: the payer's id at the wallet
    payment_syssn: str = ""  #: of a refund
    product_name: str = ""  #: with tael only if the app includes `goods_name`
    members: Members = field(repr=False)

    @property
    def meaning(self) -> Meaning:
        return meaning_of(self.respcd)

    @property
    def is_paid(self) -> bool:
        """Whether it is a payment that was paid, and neither reversed nor refunded."""
        return self.kind is RowKind.PAYMENT and self.meaning is Meaning.DONE and self.cancel == "0"

    @property
    def is_undone(self) -> bool:
        """Whether it is a payment that was paid and then reversed, or refunded in full or in part."""
        return self.kind is RowKind.PAYMENT and self.meaning is Meaning.DONE and self.cancel != "0"


@dataclass(frozen=True, slots=True)
class QueryPage:
    """One page of rows, newest first. `page_size` is the size that the server applied."""

    rows: tuple[Row, ...]
    page: int
    page_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a wallet paid out in one batch and currency. Amounts are minor units of `currency`, days in UTC+8."""

    settled_on: date
    wallet: str  #: as the server writes it: `微信` or `支付宝`
    merchant_number: str  #: the merchant's at the wallet
    first_day: date  #: of the trades
    last_day: date
    currency: str
    paid_minor: int
    refunded_minor: int
    net_minor: int  #: paid less refunded
    fee_minor: int  #: of the wallet
    settled_minor: int  #: net less fee; negative if the merchant owes it
    members: Members = field(repr=False)
