"""The response codes: every code that a client of this API may know, and the texts sent with each.

Codes not marked as emitted never leave the gateway. Old clients treat an unknown code as a final failure, so an
unknown result is always PENDING, or REFUND_PENDING for a refund. `docs/generate.py` prints the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

Call = Literal[
    "payment",
    "refund",
    "reversal",
    "close",
    "query",
    "signup",
    "uploadcert",
    "merchant",
    "settlements",
    "trade_bill",
    "oauth_code",
    "openid",
    "baseinfo",
    "tradelist",
]

OK: Final = "0000"
MAINTENANCE: Final = "1100"
REPEATED: Final = "1102"
BAD_MESSAGE: Final = "1103"
BAD_FIELD: Final = "1104"
BAD_SIGNATURE: Final = "1108"
UNREACHABLE: Final = "1111"
OUT_OF_SERVICE: Final = "1112"
USER_BLOCKED: Final = "1114"
DENIED: Final = "1115"
RISK: Final = "1118"
CARD_KIND: Final = "1121"
CURRENCY: Final = "1122"
AMOUNT: Final = "1123"
NOT_ALLOWED: Final = "1124"
ALREADY_REFUNDED: Final = "1125"
MISMATCH: Final = "1126"
DOCUMENTS_UNAVAILABLE: Final = "1128"
DOCUMENT_REPEATED: Final = "1129"
WINDOW_OVER: Final = "1130"
CHANNEL_ERROR: Final = "1131"
CREDENTIALS: Final = "1133"
SETUP: Final = "1135"
NOT_FOUND: Final = "1136"
NOT_AUDITED: Final = "1140"
CLOSED: Final = "1142"
PENDING: Final = "1145"
CLOSE_REFUSED: Final = "1146"
SWIPE_FAILED: Final = "1147"
REVERSAL_REFUSED: Final = "1155"
EXPIRED: Final = "1181"
BALANCE: Final = "1201"
PAYER_CODE: Final = "1202"
PAYER_ACCOUNT: Final = "1203"
BANK: Final = "1204"
MERCHANT_BALANCE: Final = "1269"
FULL_ONLY: Final = "1271"
OVER_REFUND: Final = "1272"
CODE_EXPIRED: Final = "2005"
CODE_ILLEGAL: Final = "2006"
PAYER_CANCELLED: Final = "2007"
BAD_CHANNEL_REQUEST: Final = "2008"
CERTIFICATE: Final = "2012"
BAD_APPLICATION: Final = "2101"
REFUND_PENDING: Final = "2999"


class Client(StrEnum):
    """What a client must do with a code."""

    DONE = "done"  #: the call did what it says; an online payment is created, not paid
    PENDING = "pending"  #: query after 5 seconds, then every 10; do not repeat the request
    RETRY = "retry"  #: send the same request again later, with the same reference
    UNKNOWN = "unknown"  #: query before anything else
    FINAL = "final"  #: show it, correct it, use a new reference


@dataclass(frozen=True, slots=True)
class Code:
    """One row of the table. The Chinese texts are QFPay's; empty if no document has one."""

    code: str
    english: str
    chinese_oc: str  #: from the overseas documentation
    chinese_later: str  #: from the later documentation
    client: Client
    emitted: bool
    when: str  #: when it is sent, or what is sent in its place


def _sent(code: str, english: str, client: Client, when: str, oc: str = "", later: str = "") -> Code:
    return Code(code, english, oc, later, client, True, when)


def _never(
    code: str, english: str, client: Client, oc: str = "", later: str = "", instead: str = "never"
) -> Code:
    return Code(code, english, oc, later, client, False, instead)


_DONE, _PENDING, _RETRY = Client.DONE, Client.PENDING, Client.RETRY
_UNKNOWN, _FINAL = Client.UNKNOWN, Client.FINAL
_NO_PREAUTHORISATION: Final = "never: there is no pre-authorisation here"

