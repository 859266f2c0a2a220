"""The language of the headings of an account's bills: a setting of the account.

The overseas document prints English headings, mainland accounts get Chinese ones, and accounts abroad get either. A
bill of all of a provider's merchants has Chinese headings as soon as one of them has this setting. The column
`sub_mch_id` has a direct merchant's `mch_id`.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from tael_sandbox.wallet import ControlError

ENGLISH, CHINESE = "en", "zh"
LANGUAGES: Final = (ENGLISH, CHINESE)
TABLES: Final = """
CREATE TABLE IF NOT EXISTS wechat_bill_headers (
    sub_mch_id TEXT PRIMARY KEY,
    language   TEXT NOT NULL
);
"""
#: The mainland's V2 names, and for columns that only bills abroad have, the global documents' names in Chinese.
IN_CHINESE: Final = {
    "Transaction time": "交易时间",
    "Official account ID": "公众账号ID",
    "Vendor ID": "商户号",
    "Sub vendor ID": "子商户号",
    "Device ID": "设备号",
    "Wechat order number": "微信订单号",
    "Vendor order number": "商户订单号",
    "User tag": "用户标识",
    "Transaction type": "交易类型",
    "Transaction status": "交易状态",
    "Payment bank": "付款银行",
    "Currency type": "货币种类",
    "Total amount": "总金额",
    "Coupon amount": "代金券或立减优惠金额",
    "Refund application time": "退款申请时间",
    "Refund success time": "退款成功时间",
    "Wechat refund number": "微信退款单号",
    "Vendor refund number": "商户退款单号",
    "Refund amount": "退款金额",
    "Coupon refund amount": "代金券或立减优惠退款金额",
    "Refund type": "退款类型",
    "Refund status": "退款状态",
    "Product name": "商品名称",
    "Vendor's data package": "商户数据包",
    "Fee": "手续费",
    "Rate": "费率",
    "Payment currency type": "用户支付币种",
    "Cash payment amount": "用户支付金额",
    "Settlement currency type": "结算币种",
    "Settlement currency amount": "应结订单金额",
    "Exchange rate": "支付汇率",
    "Refund exchange rate": "退款汇率",
    "Payer's refund amount": "用户退款金额",
    "Payer's refund currency type": "用户退款币种",
    "Refund currency type": "退款币种",
    "Refund settlement currency type": "退款结算币种",
    "Refund settlement amount": "退款应结订单金额",
    "Total transaction count": "总交易单数",
    "Total transaction amount": "总交易额",
    "Total refund amount": "总退款金额",
    "Total coupon refund amount": "总代金券或立减优惠退款金额",
    "Total commission amount": "手续费总金额",
}


def language_of(connection: sqlite3.Connection, *numbers: str) -> str:
    """The language of a bill for these merchants."""
    is_chinese = connection.execute(
        "SELECT 1 FROM wechat_bill_headers WHERE language = ?"  # noqa: S608 (question marks)
        f" AND sub_mch_id IN ({', '.join('?' * len(numbers))})",
        (CHINESE, *numbers),
    ).fetchone()
    return ENGLISH if is_chinese is None else CHINESE


def put(connection: sqlite3.Connection, number: str, language: str) -> None:
    """Raises ControlError for an unknown language."""
    if language not in LANGUAGES:
        raise ControlError(f"bill_headers is one of {', '.join(LANGUAGES)}", "bill_headers")
    connection.execute(
        "INSERT OR REPLACE INTO wechat_bill_headers (sub_mch_id, language) VALUES (?, ?)",
        (number, language),
    )


def headings(columns: Sequence[str], language: str) -> list[str]:
    return [IN_CHINESE[column] if language == CHINESE else column for column in columns]
