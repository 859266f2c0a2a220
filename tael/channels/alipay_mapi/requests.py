"""The request fields of every Alipay service, for an order or a refund of ours. Pure.

Fields are the same in every repeat: a lost pay link is built again, and the wallet must recognise a repeated request.
Only `cancel` carries the time of the request, because the wallet requires it.
"""

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Final
from urllib.parse import quote_plus, urlencode

from tael.base.money import major_text
from tael.base.pay_types import Region
from tael.base.text import writable
from tael.channels.alipay_mapi import timing
from tael.channels.alipay_mapi.account import AlipayAccount
from tael.channels.alipay_mapi.products import PRODUCTS
from tael.channels.alipay_mapi.signing import rsa_signature, signature
from tael.channels.base import ChannelOrder, ChannelRefund

CHARSET: Final = "UTF-8"
MAX_SUBJECT: Final = 256
MAX_BODY: Final = 400
#: Alipay's special characters. `&` matters for security: the payer sees the signed link, and in a text joined with
#: `&` a subject could be read as further fields.
FORBIDDEN_IN_SUBJECT: Final = frozenset("#%&+\"'`\\<>‘’“”")

Fields = dict[str, str]


def clean_subject(order: ChannelOrder) -> str:
    """The subject for Alipay, never empty."""
    return clean_text(order.subject, MAX_SUBJECT) or order.syssn


def clean_text(text: str, max_len: int) -> str:
    """`text` for Alipay: special characters become spaces. "" for `null`, which the gateway treats as empty."""
    spaced = "".join(" " if c in FORBIDDEN_IN_SUBJECT else c for c in writable(text))
    clean = spaced.strip()[:max_len].strip()
    return "" if clean == "null" else clean


def signed(fields: Mapping[str, str], account: AlipayAccount) -> Fields:
    """The non-empty `fields` with partner and signature. Raises UnusableKey."""
    request = {name: value for name, value in fields.items() if value}
    request |= {"partner": account.pid, "_input_charset": CHARSET}
    return request | {"sign": signature(request, account), "sign_type": account.sign_type}


def encoded(fields: Mapping[str, str]) -> str:
    """A form or a query, each value encoded once."""
    return urlencode(fields, encoding="utf-8")


def trade_page(order: ChannelOrder) -> Fields:
    """The cashier page of an online order. The payer's visit creates the order at the wallet."""
    seconds = timing.valid_s(order.created_at, order.expires_at)
    product = PRODUCTS[order.pay_type.code]
    fields = {
        "service": product.service,
        "notify_url": order.notice_url,
        "return_url": order.return_url,
        "subject": clean_subject(order),
        "out_trade_no": order.syssn,
        "currency": order.amount.currency,
        "total_fee": major_text(order.amount),
        "product_code": product.product_code,
        "payment_inst": payment_inst(order),
        "timeout_rule": timing.timeout_rule(seconds)[0],
        "order_gmt_create": timing.spaced(order.created_at),
        "order_valid_time": str(seconds),
    }
    if product.service == "create_forex_trade_wap":
        # Without `order_create` a WAP order does not time out.
        fields |= {"app_pay": "Y", "order_create": timing.spaced(order.created_at)}
    return fields


def payment_inst(order: ChannelOrder) -> str:
    """Which edition of the wallet may pay; "" for both."""
    match order.region:
        case Region.HONG_KONG:
            return "ALIPAYHK"
        case Region.MAINLAND:
            return "ALIPAYCN"
        case None:
            return ""


