"""The code that each reason becomes, and the texts of errors whose code alone says too little. Pure."""

from collections.abc import Mapping
from typing import Final

from tael.base.errors import TaelError
from tael.base.reasons import Reason
from tael.qfpay import codes
from tael.qfpay.codes import Call
from tael.qfpay.errors import BadField

CODES: Final[Mapping[Reason, str]] = {
    Reason.UNREADABLE: codes.BAD_MESSAGE,
    Reason.BAD_PARAMETER: codes.BAD_FIELD,
    Reason.RANGE_SPANS_MONTHS: codes.BAD_FIELD,
    Reason.NOT_AUTHENTIC: codes.BAD_SIGNATURE,
    Reason.OUT_OF_SERVICE: codes.OUT_OF_SERVICE,
    Reason.UNDER_MAINTENANCE: codes.MAINTENANCE,
    Reason.RATE_LIMITED: codes.OUT_OF_SERVICE,
    Reason.MERCHANT_NOT_NAMED: codes.BAD_FIELD,
    Reason.MERCHANT_DISABLED: codes.USER_BLOCKED,
    Reason.MERCHANT_NOT_APPROVED: codes.NOT_AUDITED,
    Reason.OPERATION_DENIED: codes.DENIED,
    Reason.NO_ACCOUNT: codes.SETUP,
    Reason.PAY_TYPE_NOT_GRANTED: codes.BAD_FIELD,
    Reason.BAD_APPLICATION: codes.BAD_APPLICATION,
    Reason.DOCUMENT_REPEATED: codes.DOCUMENT_REPEATED,
    Reason.DOCUMENTS_UNAVAILABLE: codes.DOCUMENTS_UNAVAILABLE,
    Reason.OTHER_CURRENCY: codes.CURRENCY,
    Reason.NO_SUCH_PAYMENT: codes.NOT_FOUND,
    Reason.NOT_ALLOWED: codes.NOT_ALLOWED,
    Reason.REFERENCE_REUSED: codes.REPEATED,
    Reason.ORDER_EXPIRED: codes.EXPIRED,
    Reason.FULL_REFUND_ONLY: codes.FULL_ONLY,
    Reason.TOO_LATE_TO_REVERSE: codes.NOT_ALLOWED,  # not WINDOW_OVER: a refund may still be possible
    Reason.PARTLY_REFUNDED: codes.NOT_ALLOWED,
    Reason.WALLET_UNREACHABLE: codes.UNREACHABLE,
    Reason.PAYER_BALANCE: codes.BALANCE,
    Reason.PAYER_CODE: codes.PAYER_CODE,
    Reason.PAYER_CODE_EXPIRED: codes.CODE_EXPIRED,
    Reason.OTHER_WALLETS_CODE: codes.CODE_ILLEGAL,
    Reason.PAYER_CANCELLED: codes.PAYER_CANCELLED,
    Reason.PAYER_ACCOUNT: codes.PAYER_ACCOUNT,
    Reason.PAYER_BANK: codes.BANK,
    Reason.SWIPE_FAILED: codes.SWIPE_FAILED,
    Reason.CARD_KIND: codes.CARD_KIND,
    Reason.AMOUNT_LIMIT: codes.AMOUNT,
    Reason.RISK: codes.RISK,
    Reason.BAD_REQUEST: codes.BAD_CHANNEL_REQUEST,
    Reason.OUR_IDENTITY: codes.CREDENTIALS,
    Reason.OUR_CERTIFICATE: codes.CERTIFICATE,
    Reason.MERCHANT_SETUP: codes.SETUP,
    Reason.WALLET_CLOSED: codes.UNREACHABLE,
    Reason.NUMBER_REUSED: codes.CHANNEL_ERROR,
    Reason.ORDER_CLOSED: codes.CLOSED,
    Reason.NO_SUCH_TRADE: codes.NOT_FOUND,
    Reason.WRONG_STATE: codes.NOT_ALLOWED,
    Reason.MISMATCH: codes.MISMATCH,
    Reason.WINDOW_OVER: codes.WINDOW_OVER,
    Reason.ABOVE_REMAINDER: codes.OVER_REFUND,
    Reason.ALREADY_REFUNDED: codes.ALREADY_REFUNDED,
    Reason.MERCHANT_BALANCE: codes.MERCHANT_BALANCE,
    Reason.REVERSAL_REFUSED: codes.REVERSAL_REFUSED,
    Reason.CLOSE_REFUSED: codes.CLOSE_REFUSED,
    Reason.OTHER: codes.CHANNEL_ERROR,
}

#: Errors of areas that do not know QFPay's fields.
ENGLISH: Final[Mapping[Reason, str]] = {
    Reason.PAY_TYPE_NOT_GRANTED: "filter_error",
    Reason.MERCHANT_NOT_NAMED: BadField.missing("mchid").english,
    Reason.RANGE_SPANS_MONTHS: BadField.malformed(
        "end_time", "must lie in the same calendar month as start_time"
    ).english,
}
CHINESE: Final[Mapping[Reason, str]] = {Reason.PAY_TYPE_NOT_GRANTED: "获取用户支付通道失败"}


def code_of(reason: Reason) -> str:
    """The respcd of an error, or of a row that failed."""
    return CODES[reason]


def respmsg(error: TaelError) -> str:
    """The text for the developer: the error's own, or the meaning of its code."""
    return ENGLISH.get(error.reason) or error.english or codes.TABLE[code_of(error.reason)].english


def resperr(error: TaelError, call: Call) -> str:
    """The text for the payer or cashier in the response to `call`."""
    return CHINESE.get(error.reason) or codes.resperr(code_of(error.reason), call)
