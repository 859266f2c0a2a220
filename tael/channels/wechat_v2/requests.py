"""The request fields of every WeChat endpoint, for an order or a refund of ours. Pure; `exchange` adds identity and
signature.

A repeat for the same order has the same fields, so WeChat responds with the same payment.
"""

import re
from collections.abc import Mapping
from typing import Final

from tael.base.text import writable
from tael.channels.base import ChannelOrder, ChannelRefund
from tael.channels.wechat_v2.account import WeChatAccount
from tael.channels.wechat_v2.messages import Fields, time_text
from tael.channels.wechat_v2.products import PRODUCTS
from tael.channels.wechat_v2.signing import signature

MAX_BODY_BYTES: Final = 128
#: A payer's code of WeChat, mainland or Hong Kong. Other wallets' codes begin with other digits.
PAYER_CODE: Final = re.compile(r"1[0-5][0-9]{16}")


def is_payer_code(text: str) -> bool:
    return PAYER_CODE.fullmatch(text) is not None


def body_text(subject: str, otherwise: str) -> str:
    """`subject` truncated to WeChat's 128 bytes at a character boundary; `otherwise` if nothing is left."""
    clean = writable(subject).strip()
    return clean.encode()[:MAX_BODY_BYTES].decode(errors="ignore").rstrip() or otherwise


def barcode_payment(order: ChannelOrder, server_ip: str) -> Fields:
    """micropay. It has no notices: only its response or a query has the outcome."""
    return {**_price(order, server_ip), "auth_code": order.auth_code}


def online_payment(order: ChannelOrder, server_ip: str) -> Fields:
    """unifiedorder, for a product of any trade type but MICROPAY, without the payer and the appid."""
    product = PRODUCTS[order.pay_type.code]
    shared = {
        **_price(order, order.payer_ip or server_ip),
        "trade_type": product.trade_type,
        "time_start": time_text(order.created_at),
        "time_expire": time_text(order.expires_at),
        "notify_url": order.notice_url,
    }
    match product.trade_type:
        case "JSAPI":
            return {**shared, "device_info": "WEB"}
        case "MWEB":
            return {**shared, "scene_info": order.scene_info}
        case "APP":
            return shared
        case "NATIVE":
            return {**shared, "product_id": order.syssn}
        case "MICROPAY":
            raise ValueError("a barcode payment is no unifiedorder")


def _price(order: ChannelOrder, ip: str) -> Fields:
    price = {
        "body": body_text(order.subject, otherwise=order.syssn),
        "out_trade_no": order.syssn,
        "total_fee": str(order.amount.amount_minor),
        "fee_type": order.amount.currency,
        "spbill_create_ip": ip,
    }
    return price | ({"limit_pay": "no_credit"} if order.forbid_credit else {})


def this_order(order: ChannelOrder) -> Fields:
    """orderquery, closeorder, reverse: by our number, since we may not have received the wallet's."""
    return {"transaction_id": order.wallet_ref} if order.names_trade else {"out_trade_no": order.syssn}


def refund(refund: ChannelRefund) -> Fields:
    return {
        **this_order(refund.order),
        "out_refund_no": refund.syssn,
        "total_fee": str(refund.order.amount.amount_minor),
        "refund_fee": str(refund.amount.amount_minor),
        "refund_fee_type": refund.amount.currency,
        "notify_url": refund.notice_url,
    }


def this_refund(refund: ChannelRefund) -> Fields:
    return {"out_refund_no": refund.syssn}


def bridge_params(
    account: WeChatAccount, appid: str, prepay_id: str, nonce: str, at_s: int
) -> Mapping[str, str]:
    """The parameters for WeChat's JavaScript bridge, signed with the same algorithm as unifiedorder."""
    params = {
        "appId": appid,
        "timeStamp": str(at_s),
        "nonceStr": nonce,
        "package": f"prepay_id={prepay_id}",
        "signType": account.sign_type,
    }
    return {**params, "paySign": signature(params, account.key, account.sign_type)}


def app_params(
    account: WeChatAccount, appid: str, prepay_id: str, nonce: str, at_s: int
) -> Mapping[str, str]:
    """The parameters for WeChat's SDK in an app. They name no algorithm: it is that of unifiedorder."""
    params = {
        "appid": appid,
        "partnerid": account.mch_id,
        "prepayid": prepay_id,
        "package": "Sign=WXPay",
        "noncestr": nonce,
        "timestamp": str(at_s),
    }
    return {**params, "sign": signature(params, account.key, account.sign_type)}
