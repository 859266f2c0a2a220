"""The definition of a V2 call: its elements, the request that its handler gets, and the two kinds of refusal.

A `Rejection` is layer 1: the call did not reach the business layer, and the reply is bare and unsigned. A `Refusal` is
layer 2: the business layer refused with an `err_code`, and the reply is signed like a success.
"""

import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.responses import Response

from tael_sandbox.rates import CNY_PER_UNIT
from tael_sandbox.shops import MerchantAccount
from tael_sandbox.wechat import trades
from tael_sandbox.wechat.messages import Value, failure
from tael_sandbox.wechat.registry import Merchant, Registry
from tael_sandbox.wechat.trades import Trade

MISSING: Final = "缺少参数"  #: followed by the element's name
BAD_SIGNATURE: Final = "签名错误，请检查后再试"
BAD_XML: Final = "XML格式错误"
BAD_FORM: Final = "参数格式错误"  #: preceded by the element's name
UNBOUND: Final = "商户号mch_id与appid不匹配"

AMOUNT: Final = re.compile("[1-9][0-9]{0,11}")
COUNT: Final = re.compile("0|[1-9][0-9]{0,5}")
ORDER_NUMBER: Final = re.compile(r"[0-9A-Za-z_\-|*]+")
REFUND_NUMBER: Final = re.compile(r"[0-9A-Za-z_\-|*@]+")
WIRE_TIME: Final = re.compile("[0-9]{14}")
WIRE_DAY: Final = re.compile("[0-9]{8}")
CURRENCY: Final = re.compile("|".join(sorted(CNY_PER_UNIT)))
TRADE_TYPE: Final = re.compile("JSAPI|NATIVE|APP|MWEB")
USE_TAG: Final = re.compile("[12]")
REFUND_ACCOUNT: Final = re.compile("REFUND_SOURCE_UNSETTLED_FUNDS|REFUND_SOURCE_RECHARGE_FUNDS")
TRANSACTION_ID: Final = re.compile("[0-9]{28}")


class Rejection(Exception):
    def __init__(self, return_msg: str) -> None:
        super().__init__(return_msg)
        self.return_msg = return_msg


class Missing(Rejection):
    """A required element is missing. With several names, one of them is required."""

    def __init__(self, *names: str) -> None:
        super().__init__(MISSING + "或".join(names))


class UnknownAccount(Rejection):
    """The numbers of the account are unknown or do not match. The documented `err_code` is rarely seen in practice."""

    def __init__(self, return_msg: str, err_code: str) -> None:
        super().__init__(return_msg)
        self.err_code = err_code


class Refusal(Exception):
    """`fields` are added to the reply. Changes made before the refusal are committed."""

    def __init__(self, err_code: str, err_code_des: str, **fields: Value) -> None:
        super().__init__(err_code)
        self.err_code = err_code
        self.err_code_des = err_code_des
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Element:
    name: str
    max_length: int
    required: bool = False
    form: re.Pattern[str] | None = None

    def accepts(self, value: str) -> bool:
        return len(value) <= self.max_length and (self.form is None or self.form.fullmatch(value) is not None)


@dataclass(frozen=True, slots=True)
class AdmittedRequest:
    """A request that passed all checks that calls have in common."""

    fields: dict[str, str]
    merchants: tuple[Merchant, ...]  #: one, or all sub-merchants in a provider's call for all of them
    registry: Registry
    connection: sqlite3.Connection
    now: datetime
    pages_url: str  #: the base URL of WeChat's pages in a payer's browser

    def text(self, name: str) -> str:
        return self.fields.get(name, "")

    def amount(self, name: str) -> int:
        return int(self.fields[name])

    @property
    def account(self) -> MerchantAccount:
        return self.merchants[0].account

    @property
    def merchant(self) -> Merchant:
        return self.merchants[0]

    @property
    def mch_id(self) -> str:
        """The number as stored in the books; `wire_number` converts it to the number on the wire."""
        return self.account.mch_id

    @property
    def sub_mch_id(self) -> str:
        """Empty for a direct merchant."""
        return self.merchant.contract.sub_mch_id


COMMON: Final = (
    Element("appid", 32, required=True),
    Element("mch_id", 32, required=True),
    Element("sub_appid", 32),
    Element("sub_mch_id", 32),
    Element("nonce_str", 32, required=True),
    Element("sign", 64, required=True),
)


@dataclass(frozen=True, slots=True)
class Call:
    path: str
    elements: tuple[Element, ...]
    #: Handles the request. Fields are signed, a Response is sent unchanged.
    answer: Callable[[AdmittedRequest], dict[str, Value] | Response]
    one_of: tuple[str, ...] = ()  #: at least one of these is required
    needs_certificate: bool = False
    fails_with: tuple[tuple[str, Value], ...] = ()  #: fields of every refusal of this call
    common: tuple[Element, ...] = COMMON
    is_for_provider: bool = False  #: without a sub_mch_id the call is about all sub-merchants
    sent_encoded: str = ""  #: an element that is signed unencoded and sent percent-encoded
    reject: Callable[[str], Response] = failure  #: builds the response for a Rejection
    operation: str = ""  #: its name in faults: its path, unless several paths lead to it
    in_vendor_sandbox: bool = False  #: belongs to WeChat Pay's own sandbox, which has its own key and numbers

    def __post_init__(self) -> None:
        if not self.operation:
            object.__setattr__(self, "operation", self.path)


def find_trade(request: AdmittedRequest) -> Trade | None:
    """The merchant's trade that the request names; `transaction_id` takes precedence."""
    if request.text("transaction_id"):
        trade = trades.by_transaction(request.connection, request.text("transaction_id"))
    else:
        trade = trades.by_order(request.connection, request.mch_id, request.text("out_trade_no"))
    return trade if trade is not None and belongs_to(trade, request) else None


def belongs_to(trade: Trade, request: AdmittedRequest) -> bool:
    return (trade.mch_id, trade.sub_mch_id) == (request.mch_id, request.sub_mch_id)


def check_transaction_id(request: AdmittedRequest) -> None:
    """Calls that move money have an error code for a malformed `transaction_id`. Raises Refusal."""
    if request.text("transaction_id") and not TRANSACTION_ID.fullmatch(request.text("transaction_id")):
        raise Refusal("INVALID_TRANSACTIONID", "无效transaction_id")
