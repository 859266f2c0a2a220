"""WeChat Pay's responses to magic values: the gateway maps each to the code in the value."""

import sqlite3
from collections.abc import Mapping
from typing import Final

from tael_sandbox.magic import requested_code
from tael_sandbox.wechat.calls import Refusal, Rejection

Answers = Mapping[str, tuple[str, str]]  #: by code: err_code and text

#: The payer saw the payment and declined it: the order stays and has to be reversed.
DECLINED: Final = {
    "1147": ("TRADE_ERROR", "支付失败，请撤销订单"),
    "2007": ("TRADE_ERROR", "用户取消支付"),
}
SWIPE: Final = {
    "1118": ("RULELIMIT", "该笔交易存在风险"),
    "1121": ("NOTSUPORTCARD", "商户限制使用信用卡，请更换支付方式"),
    "1123": ("RULELIMIT", "交易金额超出限制"),
    "1124": ("BUYER_MISMATCH", "支付帐号错误"),
    "1131": ("INVALID_REQUEST", "201 商户订单号重复"),
    "1133": ("NOAUTH", "商户无此接口权限"),
    "1142": ("ORDERCLOSED", "该订单已关闭"),
    "1201": ("NOTENOUGH", "余额不足，请更换银行卡后重新提交"),
    "1202": ("AUTH_CODE_ERROR", "付款码已被使用，请刷新再试"),
    "1203": ("USER_ACCOUNT_ABNORMAL", "用户帐号异常"),
    "1204": ("NOTSUPORTCARD", "不支持该卡种，请更换银行卡"),
    "2005": ("AUTHCODEEXPIRE", "付款码已过期，请刷新再试"),
    "2006": ("AUTH_CODE_INVALID", "101 付款码无效，请重新扫码"),
    "2008": ("PARAM_ERROR", "参数错误"),
}
#: The payer has only a credit card: refused only if the request excludes credit cards.
CREDIT_CARD_ONLY: Final = "1121"
NO_CREDIT: Final = "no_credit"
#: The payer's behaviour where the order waits: a barcode's behaviour.
WAITS: Final = {"1145": "password_then_pays"}
MICROPAY: Final = SWIPE.keys() | DECLINED.keys() | WAITS.keys()
OPEN: Final[Answers] = {code: SWIPE[code] for code in ("1131", "1133", "1142", "1201", "2008")}
CLOSE: Final[Answers] = {"1146": ("TRADE_STATE_ERROR", "订单状态不允许关闭")}
#: Without an err_code: the call is rejected before it reaches the business layer.
BAD_CERTIFICATE: Final = ("", "certificate not match")
REVERSE: Final[Answers] = {"1155": ("TRADE_ERROR", "该订单不能撤销"), "2012": BAD_CERTIFICATE}
REFUND: Final[Answers] = {
    "1124": ("TRADE_STATE_ERROR", "订单状态不允许退款"),
    "1125": ("ERROR", "订单已全额退款"),
    "1130": ("TRADE_OVERDUE", "订单已经超过退款期限"),
    "1133": ("NOAUTH", "商户无此接口权限"),
    "1136": ("ORDERNOTEXIST", "订单不存在"),
    "1142": ("ORDERCLOSED", "该订单已关闭"),
    "1203": ("USER_ACCOUNT_ABNORMAL", "用户帐号异常，退款失败"),
    "1269": ("NOTENOUGH", "基本账户余额不足，请充值后重新发起"),
    "2008": ("PARAM_ERROR", "参数错误"),
    "2012": BAD_CERTIFICATE,
}


def refuse_if_requested(connection: sqlite3.Connection, answers: Answers, *values: str | int) -> None:
    """Raises the Refusal or Rejection that the values select."""
    refuse(answers.get(requested_code(connection, answers, *values)))


def refuse(answer: tuple[str, str] | None) -> None:
    """Raises the answer, if any, as a Refusal or Rejection."""
    if answer is not None:
        err_code, text = answer
        raise Refusal(err_code, text) if err_code else Rejection(text)
