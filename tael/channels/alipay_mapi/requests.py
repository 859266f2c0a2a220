"""What we ask Alipay: the fields of every service, for an order or a refund of ours. Pure.

Sameness matters: a lost pay link is built again, and a repeated question must be recognised as a repeat. Only
`cancel` carries the hour of asking, since the wallet wants it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from tael.base.money import major_text
from tael.base.pay_types import Presentment
from tael.base.text import writable
from tael.channels.alipay_mapi import timing
from tael.channels.alipay_mapi.signing import signature
from tael.channels.base import ChannelOrder, ChannelRefund
from tael.merchants.domain.account import AlipayAccount

CHARSET: Final = "UTF-8"
MAX_SUBJECT: Final = 256
#: Alipay's special characters. `&` is more than a matter of taste: the payer sees the signed link, and in a
#: text that is joined by `&` a subject could otherwise be read as further fields.
FORBIDDEN_IN_SUBJECT: Final = frozenset("#%&+\"'`\\<>‘’“”")

Fields = dict[str, str]


def clean_subject(order: ChannelOrder) -> str:
    """The subject as Alipay takes it: special characters become blanks, at most 256, never nothing."""
    blanked = "".join(" " if c in FORBIDDEN_IN_SUBJECT else c for c in writable(order.subject))
    kept = blanked.strip()[:MAX_SUBJECT].strip()
    return order.syssn if kept in ("", "null") else kept  # the gateway takes the text `null` for nothing


def signed(fields: Mapping[str, str], account: AlipayAccount) -> Fields:
    """`fields` with partner and signature, without empty ones. Raises UnusableKey."""
    asked = {name: value for name, value in fields.items() if value}
    asked |= {"partner": account.pid, "_input_charset": CHARSET}
    return asked | {"sign": signature(asked, account), "sign_type": account.sign_type}


def encoded(fields: Mapping[str, str]) -> str:
    """A form or a query, each value encoded once."""
    return urlencode(fields, encoding="utf-8")


def trade_page(order: ChannelOrder) -> Fields:
    """The cashier page of an online order; the wallet knows of the order only once the payer is there."""
    seconds = timing.valid_s(order.created_at, order.expires_at)
    is_wap = order.pay_type.presentment is Presentment.WAP_PAGE
    fields = {
        "service": "create_forex_trade_wap" if is_wap else "create_forex_trade",
        "notify_url": order.notice_url,
        "return_url": order.return_url,
        "subject": clean_subject(order),
        "out_trade_no": order.syssn,
        "currency": order.amount.currency,
        "total_fee": major_text(order.amount),
        "product_code": product_code(order),
        "timeout_rule": timing.timeout_rule(seconds)[0],
        "order_gmt_create": timing.spaced(order.created_at),
        "order_valid_time": str(seconds),
    }
    if is_wap:
        # Without `order_create` the timeout does not end a WAP order.
        fields |= {"app_pay": "Y", "order_create": timing.spaced(order.created_at)}
    return fields


def product_code(order: ChannelOrder) -> str:
    """The online product of the order; a refund names the payment's."""
    return (
        "NEW_WAP_OVERSEAS_SELLER"
        if order.pay_type.presentment is Presentment.WAP_PAGE
        else "NEW_OVERSEAS_SELLER"
    )


def spot_pay(order: ChannelOrder, account: AlipayAccount) -> Fields:
    """A barcode payment."""
    return {
        "service": "alipay.acquire.overseas.spot.pay",
        "notify_url": order.notice_url,
        "alipay_seller_id": account.pid,
        "trans_name": clean_subject(order),
        "partner_trans_id": order.syssn,
        "currency": order.amount.currency,
        "trans_amount": major_text(order.amount),
        "buyer_identity_code": order.auth_code,
        "identity_code_type": "barcode",
        "trans_create_time": timing.compact(order.created_at),
        "biz_product": "OVERSEAS_MBARCODE_PAY",
    }


def online_query(order: ChannelOrder) -> Fields:
    """What does the wallet know of this online order? Always by our number: the answer must name it."""
    return {"service": "single_trade_query", "out_trade_no": order.syssn}


def instore_query(order: ChannelOrder) -> Fields:
    """The same for a barcode payment."""
    return {"service": "alipay.acquire.overseas.query", "partner_trans_id": order.syssn}


def close_trade(order: ChannelOrder) -> Fields:
    """End an unpaid online order. The field is `out_order_no` here and nowhere else."""
    return {"service": "close_trade", "out_order_no": order.syssn}


def cancel(order: ChannelOrder, asked_at: datetime) -> Fields:
    """Undo a barcode payment, whatever its state. `timestamp` is in milliseconds."""
    return {
        "service": "alipay.acquire.cancel",
        "out_trade_no": order.syssn,
        "timestamp": str(int(asked_at.timestamp() * 1000)),
    }


def spot_refund(refund: ChannelRefund) -> Fields:
    """A refund of a barcode payment, done before the answer comes."""
    return {
        "service": "alipay.acquire.overseas.spot.refund",
        "partner_trans_id": refund.order.syssn,
        "partner_refund_id": refund.syssn,
        "refund_amount": major_text(refund.amount),
        "currency": refund.amount.currency,
        "is_sync": "Y",
    }


def forex_refund(refund: ChannelRefund) -> Fields:
    """A refund of an online payment, done before the answer comes."""
    return {
        "service": "forex_refund",
        "out_return_no": refund.syssn,
        "out_trade_no": refund.order.syssn,
        "return_amount": major_text(refund.amount),
        "currency": refund.amount.currency,
        "gmt_return": timing.compact(refund.asked_at),
        "product_code": product_code(refund.order),
        "is_sync": "Y",
    }


def refund_query(refund: ChannelRefund) -> Fields:
    """What became of a refund, in-store or online."""
    return {
        "service": "alipay.acquire.refund.query",
        "out_trade_no": refund.order.syssn,
        "out_return_no": refund.syssn,
    }


def notify_verify(account: AlipayAccount, notify_id: str) -> Fields:
    """Did you send this notice? Unsigned, by the wallet's rule."""
    return {"service": "notify_verify", "partner": account.pid, "notify_id": notify_id}
