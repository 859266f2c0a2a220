"""What the shop says: the names of the ways to pay, what an order's state means, and times."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from tael_client import UTC8, PayType

from tael_sandbox.shop.order import Order, RefundState, State

#: Each way to pay: what it is called, and what happens.
WAYS: Final[Mapping[PayType, tuple[str, str]]] = {
    PayType.WECHAT_QR: ("WeChat Pay, QR code", "We show a code, the payer scans it."),
    PayType.ALIPAY_WEB: ("Alipay, on this computer", "Alipay's page opens in the browser."),
    PayType.ALIPAY_WAP: ("Alipay, in a phone's browser", "Alipay's page for phones opens."),
    PayType.WECHAT_IN_APP: ("WeChat Pay, inside WeChat", "Our page is open in WeChat itself."),
    PayType.ALIPAY_BARCODE: ("Alipay, at the till", "We scan the payer's code."),
    PayType.WECHAT_BARCODE: ("WeChat Pay, at the till", "We scan the payer's code."),
    PayType.WECHAT_HK_BARCODE: ("WeChat Pay HK, at the till", "We scan the payer's code."),
}

#: The payer's wallet on the phone, for a link to it.
WALLETS: Final[Mapping[PayType, str]] = {
    PayType.WECHAT_QR: "wechat",
    PayType.ALIPAY_WEB: "alipay",
    PayType.ALIPAY_WAP: "alipay",
    PayType.WECHAT_IN_APP: "wechat",
    PayType.ALIPAY_BARCODE: "alipay",
    PayType.WECHAT_BARCODE: "wechat",
    PayType.WECHAT_HK_BARCODE: "wechat_hk",
}

#: Headline, and what it means.
STATES: Final[Mapping[State, tuple[str, str]]] = {
    State.SENDING: ("Asking the gateway", "The order is written down; the answer is not here yet."),
    State.UNKNOWN: (
        "Not known yet",
        "No answer decided it. We never guess: we ask again every five seconds.",
    ),
    State.WAITING: ("Waiting for the payer", "We ask every five seconds; a webhook may be faster."),
    State.PAID: ("Paid", "The money is there."),
    State.REFUSED: ("Not paid", "The answer was a no. Nothing was taken."),
    State.CLOSED: ("Closed", "It can no longer be paid."),
    State.REVERSED: ("Reversed", "The payment was undone; whatever was paid has gone back."),
}

REFUND_STATES: Final[Mapping[RefundState, str]] = {
    RefundState.PENDING: "under way",
    RefundState.DONE: "given back",
    RefundState.REFUSED: "refused",
}

#: What each call is for, in a merchant's words.
CALLS: Final[Mapping[str, str]] = {
    "payment": "Open the payment",
    "query": "Ask how it stands",
    "refund": "Give money back",
    "close": "Close the order",
    "reversal": "Reverse the payment",
}


def headline(order: Order, refunded_minor: int) -> str:
    if order.state is State.PAID and refunded_minor:
        return "Refunded" if refunded_minor == order.amount.amount_minor else "Paid, refunded in part"
    return STATES[order.state][0]


def clock_time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC8):%H:%M:%S}"


def moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC8):%d %b %Y, %H:%M:%S}"


def respcd(answer: str) -> str:
    """The code of an answer, for its headline; "" if it has none."""
    try:
        members = json.loads(answer)
    except (ValueError, RecursionError):
        return ""
    code = members.get("respcd") if isinstance(members, dict) else None
    return code[:4] if isinstance(code, str) else ""
