"""Alipay's responses to magic values: the gateway maps each to the code in the value."""

import sqlite3
from collections.abc import Mapping
from typing import Final

from tael_sandbox.alipay.messages import Refused
from tael_sandbox.magic import requested_code

PAY: Final = {
    "1111": "EXTERFACE_IS_CLOSED",
    "1118": "PAYMENT_REQUEST_HAS_RISK",
    "1123": "BEYOND_PAY_RESTRICTION",
    "1131": "PAYMENT_FAIL",
    "1133": "HAS_NO_PRIVILEGE",
    "1135": "UN_SUPPORT_BIZ_TYPE",
    "1201": "BUYER_BALANCE_NOT_ENOUGH",
    "1202": "SOUNDWAVE_PARSER_FAIL",
    "1203": "BUYER_ENABLE_STATUS_FORBID",
    "1204": "BUYER_BANKCARD_BALANCE_NOT_ENOUGH",
    "2008": "INVALID_PARAMETER",
}
#: The payer's behaviour where the trade is created and waits: a barcode's behaviour, or GIVES_UP.
GIVES_UP: Final = "gives_up"
WAITS: Final = {"1145": "password_then_pays", "2005": "password", "2007": GIVES_UP}
REFUND: Final = {
    "1111": "EXTERFACE_IS_CLOSED",
    "1124": "TRADE_STATUS_ERROR",
    "1130": "REFUNDMENT_VALID_DATE_EXCEED",
    "1131": "PROCESS_FAIL",
    "1133": "HAS_NO_PRIVILEGE",
    "1203": "BUYER_ENABLE_STATUS_FORBID",
    "1269": "MERCHANT_BALANCE_NOT_ENOUGH",
    "2008": "INVALID_PARAMETER",
}
CLOSE: Final = {"1146": "TRADE_STATUS_ERROR"}
CANCEL: Final = {"1155": "CANCEL_NOT_ALLOWED"}

PAY_OR_WAIT: Final = PAY.keys() | WAITS.keys()

#: Errors of the gateway itself, in its own form, before any service runs.
OF_GATEWAY: Final = frozenset({"EXTERFACE_IS_CLOSED", "HAS_NO_PRIVILEGE", "INVALID_PARAMETER"})


def refusal(connection: sqlite3.Connection, answers: Mapping[str, str], *values: str | int) -> str | None:
    """The service's error for these values, if any. Raises Refused for an error of the gateway itself."""
    return service_error(answers.get(requested_code(connection, answers, *values)))


def service_error(error: str | None) -> str | None:
    """Returns an error of a service unchanged. Raises Refused for an error of the gateway itself."""
    if error in OF_GATEWAY:
        raise Refused(error)
    return error
