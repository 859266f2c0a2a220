"""What the calls answer: frozen values, read from members once. Money in minor units, times aware.

`members` holds the answer as it came, for what has no name here; servers add members at any time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from tael_client.codes import Meaning, meaning_of
from tael_client.money import Money
from tael_client.paytypes import BARCODES

Members = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """An opened payment. A barcode's is paid; an online one is created, and the payer's part is still to come."""

    syssn: str  #: the server's number; keep it as text
    reference: str
    pay_type: str
    amount: Money
    server_time: datetime
    client_time: datetime | None  #: `txdtm` as sent
    payer_ref: str  #: who paid, by the wallet's id; a barcode's only
    pay_url: str  #: Alipay: open it. Some servers have one for every online type
    qr_code: str  #: WeChat: show it as a QR code
    bridge_params: Mapping[str, str]  #: 800207: hand them to WeChat's JavaScript bridge unchanged
    members: Members = field(repr=False)

    @property
    def is_paid(self) -> bool:
        """By this answer alone. False for every online type: there a query or a webhook tells."""
        return self.pay_type in BARCODES


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refund that is done. Not finished yet is `OutcomePending` (2999): query the refund's own `syssn`."""

    syssn: str  #: the refund's own
    payment_syssn: str
    reference: str  #: the refund's own
    amount: Money
    server_time: datetime
    members: Members = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """A close or a reversal that is done. `syssn` is its own; no query lists it."""

    syssn: str
    payment_syssn: str
    reference: str  #: the payment's
    server_time: datetime
    members: Members = field(repr=False)


class Close(Undoing):
    """An online order that can no longer be paid."""

    __slots__ = ()


class Reversal(Undoing):
    """A barcode payment that was undone: closed if it was unpaid, refunded in full if it was paid."""

    __slots__ = ()


class RowKind(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"
    OTHER = "other"  #: a kind that only later servers list


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One payment or refund in the answer of a query, as it stands now."""

    kind: RowKind
    syssn: str
    reference: str
    pay_type: str
    amount: Money  #: what was asked for; some servers leave the currency out
    respcd: str  #: the row's own: 0000 is paid, or refunded
    text: str  #: for the cashier, mostly in Chinese
    cancel: (
        str  #: of a payment: 0 nothing, 1 reversed, 2 refunded (wholly or in part) or closed; 3 and 5 later
    )
    server_time: datetime
    client_time: datetime | None
    paid_at: datetime | None = None  #: when the money moved, if the server says so
    wallet_ref: str = ""  #: the wallet's number
    payer_ref: str = ""  #: who paid, by the wallet's id
    payment_syssn: str = ""  #: of a refund
    product_name: str = ""  #: in tael only for apps that ask for it
    members: Members = field(repr=False)

    @property
    def meaning(self) -> Meaning:
        return meaning_of(self.respcd)

    @property
    def is_paid(self) -> bool:
        """The payer's money came, and none of it went back. A refund's row is never paid."""
        return self.kind is RowKind.PAYMENT and self.meaning is Meaning.DONE and self.cancel == "0"

    @property
    def is_undone(self) -> bool:
        """It was paid, and reversed or refunded since, wholly or in part."""
        return self.kind is RowKind.PAYMENT and self.meaning is Meaning.DONE and self.cancel != "0"


@dataclass(frozen=True, slots=True)
class QueryPage:
    """One page of rows, newest first. `page_size` is what the server made of the size asked for."""

    rows: tuple[Row, ...]
    page: int
    page_size: int
