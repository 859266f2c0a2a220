"""The headings of WeChat Pay's bills, English and Chinese. Pure.

English ones are those of the overseas documents, Chinese ones those of the mainland's documents before and after 2018.
"""

from collections.abc import Mapping
from typing import Final

#: The headings of the fields that are read.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "time": ("Transaction time", "交易时间"),
    "mch_id": ("Vendor ID", "商户号"),
    "sub_mch_id": ("Sub vendor ID", "子商户号", "特约商户号"),
    "transaction_id": ("Wechat order number", "微信订单号"),
    "out_trade_no": ("Vendor order number", "商户订单号"),
    "status": ("Transaction status", "交易状态"),
    "currency": ("Currency type", "货币种类"),
    "total": ("Total amount", "总金额", "订单金额"),
    "refund_requested_at": ("Refund application time", "退款申请时间"),
    "refund_id": ("Wechat refund number", "微信退款单号"),
    "out_refund_no": ("Vendor refund number", "商户退款单号"),
    "refund": ("Refund amount", "退款金额"),
    "coupon_refund": ("Coupon refund amount", "代金券或立减优惠退款金额", "充值券退款金额"),
    "refund_status": ("Refund status", "退款状态"),
    "fee": ("Fee", "手续费"),
    "settlement_currency": ("Settlement currency type", "结算币种"),
    "settlement": ("Settlement currency amount", "应结订单金额"),
    "rate": ("Exchange rate", "支付汇率"),
    "refund_rate": ("Refund exchange rate", "退款汇率"),
    "refund_currency": ("Refund currency type", "退款币种"),
    "refund_settlement_currency": ("Refund settlement currency type", "退款结算币种"),
    "refund_settlement": ("Refund settlement amount", "退款应结订单金额"),
}
#: Headings of documented columns that are not read.
UNREAD: Final = (
    *("Official account ID", "Device ID", "User tag", "Transaction type", "Payment bank", "Coupon amount"),
    *("Refund success time", "Refund type", "Product name", "Vendor's data package", "Rate"),
    *(
        "Payment currency type",
        "Cash payment amount",
        "Payer's refund amount",
        "Payer's refund currency type",
    ),
    *("公众账号ID", "设备号", "用户标识", "交易类型", "付款银行", "代金券或立减优惠金额", "代金券金额"),
    *("退款成功时间", "退款类型", "商品名称", "商户数据包", "费率", "费率备注", "申请退款金额"),
    *("用户支付币种", "用户支付金额", "用户退款金额", "用户退款币种"),
)
REQUIRED: Final = ("time", "mch_id", "out_trade_no", "status", "currency", "fee")
#: The headings of the totals.
TOTALS: Final[Mapping[str, tuple[str, ...]]] = {
    "count": ("Total transaction count", "总交易单数"),
    "total": ("Total transaction amount", "总交易额", "订单总金额"),
    "refund": ("Total refund amount", "总退款金额", "退款总金额"),
    "coupon_refund": ("Total coupon refund amount", "总代金券或立减优惠退款金额", "充值券退款总金额"),
    "fee": ("Total commission amount", "手续费总金额"),
}
REQUIRED_TOTALS: Final = ("count", "total", "refund", "fee")

#: The field of each heading, in lower case.
FIELDS: Final = {heading.casefold(): field for field, names in COLUMNS.items() for heading in names}
KNOWN: Final = FIELDS.keys() | {heading.casefold() for heading in UNREAD}
TOTAL_FIELDS: Final = {heading.casefold(): field for field, names in TOTALS.items() for heading in names}
