"""The V2 calls: path, elements, handler. Where two documents differ, the greater length applies."""

from dataclasses import replace
from typing import Final

from tael_sandbox.wechat import bills
from tael_sandbox.wechat.calls import (
    AMOUNT,
    COMMON,
    COUNT,
    CURRENCY,
    ORDER_NUMBER,
    REFUND_ACCOUNT,
    REFUND_NUMBER,
    TRADE_TYPE,
    USE_TAG,
    WIRE_DAY,
    WIRE_TIME,
    Call,
    Element,
)
from tael_sandbox.wechat.micropay import RECALL_NOT, micropay, reverse
from tael_sandbox.wechat.order_calls import closeorder, orderquery, unifiedorder
from tael_sandbox.wechat.refund_calls import refund, refundquery
from tael_sandbox.wechat.settlements import settlementquery
from tael_sandbox.wechat.short_urls import shorturl
from tael_sandbox.wechat.tools import authcodetoopenid, queryexchagerate, report

_SALE: Final = (
    Element("device_info", 32),
    Element("body", 128, required=True),
    Element("detail", 6000),
    Element("attach", 128),
    Element("out_trade_no", 32, required=True, form=ORDER_NUMBER),
    Element("total_fee", 12, required=True, form=AMOUNT),
    Element("fee_type", 16, form=CURRENCY),
    Element("spbill_create_ip", 64, required=True),
    Element("goods_tag", 32),
    Element("limit_pay", 32),
    Element("time_start", 14, form=WIRE_TIME),
    Element("time_expire", 14, form=WIRE_TIME),
    Element("scene_info", 256),
    Element("version", 32),
)


def _with_optional(elements: tuple[Element, ...], name: str) -> tuple[Element, ...]:
    return tuple(replace(element, required=element.required and element.name != name) for element in elements)


_TRANSACTION: Final = Element("transaction_id", 32)
_ORDER: Final = Element("out_trade_no", 32, form=ORDER_NUMBER)

CALLS: Final = (
    Call(
        "/pay/unifiedorder",
        (
            *_SALE,
            Element("notify_url", 256, required=True),
            Element("trade_type", 16, required=True, form=TRADE_TYPE),
            Element("product_id", 32),
            Element("openid", 128),
            Element("sub_openid", 128),
        ),
        unifiedorder,
    ),
    Call("/pay/micropay", (*_SALE, Element("auth_code", 128, required=True)), micropay),
    Call(
        "/pay/orderquery",
        (_TRANSACTION, _ORDER),
        orderquery,
        one_of=("transaction_id", "out_trade_no"),
    ),
    Call("/pay/closeorder", (Element("out_trade_no", 32, required=True, form=ORDER_NUMBER),), closeorder),
    Call(
        "/secapi/pay/reverse",
        (_TRANSACTION, _ORDER),
        reverse,
        one_of=("transaction_id", "out_trade_no"),
        needs_certificate=True,
        fails_with=RECALL_NOT,
    ),
    Call(
        "/secapi/pay/refund",
        (
            _TRANSACTION,
            _ORDER,
            Element("out_refund_no", 64, required=True, form=REFUND_NUMBER),
            Element("total_fee", 12, required=True, form=AMOUNT),
            Element("refund_fee", 12, required=True, form=AMOUNT),
            Element("refund_fee_type", 8, form=CURRENCY),
            Element("refund_desc", 80),
            Element("refund_account", 30, form=REFUND_ACCOUNT),
            Element("notify_url", 256),
        ),
        refund,
        one_of=("transaction_id", "out_trade_no"),
        needs_certificate=True,
    ),
    Call(
        "/pay/refundquery",
        (
            Element("refund_id", 32),
            Element("out_refund_no", 64, form=REFUND_NUMBER),
            _TRANSACTION,
            _ORDER,
            Element("offset", 6, form=COUNT),
        ),
        refundquery,
        one_of=("refund_id", "out_refund_no", "transaction_id", "out_trade_no"),
    ),
    Call(
        bills.PATH,
        (
            Element("device_info", 32),
            Element("bill_date", 8, required=True, form=WIRE_DAY),
            Element("bill_type", 32),
            Element("tar_type", 8),
        ),
        bills.downloadbill,
        is_for_provider=True,
        reject=bills.rejection,
    ),
    Call(
        "/pay/settlementquery",
        (
            Element("usetag", 1, required=True, form=USE_TAG),
            Element("offset", 6, required=True, form=COUNT),
            Element("limit", 2, required=True, form=COUNT),
            Element("date_start", 8, required=True, form=WIRE_DAY),
            Element("date_end", 8, required=True, form=WIRE_DAY),
        ),
        settlementquery,
    ),
    Call(
        "/pay/queryexchagerate",
        (
            Element("fee_type", 10, required=True, form=CURRENCY),
            Element("date", 14, required=True, form=WIRE_DAY),
        ),
        queryexchagerate,
        common=_with_optional(COMMON, "nonce_str"),
        is_for_provider=True,
    ),
    Call("/tools/authcodetoopenid", (Element("auth_code", 128, required=True),), authcodetoopenid),
    Call(
        "/tools/shorturl",
        (Element("long_url", 1536, required=True),),  # 512 before percent-encoding
        shorturl,
        sent_encoded="long_url",
    ),
    Call(
        "/payitil/report",
        (
            Element("device_info", 32),
            Element("interface_url", 128, required=True),
            Element("execute_time_", 10, form=COUNT),
            Element("execute_time", 10, form=COUNT),
            Element("return_code", 16),
            Element("return_msg", 128),
            Element("result_code", 16),
            Element("err_code", 32),
            Element("err_code_des", 128),
            Element("out_trade_no", 32),
            Element("user_ip", 64, required=True),
            Element("time", 14, form=WIRE_TIME),
            Element("trades", 65536),
        ),
        report,
        one_of=("execute_time_", "execute_time", "trades"),  # documents and clients use both spellings
        common=_with_optional(COMMON, "appid"),
    ),
)
