"""The shop's texts: payment methods, states of orders and refunds, calls, and formats of times."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from tael_client import UTC8, PayType

from tael_sandbox.shop.order import Order, RefundState, State


class Way(StrEnum):
    """What the order's page does for the payer."""

    CODE = "code"  #: shows a code to scan
    LINK = "link"  #: leads to the wallet's page
    PARAMS = "params"  #: passes parameters to the wallet
    BARCODE = "barcode"  #: scans the payer's code


@dataclass(frozen=True, slots=True)
class Method:
    """A payment method of the shop. `wallet` is opened on the payer's phone."""

    name: str
    what_happens: str
    wallet: str
    way: Way


WE_SHOW: Final = "We show a code; the payer scans it."
WE_SCAN: Final = "We scan the payer's code."
IN_OUR_APP: Final = "Our app passes the payment to the wallet's."

#: Offered first.
COMMON_METHODS: Final[Mapping[PayType, Method]] = {
    PayType.WECHAT_QR: Method("WeChat Pay, QR code", WE_SHOW, "wechat", Way.CODE),
    PayType.ALIPAY_WEB: Method(
        "Alipay, on this computer", "Alipay's page opens in the browser.", "alipay", Way.LINK
    ),
    PayType.ALIPAY_WAP: Method(
        "Alipay, in a phone's browser", "Alipay's page for phones opens.", "alipay", Way.LINK
    ),
    PayType.WECHAT_IN_APP: Method(
        "WeChat Pay, inside WeChat", "Our page is open in WeChat itself.", "wechat", Way.PARAMS
    ),
    PayType.ALIPAY_BARCODE: Method("Alipay, in store", WE_SCAN, "alipay", Way.BARCODE),
    PayType.WECHAT_BARCODE: Method("WeChat Pay, in store", WE_SCAN, "wechat", Way.BARCODE),
    PayType.WECHAT_HK_BARCODE: Method("WeChat Pay HK, in store", WE_SCAN, "wechat_hk", Way.BARCODE),
}
MORE_METHODS: Final[Mapping[PayType, Method]] = {
    PayType.ANY_BARCODE: Method("Any wallet, in store", WE_SCAN, "alipay", Way.BARCODE),
    PayType.ALIPAY_QR: Method("Alipay, QR code in store", WE_SHOW, "alipay", Way.CODE),
    PayType.ALIPAY_OVERSEAS_WEB: Method(
        "Alipay, on this computer (later code)", "As 800151, for half an hour.", "alipay", Way.LINK
    ),
    PayType.ALIPAY_OVERSEAS_WAP: Method(
        "Alipay, in a phone's browser (later code)", "As 800152, for half an hour.", "alipay", Way.LINK
    ),
    PayType.ALIPAY_APP: Method("Alipay, in our app", IN_OUR_APP, "alipay", Way.PARAMS),
    PayType.ALIPAY_HK_QR: Method("AlipayHK, QR code in store", WE_SHOW, "alipay_hk", Way.CODE),
    PayType.ALIPAY_HK_WEB: Method(
        "AlipayHK, on this computer", "Alipay's page opens in the browser.", "alipay_hk", Way.LINK
    ),
    PayType.ALIPAY_HK_WAP: Method(
        "AlipayHK, in a phone's browser", "Alipay's page for phones opens.", "alipay_hk", Way.LINK
    ),
    PayType.ALIPAY_HK_APP: Method("AlipayHK, in our app", IN_OUR_APP, "alipay_hk", Way.PARAMS),
    PayType.WECHAT_APP: Method("WeChat Pay, in our app", IN_OUR_APP, "wechat", Way.PARAMS),
    PayType.WECHAT_MINI_PROGRAM: Method(
        "WeChat Pay, in our mini program", "Our mini program is open in WeChat.", "wechat", Way.PARAMS
    ),
    PayType.WECHAT_H5: Method(
        "WeChat Pay, in a phone's browser", "WeChat Pay's page opens the app.", "wechat", Way.LINK
    ),
    PayType.WECHAT_HK_MERCHANT_BARCODE: Method(
        "WeChat Pay HK, in store (later code)", WE_SCAN, "wechat_hk", Way.BARCODE
    ),
    PayType.WECHAT_HK_APP: Method("WeChat Pay HK, in our app", IN_OUR_APP, "wechat_hk", Way.PARAMS),
}
PAYMENT_METHODS: Final[Mapping[PayType, Method]] = {**COMMON_METHODS, **MORE_METHODS}

#: For each state: its headline, and an explanation.
STATES: Final[Mapping[State, tuple[str, str]]] = {
    State.SENDING: ("Sending to the gateway", "The order is stored; there is no response yet."),
    State.UNKNOWN: (
        "Result unknown",
        "No response has decided it. We never guess: we query again every five seconds.",
    ),
    State.WAITING: ("Waiting for the payer", "We query every five seconds; a webhook may be faster."),
    State.PAID: ("Paid", "The payment is complete."),
    State.REFUSED: ("Not paid", "The payment was refused. Nothing was charged."),
    State.CLOSED: ("Closed", "The order can no longer be paid."),
    State.REVERSED: ("Reversed", "The payment was reversed; any money was returned."),
}

REFUND_STATES: Final[Mapping[RefundState, str]] = {
    RefundState.PENDING: "pending",
    RefundState.DONE: "refunded",
    RefundState.REFUSED: "refused",
}

#: The purpose of each call.
CALLS: Final[Mapping[str, str]] = {
    "payment": "Open the payment",
    "query": "Query the status",
    "refund": "Refund",
    "close": "Close the order",
    "reversal": "Reverse the payment",
}


def headline(order: Order, refunded_minor: int) -> str:
    if order.state is State.PAID and refunded_minor:
        return "Refunded" if refunded_minor == order.amount.amount_minor else "Paid, partially refunded"
    return STATES[order.state][0]


def clock_time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC8):%H:%M:%S}"


def moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC8):%d %b %Y, %H:%M:%S}"


def respcd(answer: str) -> str:
    """The response code in the body of a response; "" if it has none."""
    try:
        members = json.loads(answer)
    except (ValueError, RecursionError):
        return ""
    code = members.get("respcd") if isinstance(members, dict) else None
    return code[:4] if isinstance(code, str) else ""
