"""Payment orders and query filters. `calls` converts them to parameters.

Create a `PaymentOrder` with the constructor of its pay type, which takes the fields that the type needs. Sending the
same order twice is safe: the server recognizes its reference.
"""

import json
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
    """Optional fields of any payment. `more` has further parameters of the API."""

    product_name: str  #: shown to the payer
    client_time: datetime  #: `txdtm`; by default the time of sending
    device: str  #: the name of your point-of-sale device
    more: Mapping[str, str]


class OnlineDetails(Details, total=False):
    valid_time_s: int  #: how long the order can be paid, in seconds, at least 300


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentOrder:
    """A payment to open. Create it with one of the constructors below, or with a `pay_type` that has none."""

    pay_type: PayType
    reference: str  #: your own number, new for each payment; use it again only to repeat the same payment
    amount: Money
    auth_code: str = field(default="", repr=False)  #: secret: it authorizes a charge
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
        if self.pay_type.needs_openid and not self.openid:
            raise ValueError("a payment inside WeChat needs the payer's openid")
        if self.pay_type is PayType.WECHAT_H5 and not self.more.get("extend_info"):
            raise ValueError(
                "a payment in a phone's browser needs the payer's address: create it with `wechat_h5`"
            )
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
        """800207: pass `bridge_params` to WeChat. `openid` is the payer's under the merchant's official account."""
        return cls(
            pay_type=PayType.WECHAT_IN_APP, reference=reference, amount=amount, openid=openid, **details
        )

    @classmethod
    def wechat_mini_program(
        cls, reference: str, amount: Money, openid: str, **details: Unpack[OnlineDetails]
    ) -> "PaymentOrder":
        """800213: pass `bridge_params` to `wx.requestPayment`. `openid` is the payer's under the mini program."""
        return cls(
            pay_type=PayType.WECHAT_MINI_PROGRAM, reference=reference, amount=amount, openid=openid, **details
        )

    @classmethod
    def wechat_app(cls, reference: str, amount: Money, **details: Unpack[OnlineDetails]) -> "PaymentOrder":
        """800210: pass the answer's `pay_params` to WeChat's SDK in your app."""
        return cls(pay_type=PayType.WECHAT_APP, reference=reference, amount=amount, **details)

    @classmethod
    def wechat_h5(
        cls,
        reference: str,
        amount: Money,
        payer_ip: str,
        site_url: str,
        site_name: str,
        **details: Unpack[OnlineDetails],
    ) -> "PaymentOrder":
        """800212: open `pay_url` in the browser of the phone with the address `payer_ip`, within five minutes.

        The page that opens it must be below `site_url`, whose domain is registered at WeChat Pay.
        """
        site = {"type": "Wap", "wap_url": site_url, "wap_name": site_name}
        info = json.dumps({"scene_info": {"h5_info": site}, "spbill_create_ip": payer_ip}, ensure_ascii=False)
        details["more"] = {**details.get("more", {}), "extend_info": info}
        return cls(pay_type=PayType.WECHAT_H5, reference=reference, amount=amount, **details)

    @classmethod
    def alipay_qr(cls, reference: str, amount: Money, **details: Unpack[OnlineDetails]) -> "PaymentOrder":
        """800101: show the answer's `qr_code` in the shop."""
        return cls(pay_type=PayType.ALIPAY_QR, reference=reference, amount=amount, **details)

    @classmethod
    def alipay_app(cls, reference: str, amount: Money, **details: Unpack[OnlineDetails]) -> "PaymentOrder":
        """801110: join the answer's `pay_params` as `name="value"` and pass them to Alipay's SDK in your app."""
        return cls(pay_type=PayType.ALIPAY_APP, reference=reference, amount=amount, **details)

    @classmethod
    def any_barcode(
        cls, reference: str, amount: Money, auth_code: str, **details: Unpack[Details]
    ) -> "PaymentOrder":
        """800008: `auth_code` is the barcode of any wallet, scanned by the cashier."""
        return cls._barcode(PayType.ANY_BARCODE, reference, amount, auth_code, **details)

    @classmethod
    def alipay_barcode(
        cls, reference: str, amount: Money, auth_code: str, **details: Unpack[Details]
    ) -> "PaymentOrder":
        """800108: `auth_code` is the payer's barcode, scanned by the cashier."""
        return cls._barcode(PayType.ALIPAY_BARCODE, reference, amount, auth_code, **details)

    @classmethod
    def wechat_barcode(
        cls, reference: str, amount: Money, auth_code: str, **details: Unpack[Details]
    ) -> "PaymentOrder":
        """800208: `auth_code` is the payer's barcode, scanned by the cashier."""
        return cls._barcode(PayType.WECHAT_BARCODE, reference, amount, auth_code, **details)

    @classmethod
    def wechat_hk_barcode(
        cls, reference: str, amount: Money, auth_code: str, **details: Unpack[Details]
    ) -> "PaymentOrder":
        """800228: `auth_code` is the barcode of a WeChat Pay HK wallet, scanned by the cashier."""
        return cls._barcode(PayType.WECHAT_HK_BARCODE, reference, amount, auth_code, **details)

    @classmethod
    def _barcode(
        cls, pay_type: PayType, reference: str, amount: Money, auth_code: str, **details: Unpack[Details]
    ) -> "PaymentOrder":
        return cls(pay_type=pay_type, reference=reference, amount=amount, auth_code=auth_code, **details)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Filters of a query. All are optional, and a row must match all that are given.

    Times are the server's (`sysdtm`), to the second; both ends are included. Without numbers and times, a server
    returns the current month of UTC+8. `query` takes a range within one month; `query_all` splits longer ranges.
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
                raise ValueError(f"a filter takes at most {MAX_NUMBERS} values")
            for value in values:
                check_number(value)
        for moment in (self.since, self.until):
            if moment is not None:
                wire_text(moment)


def check_number(number: str) -> None:
    """Raises ValueError for a number that no server accepts. Commas separate numbers in a query."""
    is_good = number.isascii() and number.isprintable() and not set(number) & set(" ,")
    if not is_good or not 1 <= len(number) <= MAX_REFERENCE:
        raise ValueError(
            f"a number must have 1 to {MAX_REFERENCE} ASCII characters without spaces and commas"
        )


def check_amount(amount: Money) -> None:
    """Raises ValueError for zero."""
    if amount.amount_minor < 1:
        raise ValueError("the amount must be at least one minor unit")