def order_string(order: ChannelOrder, account: AlipayAccount) -> Fields:
    """The signed parameters of a payment in the merchant's app, which joins them as `name="value"`. Raises UnusableKey.

    As in QFPay's example, the signature is URL-encoded here.
    """
    minutes = max(1, timing.valid_s(order.created_at, order.expires_at) // 60)
    fields = {
        "service": "mobile.securitypay.pay",
        "partner": account.pid,
        "seller_id": account.pid,
        "_input_charset": CHARSET,
        "notify_url": order.notice_url,
        "return_url": order.return_url,
        "out_trade_no": order.syssn,
        "subject": clean_subject(order),
        "body": clean_text(order.goods_info, MAX_BODY) or clean_subject(order),
        "total_fee": major_text(order.amount),
        "currency": order.amount.currency,
        "forex_biz": "FP",
        "payment_type": "1",
        "payment_inst": payment_inst(order),
        "product_code": PRODUCTS[order.pay_type.code].product_code,
        "it_b_pay": f"{minutes}m",
    }
    sent = {name: value for name, value in sorted(fields.items()) if value}
    text = "&".join(f'{name}="{value}"' for name, value in sent.items())
    return {**sent, "sign": quote_plus(rsa_signature(text, account)), "sign_type": "RSA"}


def precreate(order: ChannelOrder, account: AlipayAccount, now: datetime) -> Fields:
    """A code that the shop shows. `timestamp` is the time of this request; the wallet accepts it for 30 minutes."""
    minutes = max(1, timing.valid_s(order.created_at, order.expires_at) // 60)
    shop = {"store_id": account.mchid, "store_name": account.mchid}
    return {
        "service": "alipay.acquire.precreate",
        "notify_url": order.notice_url,
        "timestamp": timing.spaced(now),
        "out_trade_no": order.syssn,
        "subject": clean_subject(order),
        "total_fee": major_text(order.amount),
        "currency": order.amount.currency,
        "trans_currency": order.amount.currency,
        "seller_id": account.pid,
        "product_code": PRODUCTS[order.pay_type.code].product_code,
        "extend_params": json.dumps(shop, separators=(",", ":")),
        "qr_code_it_b_pay": f"{minutes}m",
        "it_b_pay": f"{timing.AFTER_SCAN_MINUTES}m",
    }


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
    """A query of an online order. Always by our number, because the response must include it."""
    return {"service": "single_trade_query", "out_trade_no": order.syssn}


def instore_query(order: ChannelOrder) -> Fields:
    """A query of a barcode payment."""
    return {"service": "alipay.acquire.overseas.query", "partner_trans_id": order.syssn}


def close_trade(order: ChannelOrder) -> Fields:
    """Close an unpaid online order. Only here is the field named `out_order_no`."""
    return {"service": "close_trade", "out_order_no": order.syssn}


def cancel(order: ChannelOrder, now: datetime) -> Fields:
    """Cancel a barcode payment in any state. `timestamp` is in milliseconds."""
    return {
        "service": "alipay.acquire.cancel",
        "out_trade_no": order.syssn,
        "timestamp": str(int(now.timestamp() * 1000)),
    }


def spot_refund(refund: ChannelRefund) -> Fields:
    """A synchronous refund of a barcode payment."""
    return {
        "service": "alipay.acquire.overseas.spot.refund",
        "partner_trans_id": refund.order.syssn,
        "partner_refund_id": refund.syssn,
        "refund_amount": major_text(refund.amount),
        "currency": refund.amount.currency,
        "is_sync": "Y",
    }


def forex_refund(refund: ChannelRefund) -> Fields:
    """A synchronous refund of an online payment."""
    return {
        "service": "forex_refund",
        "out_return_no": refund.syssn,
        "out_trade_no": refund.order.syssn,
        "return_amount": major_text(refund.amount),
        "currency": refund.amount.currency,
        "gmt_return": timing.compact(refund.requested_at),
        "product_code": PRODUCTS[refund.order.pay_type.code].product_code,
        "is_sync": "Y",
    }


def refund_query(refund: ChannelRefund) -> Fields:
    """A query of a refund, in-store or online."""
    return {
        "service": "alipay.acquire.refund.query",
        "out_trade_no": refund.order.syssn,
        "out_return_no": refund.syssn,
    }


def statement_file(service: str, day: date) -> Fields:
    """A file of one day."""
    text = f"{day:%Y%m%d}"
    return {"service": service, "start_date": text, "end_date": text}


def notify_verify(account: AlipayAccount, notify_id: str) -> Fields:
    """Asks the wallet whether it sent a notice. Unsigned, as the wallet requires."""
    return {"service": "notify_verify", "partner": account.pid, "notify_id": notify_id}
