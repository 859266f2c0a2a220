"""What can be asked for. What it is on the wire is in `calls`.

A `PaymentOrder` is made by the constructor of its pay type, which takes just what that type needs. Sending the same
order twice is safe: the server knows it by its reference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypedDict, Unpack

from tael_client.moments import wire_text
from tael_client.money import Money
from tael_client.paytypes import PayType

MAX_REFERENCE: Final = 128
MIN_VALID_TIME_S: Final = 300
MAX_NUMBERS: Final = 500


class Details(TypedDict, total=False):
    """What any payment may have besides. `more` are further parameters, without an argument here."""

    product_name: str  #: shown to the payer
    client_time: datetime  #: `txdtm`; the client sets it when it sends, unless it is given
    device: str  #: your till's name
    more: Mapping[str, str]


class OnlineDetails(Details, total=False):
    valid_time_s: int  #: how long the order can be paid, in seconds, at least 300


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentOrder:
    """A payment to open. Make it by one of the constructors."""

    pay_type: PayType
    reference: str  #: your own number, new for each payment; repeat it only to repeat this very payment
    amount: Money
    auth_code: str = field(default="", repr=False)  #: whoever has it can charge the payer
    openid: str = ""
    product_name: str = ""
    valid_time_s: int | None = None
    client_time: datetime | None = None
    device: str = ""
    more: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_number(self.reference)
        check_amount(self.amount)
        if self.is_barcode and not self.auth_code:
            raise ValueError("a barcode payment needs the payer's auth_code")
        if self.pay_type is PayType.WECHAT_IN_APP and not self.openid:
            raise ValueError("a payment inside WeChat needs the payer's openid")
        if self.valid_time_s is not None and self.valid_time_s < MIN_VALID_TIME_S:
            raise ValueError(f"valid_time_s must be at least {MIN_VALID_TIME_S}")
        if self.client_time is not None:
            wire_text(self.client_time)

    @property
    def is_barcode(self) -> bool:
        return self.pay_type.is_barcode

    @classmethod
    def alipay_web(cls, reference: str, amount: Money, **details: Unpack[OnlineDetails]) -> "PaymentOrder":
        """800151: open the answer's `pay_url` in a desktop browser."""
        return cls(pay_type=PayType.ALIPAY_WEB, reference=reference, amount=amount, **details)

    @classmethod
    def alipay_wap(cls, reference: str, amount: Money, **details: Unpack[OnlineDetails]) -> "PaymentOrder":
        """800152: open the answer's `pay_url` in a phone's browser."""
        return cls(pay_type=PayType.ALIPAY_WAP, reference=reference, amount=amount, **details)

    @classmethod
    def wechat_qr(cls, reference: str, amount: Money, **details: Unpack[OnlineDetails]) -> "PaymentOrder":
        """800201: show the answer's `qr_code`."""
        return cls(pay_type=PayType.WECHAT_QR, reference=reference, amount=amount, **details)

    @classmethod
    def wechat_in_app(
        cls, reference: str, amount: Money, openid: str, **details: Unpack[OnlineDetails]
    ) -> "PaymentOrder":
        """800207: hand `bridge_params` to WeChat. `openid` is the payer's under the merchant's own official account."""
        return cls(
            pay_type=PayType.WECHAT_IN_APP, reference=reference, amount=amount, openid=openid, **details
        )

    @classmethod
    def alipay_barcode(
        cls, reference: str, amount: Money, auth_code: str, **details: Unpack[Details]
    ) -> "PaymentOrder":
        """800108: `auth_code` is what the cashier scanned."""
        return cls._barcode(PayType.ALIPAY_BARCODE, reference, amount, auth_code, **details)

    @classmethod
    def wechat_barcode(
        cls, reference: str, amount: Money, auth_code: str, **details: Unpack[Details]
    ) -> "PaymentOrder":
        """800208: `auth_code` is what the cashier scanned."""
        return cls._barcode(PayType.WECHAT_BARCODE, reference, amount, auth_code, **details)

    @classmethod
    def wechat_hk_barcode(
        cls, reference: str, amount: Money, auth_code: str, **details: Unpack[Details]
    ) -> "PaymentOrder":
        """800228: `auth_code` is what the cashier scanned from a WeChat Pay HK wallet."""
        return cls._barcode(PayType.WECHAT_HK_BARCODE, reference, amount, auth_code, **details)

    @classmethod
    def _barcode(
        cls, pay_type: PayType, reference: str, amount: Money, auth_code: str, **details: Unpack[Details]
    ) -> "PaymentOrder":
        return cls(pay_type=pay_type, reference=reference, amount=amount, auth_code=auth_code, **details)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which rows a query shall give; all that are set must fit, and none need be.

    Times are both included, to the second, and are the server's (`sysdtm`). Without numbers and without times a
    server gives the current month of UTC+8. `query` takes times of one month only; `query_all` cuts longer ranges.
    """

    syssns: Sequence[str] = ()
    references: Sequence[str] = ()
    pay_types: Sequence[str] = ()
    respcd: str = ""  #: the rows' own code
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for values in (self.syssns, self.references, self.pay_types):
            if isinstance(values, str):
                raise TypeError("give a list of values, not one string")
            if len(values) > MAX_NUMBERS:
                raise ValueError(f"a query takes at most {MAX_NUMBERS} values of a kind")
            for value in values:
                check_number(value)
        for moment in (self.since, self.until):
            if moment is not None:
                wire_text(moment)


def check_number(number: str) -> None:
    """Raises ValueError for what no server takes as a reference or another number: commas separate them in a query."""
    is_good = number.isascii() and number.isprintable() and not set(number) & set(" ,")
    if not is_good or not 1 <= len(number) <= MAX_REFERENCE:
        raise ValueError(f"a number has 1 to {MAX_REFERENCE} ASCII characters, no blanks, no commas")


def check_amount(amount: Money) -> None:
    """Raises ValueError for nothing at all."""
    if amount.amount_minor < 1:
        raise ValueError("the amount must be at least one minor unit")
