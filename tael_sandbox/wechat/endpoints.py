"""The V2 calls: path, elements, handler. Lengths are the wider ones where two documents differ."""

from typing import Final

from tael_sandbox.wechat import bills
from tael_sandbox.wechat.calls import (
    AMOUNT,
    COUNT,
    CURRENCY,
    ORDER_NUMBER,
    REFUND_ACCOUNT,
    REFUND_NUMBER,
    TRADE_TYPE,
    WIRE_DAY,
    WIRE_TIME,
    Call,
    Element,
)
from tael_sandbox.wechat.micropay import RECALL_NOT, micropay, reverse
from tael_sandbox.wechat.ordering import closeorder, orderquery, unifiedorder
from tael_sandbox.wechat.refunding import refund, refundquery

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
)
