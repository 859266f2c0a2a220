"""What a V2 call is made of: the elements it takes, what its handler is given, and the two ways to refuse.

A `Rejection` is layer 1: the call never reached the business, the reply is bare and unsigned. A `Refusal` is
layer 2: the business said no, with an `err_code`, and that is signed like a success.
"""

import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.responses import Response

from tael_sandbox.rates import CNY_PER_UNIT
from tael_sandbox.shops import Provider
from tael_sandbox.wechat import trades
from tael_sandbox.wechat.messages import Value, failure
from tael_sandbox.wechat.registry import Merchant, Registry
from tael_sandbox.wechat.trades import Trade

MISSING: Final = "缺少参数"  #: with the element's name behind it
BAD_SIGNATURE: Final = "签名错误，请检查后再试"
BAD_XML: Final = "XML格式错误"
BAD_FORM: Final = "参数格式错误"  #: with the element's name before it

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
    """An element that the call cannot do without; of several that serve alike, all of them."""

    def __init__(self, *names: str) -> None:
        super().__init__(MISSING + "或".join(names))


class Stranger(Rejection):
    """Who asks is nobody, or not who they say. The documents have an `err_code` for it, which is hardly ever seen."""

    def __init__(self, return_msg: str, err_code: str) -> None:
        super().__init__(return_msg)
        self.err_code = err_code


class Refusal(Exception):
    """`fields` go into the reply beside the error; what was written before it stays written."""

    def __init__(self, err_code: str, err_code_des: str, **fields: Value) -> None:
        super().__init__(err_code)
        self.err_code = err_code
        self.err_code_des = err_code_des
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Element:
    name: str
    longest: int
    required: bool = False
    form: re.Pattern[str] | None = None

    def accepts(self, value: str) -> bool:
        return len(value) <= self.longest and (self.form is None or self.form.fullmatch(value) is not None)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that passed every check which is the same for all calls."""

    fields: dict[str, str]
    merchants: tuple[Merchant, ...]  #: one; of a provider's call for all of its sub-merchants, each
    registry: Registry
    connection: sqlite3.Connection
    now: datetime

    def text(self, name: str) -> str:
        return self.fields.get(name, "")

    def amount(self, name: str) -> int:
        return int(self.fields[name])

    @property
    def provider(self) -> Provider:
        return self.merchants[0].provider

    @property
    def merchant(self) -> Merchant:
        return self.merchants[0]

    @property
    def mch_id(self) -> str:
        """As the books have it: `wire_number` is what is sent."""
        return self.provider.mch_id

    @property
    def sub_mch_id(self) -> str:
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
    answer: Callable[[Ask], dict[str, Value] | Response]  #: fields are signed, a Response goes out as it is
    one_of: tuple[str, ...] = ()  #: at least one of these must be there
    needs_certificate: bool = False
    fails_with: tuple[tuple[str, Value], ...] = ()  #: in every refusal of this call
    common: tuple[Element, ...] = COMMON
    is_for_provider: bool = False  #: without a sub_mch_id it is about all sub-merchants
    sent_encoded: str = ""  #: an element that is signed as it is and sent percent-encoded
    reject: Callable[[str], Response] = failure  #: what a Rejection looks like
    operation: str = ""  #: what faults call it: its path, unless it is reached by several
    in_vendor_sandbox: bool = False  #: WeChat Pay's own, with a key and numbers of its own

    def __post_init__(self) -> None:
        if not self.operation:
            object.__setattr__(self, "operation", self.path)


def find_trade(ask: Ask) -> Trade | None:
    """The trade that the request names, if it is this sub-merchant's; `transaction_id` wins."""
    if ask.text("transaction_id"):
        trade = trades.by_transaction(ask.connection, ask.text("transaction_id"))
    else:
        trade = trades.by_order(ask.connection, ask.mch_id, ask.text("out_trade_no"))
    return trade if trade is not None and is_of(trade, ask) else None


def is_of(trade: Trade, ask: Ask) -> bool:
    return (trade.mch_id, trade.sub_mch_id) == (ask.mch_id, ask.sub_mch_id)


def check_transaction_id(ask: Ask) -> None:
    """Calls that move money name a malformed number as such."""
    if ask.text("transaction_id") and not TRANSACTION_ID.fullmatch(ask.text("transaction_id")):
        raise Refusal("INVALID_TRANSACTIONID", "无效transaction_id")