# fmt: off
_ROWS: Final = (
    _sent(OK, "success", _DONE, "the call succeeded; in a row, the money moved", later="交易成功"),
    _sent(MAINTENANCE, "under maintenance", _RETRY, "during a maintenance window; queries still work",
          "系统维护", "系统维护中"),
    _never("1101", "an active reversal is needed", _UNKNOWN, "需要主动冲正", "Reversal 错误"),
    _sent(REPEATED, "the reference is in use with other content", _FINAL,
          "the reference belongs to a payment or refund with different content", "重复请求", "重复请求"),
    _sent(BAD_MESSAGE, "the message cannot be read", _FINAL,
          "an unreadable request, one above a limit, an unknown path or method", "报文格式错误", "请求格式错误"),
    _sent(BAD_FIELD, "a parameter is missing or wrong", _FINAL,
          "a missing or malformed parameter; filter_error: a pay_type that is not granted",
          "报文参数错误", "请求参数错误"),
    _never("1105", "terminal not active", _FINAL, "终端未激活", "设备未激活"),
    _never("1106", "terminal mismatch", _FINAL, "终端不匹配", "无效设备"),
    _never("1107", "terminal blocked", _FINAL, "终端被封禁", "设备无权限"),
    _sent(BAD_SIGNATURE, "the signature, the appcode or the mchid is wrong", _FINAL,
          "a bad signature, an unknown appcode, an mchid of another appcode; a signed text that is ambiguous or of "
          "another call; a request too old or from an address that the app does not allow", "MAC 校验失败", "签名错误"),
    _never("1109", "encryption or decryption error", _FINAL, "加解密错误"),
    _never("1110", "serial number error at a client's top-up", _FINAL, "客户端充值, 流水号错误"),
    _sent(UNREACHABLE, "the wallet cannot be reached and nothing was sent", _RETRY,
          "the wallet was not reached, so nothing happened there", "外部服务不可用"),
    _sent(OUT_OF_SERVICE, "the service is not available", _RETRY,
          "the gateway cannot serve now: its database is unavailable, or too many connections or calls are open; with "
          "HTTP status 429: too many requests",
          "内部服务不可用"),
    _never("1113", "no such user", _FINAL, "用户不存在", instead="never: there is no OAuth here"),
    _sent(USER_BLOCKED, "the merchant is disabled", _FINAL, "the operator disabled the merchant or its app",
          "用户被封禁"),
    _sent(DENIED, "this operation is denied to the merchant", _FINAL, "the operator denies it to the merchant",
          "用户受限"),
    _never("1116", "wrong password", _FINAL, "用户密码错误", instead="never: there is no OAuth here"),
    _never("1117", "user not online", _FINAL, "用户不在线"),
    _sent(RISK, "refused by risk control", _FINAL, "the wallet's risk control", "风控禁止交易"),
    _never("1119", "kind of transaction restricted", _FINAL, "交易类型受限",
           instead="never: 1104 with filter_error"),
    _never("1120", "not at this hour", _RETRY, "交易时间受限",
           instead="never: neither wallet has hours for payments"),
    _sent(CARD_KIND, "kind of card restricted", _FINAL, "limit_pay forbids the payer's card", "交易卡类型受限"),
    _sent(CURRENCY, "txcurrcd is not the merchant's currency", _FINAL,
          "a currency that is not the merchant's", "交易币种受限"),
    _sent(AMOUNT, "the amount is not allowed", _FINAL, "an amount above a limit", "交易额度受限"),
    _sent(NOT_ALLOWED, "not possible in this state or for this pay_type", _FINAL,
          "the state or the pay_type does not allow it", "无效交易"),
    _sent(ALREADY_REFUNDED, "nothing is left to refund", _FINAL,
          "a payment that is wholly refunded", "已退货", "交易已退款"),
    _sent(MISMATCH, "the original does not match", _FINAL,
          "numbers of different payments, another amount than the payment's, an openid of another appid",
          "原交易信息不匹配"),
    _never("1127", "database error", _UNKNOWN, "数据库错误", instead="never: 1112, 1145 or 2999"),
    _sent(DOCUMENTS_UNAVAILABLE, "the files cannot be stored", _RETRY,
          "files of a sign-up or an upload cannot be stored; nothing of the request was", "文件系统错误"),
    _sent(DOCUMENT_REPEATED, "every file of this upload is stored already", _FINAL,
          "an upload of files that are all stored already", "已上传凭证"),
    _sent(WINDOW_OVER, "too late for a refund", _FINAL, "the refund window is over", "交易不在允许日期"),
    _sent(CHANNEL_ERROR, "the wallet refused", _UNKNOWN,
          "an explicit refusal by the wallet that has no code of its own", "渠道错误"),
    _never("1132", "client version error", _FINAL, "客户端版本信息错误"),
    _sent(CREDENTIALS, "the merchant's credentials at the wallet do not work", _FINAL,
          "the wallet refuses our identity or signature", "用户渠道信息错误"),
    _never("1134", "the card is not the one of the sale", _FINAL, "撤销交易刷卡与消费时不是同一张卡"),
    _sent(SETUP, "the merchant is not set up completely", _FINAL,
          "a merchant without an account at any wallet, or not set up at the wallet: contact the operator",
          "用户配置错误"),
    _sent(NOT_FOUND, "no such transaction", _FINAL,
          "close, refund or reversal of an unknown payment", "交易不存在", "交易不存在或无法处理"),
    _never("1137", "no such contact", _FINAL, "联系方式不存在"),
    _never("1138", "error while updating a key", _FINAL, "用户更新密钥错"),
    _never("1139", "card number or magnetic stripe error", _FINAL, "卡号或者卡磁错误"),
    _sent(NOT_AUDITED, "the merchant is not approved", _FINAL, "a merchant that waits for approval, or was refused",
          "账户未审核通过"),
    _never("1141", "the channel's MAC or track encryption failed", _UNKNOWN,
           "计算通道MAC错误; 通道加密磁道错误"),
    _sent(CLOSED, "the order is closed", _FINAL,
          "the row of a closed order; paying or refunding one", "订单已关闭", "订单已关闭"),
    _never("1143", "not paid yet, or the payer is typing the password", _PENDING, "交易不存在",
           "订单还未支付，或者正在输入密码中", "never: 1145"),
    _never("1144", "request processing failed", _UNKNOWN, "请求处理失败(协议)"),
    _sent(PENDING, "not decided yet: query", _PENDING,
          "the payer or the wallet has not decided", "订单状态等待支付", "处理中，请稍等"),
    _sent(CLOSE_REFUSED, "the wallet refused to close the order", _FINAL, "the wallet refused a close",
          "订单处理业务错误"),
    _sent(SWIPE_FAILED, "WeChat declined the payer's code", _FINAL, "WeChat declined a barcode payment",
          "微信刷卡失败", "微信支付交易错误"),
    _never("1150", "settled the same day, so it cannot be revoked", _FINAL,
           later="您的结算方式为T0，不支持撤销交易"),
    _never("1151", "the pre-authorisation does not match", _FINAL, "原预授权信息不匹配",
           instead=_NO_PREAUTHORISATION),
    _never("1152", "pre-authorisation not completed on an allowed date", _FINAL, "预授权完成不在允许日期",
           instead=_NO_PREAUTHORISATION),
    _never("1153", "pre-authorisation completed with a wrong amount", _FINAL, "预授权完成金额错误",
           instead=_NO_PREAUTHORISATION),
    _never("1154", "internal error", _UNKNOWN, "内部错误", instead="never: 1112, 1145 or 2999"),
    _sent(REVERSAL_REFUSED, "the wallet refused the reversal", _FINAL,
          "the wallet refused a reversal", "不允许撤销的交易", "退款请求被拒绝"),
    _never("1161", "result unknown, must be queried", _PENDING, "交易结果未知，须查询",
           instead="never: 1145 or 2999"),
    _never("1170", "a server behind the API is not available", _RETRY, "channeld不能提供服务"),
    _never("1180", "the route was reset", _RETRY, "路由重置, 需重新路由"),
    _sent(EXPIRED, "the order expired", _FINAL, "an order that was not paid in time", "订单过期", "订单过期"),
    _sent(BALANCE, "the payer has too little money", _FINAL,
          "the payer's balance is too low", "余额不足", "余额不足，请更换支付方式支付"),
    _sent(PAYER_CODE, "the payer's code is wrong, used or old", _FINAL,
          "an auth_code, or a code of `get_weixin_openid`, that the wallet does not know",
          "付款码错误", "付款码错误或过期，请出示正确的付款码或刷新付款码后重新支付"),
    _sent(PAYER_ACCOUNT, "the payer's account cannot pay", _FINAL,
          "something is wrong with the payer's account", "账户错误", "账户错误，请确认支付账户可用"),
    _sent(BANK, "the payer's bank refused", _FINAL, "the payer's bank refused", "银行错误",
          "银行错误，请确认支付账户可用"),
    _never("1205", "failed, try again later", _FINAL, later="交易失败，请稍后重试"),
    _never("1212", "the payer must use UnionPay's overseas code", _FINAL, later="请消费者使用银联境外码付款"),
    _never("1241", "the shop is missing or in a wrong state", _FINAL,
           later="店铺不存在或状态不正确，请勿进行支付"),
    _never("1242", "the shop is misconfigured", _FINAL, later="该店铺配置有些问题，无法进行交易"),
    _never("1243", "the shop is disabled", _FINAL, later="该店铺被禁用，请勿进行支付，联系店主确认"),
    _never("1250", "forbidden", _FINAL, later="该交易禁止进行，如有疑问请联系客服"),
    _never("1251", "the shop is misconfigured, or the reference is in use", _FINAL,
           later="该店铺配置有些问题，我们正在加紧解决中", instead="never: 1102"),
    _never("1252", "system error", _UNKNOWN, later="进行交易请求时出现系统错误"),
    _never("1254", "system fault", _UNKNOWN, later="系统出了点小差，我们正在加紧解决中"),
    _never("1260", "already paid", _FINAL, later="该订单已支付，请确认交易结果后再操作",
           instead="never: a repeat gets the first response"),
    _never("1261", "not paid", _FINAL, later="该订单未支付，请确认交易结果后再操作", instead="never: 1124"),
    _never("1262", "already refunded", _FINAL, later="该订单已退款，请确认订单状态再操作",
           instead="never: 1125"),
    _never("1263", "already revoked", _FINAL, later="该订单已撤销，请确认订单状态再操作"),
    _never("1264", "already closed", _FINAL, later="该订单已关闭，请确认订单状态再操作",
           instead="never: 1142"),
    _never("1265", "no refunds at this hour", _RETRY,
           later="该笔订单被禁止退款，23:30-00:30的交易以及部分特殊交易会被禁止",
           instead="never: 2999, and the refund is made when the wallet accepts refunds again"),
    _never("1266", "wrong amount", _FINAL, later="该订单金额错误，请确认后再操作"),
    _never("1267", "the order does not match", _FINAL, later="该订单信息不匹配，请确认后再操作",
           instead="never: 1126"),
    _never("1268", "no such order", _FINAL, later="该订单不存在，请确认后再操作", instead="never: 1136"),
    _sent(MERCHANT_BALANCE, "the merchant's unsettled balance is too low", _RETRY,
          "a refund above what the merchant has at the wallet",
          later="当日未结算金额不足，无法操作，请确认余额充足"),
    _never("1270", "no partial refunds in this currency", _FINAL, later="该币种不支持部分退款",
           instead="never: 1271, since a contract has one currency"),
    _sent(FULL_ONLY, "no partial refunds of this transaction", _FINAL,
          "part of a payment under a contract without partial refunds", later="该交易不支持部分退款"),
    _sent(OVER_REFUND, "the refund is above what is left", _FINAL, "a refund above the remainder",
          later="该退款金额大于原交易可退款的最大金额"),
    _never("1294", "the bank sees a risk", _FINAL, later="该笔交易可能存在风险，已被银行禁止交易"),
    _never("1295", "network congestion", _PENDING, later="网络有些拥堵，我们正在加速解决中"),
    _never("1296", "network congestion: later, or another way to pay", _RETRY,
           later="网络有些拥堵，请稍后再试或使用其他支付方式"),
    _never("1297", "the bank is busy", _RETRY, later="银行系统繁忙，请稍后再试或使用其他支付方式"),
    _never("1298", "network congestion: do not pay twice", _PENDING,
           later="网络有些拥堵，切勿重复支付，如已支付请稍后确认结果"),
    _never("2001", "no such organisation", _FINAL, "机构不存在"),
    _never("2002", "the merchant could not be bound", _FINAL, "商户绑定失败"),
    _never("2003", "signing in failed", _FINAL, "签到失败"),
    _never("2004", "the payer has too little money", _FINAL, "消费者余额不足", instead="never: 1201"),
    _sent(CODE_EXPIRED, "the payer's code expired", _FINAL,
          "an expired auth_code; a barcode payment that the payer did not confirm in time",
          "消费者二维码过期", "消费者付款码错误或已过期请刷新后重新支付"),
    _sent(CODE_ILLEGAL, "not a code of this wallet", _FINAL, "the code of another wallet",
          "消费者二维码非法"),
    _sent(PAYER_CANCELLED, "the payer cancelled", _FINAL, "the payer cancelled", "消费者关闭了这次交易"),
    _sent(BAD_CHANNEL_REQUEST, "the wallet rejects how it was asked", _FINAL,
          "the wallet rejects our request: contact the operator", "传递给通道的参数错误"),
    _never("2009", "no connection to the channel", _RETRY, "连接通道失败", instead="never: 1111"),
    _never("2010", "unknown error with the channel", _UNKNOWN, "和通道交互的未知错误",
           instead="never: 1145 or 2999"),
    _never("2011", "serial number repeated", _FINAL, "交易流水号重复", "交易流水号重复", "never: 1131"),
    _sent(CERTIFICATE, "the merchant's certificate at the wallet does not work", _FINAL,
          "the wallet refuses the certificate", "用户的通道证书配置错误"),
    _sent(BAD_APPLICATION, "a field or a file is wrong, or the business has signed up before", _FINAL,
          "a missing or wrong field or file of `/mch/v1`; a username or a license number that has signed up before"),
    _sent(REFUND_PENDING, "the refund is accepted and not finished: query its syssn", _PENDING,
          "a refund the wallet has not finished", "通道处理中"),
)
# fmt: on

TABLE: Final[Mapping[str, Code]] = {row.code: row for row in _ROWS}


#: Texts of real QFPay responses that are more helpful than the code's usual text.
CLOSE_NOT_SUPPORTED: Final = "该交易暂不支持关闭, 请联系管理员"
UNKNOWN_ORDER: Final = "交易不存在或不在可操作时间内"


def resperr(code: str, call: Call) -> str:
    """The text for the payer or cashier in the response to `call`."""
    if code == OK:
        return ""
    if code == NOT_FOUND:
        return UNKNOWN_ORDER
    if code == NOT_ALLOWED and call == "close":
        return CLOSE_NOT_SUPPORTED
    if code == PENDING or call not in ("payment", "refund", "reversal"):
        return _chinese(code)
    return _call_support(code)


def row_text(code: str) -> str:
    """The text in a row of a query, where the code is the state of one payment or refund."""
    if code == OK:
        return "交易成功"
    if code == PENDING:
        return TABLE[PENDING].chinese_later
    return _chinese(code)


def _chinese(code: str) -> str:
    row = TABLE[code]
    return row.chinese_oc or row.chinese_later or _call_support(code)


def _call_support(code: str) -> str:
    return f"交易失败，请联系客服({code})"
