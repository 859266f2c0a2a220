"""The shop's texts: payment methods, states of orders and refunds, calls, and formats of times."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from tael_client import UTC8, PayType

from tael_sandbox.shop.order import Order, RefundState, State

#: For each pay type: its name, and what happens.
PAYMENT_METHODS: Final[Mapping[PayType, tuple[str, str]]] = {
    PayType.WECHAT_QR: ("WeChat Pay, QR code", "We show a code; the payer scans it."),
    PayType.ALIPAY_WEB: ("Alipay, on this computer", "Alipay's page opens in the browser."),
    PayType.ALIPAY_WAP: ("Alipay, in a phone's browser", "Alipay's page for phones opens."),
    PayType.WECHAT_IN_APP: ("WeChat Pay, inside WeChat", "Our page is open in WeChat itself."),
    PayType.ALIPAY_BARCODE: ("Alipay, in store", "We scan the payer's code."),
    PayType.WECHAT_BARCODE: ("WeChat Pay, in store", "We scan the payer's code."),
    PayType.WECHAT_HK_BARCODE: ("WeChat Pay HK, in store", "We scan the payer's code."),
}

#: The wallet to open on the payer's phone.
WALLETS: Final[Mapping[PayType, str]] = {
    PayType.WECHAT_QR: "wechat",
    PayType.ALIPAY_WEB: "alipay",
    PayType.ALIPAY_WAP: "alipay",
    PayType.WECHAT_IN_APP: "wechat",
    PayType.ALIPAY_BARCODE: "alipay",
    PayType.WECHAT_BARCODE: "wechat",
    PayType.WECHAT_HK_BARCODE: "wechat_hk",
}

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
