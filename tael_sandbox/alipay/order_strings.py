"""`mobile.securitypay.pay`: the order string that a merchant's app passes to the wallet's app, without an HTTP call.

The string is `name="value"` joined with `&`. Its signature covers the pairs without `sign` and `sign_type` in the order
in which they stand, and `sign` is URL-encoded. QFPay's `pay_params` has the same members as a JSON object, from which
an app makes the string with the names sorted. As on WAP the trade exists once the password is entered.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import unquote

from tael_sandbox.alipay.checks import URL_LENGTH, Parameters
from tael_sandbox.alipay.durations import end_of, read_duration
from tael_sandbox.alipay.messages import CHARSETS, Refused, Request
from tael_sandbox.alipay.orders import OnlineOrder, identity_of, place, read_price
from tael_sandbox.alipay.payment_inst import read_payment_inst
from tael_sandbox.alipay.preconditions import Call
from tael_sandbox.alipay.signing import UNSIGNED
from tael_sandbox.alipay.trades import APP, Trade

SERVICE: Final = "mobile.securitypay.pay"
SIGN_TYPE: Final = "RSA"
PRODUCT_CODE: Final = "NEW_WAP_OVERSEAS_SELLER"
#: Counted from the first time that a payer opens the order.
TIME_TO_PAY: Final = "12h"
MAX_CNY: Final = "100000000.00"
NEEDED: Final = (
    *("service", "partner", "seller_id", "_input_charset", "sign_type", "sign", "notify_url", "out_trade_no"),
    *("subject", "payment_type", "currency", "forex_biz", "product_code"),
)
_PAIR: Final = re.compile('([A-Za-z0-9_]{1,64})="([^"]*)"')
_START: Final = re.compile('[A-Za-z_]+="')
_MEMBER: Final = re.compile('"(service|partner)"')


class UnreadableOrder(Exception):
    """The text is not an order string, or a member is missing. The message is for the merchant's developer."""


@dataclass(frozen=True, slots=True)
class OrderString:
    request: Request
    signed_text: str
    sign: str  #: in Base64


def is_order_string(text: str) -> bool:
    """Whether it looks like an order string or the JSON of one, valid or not."""
    return bool(_START.match(text)) or (text.startswith("{") and bool(_MEMBER.search(text)))


def read_order_string(text: str) -> OrderString:
    """Raises UnreadableOrder, or Refused for another charset."""
    pairs = _pairs(_joined(_members(text)) if text.startswith("{") else text)
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise UnreadableOrder("a name stands in it twice")
    missing = [name for name in NEEDED if not fields.get(name)]
    if not fields.get("total_fee") and not fields.get("rmb_fee"):
        missing.append("total_fee")
    if missing:
        raise UnreadableOrder(f"{', '.join(missing)} missing")
    charset = CHARSETS.get(fields["_input_charset"].lower())
    if charset != "utf-8":
        raise Refused("ILLEGAL_CHARSET")
    signed_text = _text_of((name, value) for name, value in pairs if name not in UNSIGNED)
    return OrderString(Request(fields, charset), signed_text, _sign(fields["sign"]))


def open_order_string(call: Call) -> Trade:
    """Creates the order or returns the existing one. Raises Refused."""
    parameters, now = call.parameters("ILLEGAL_ARGUMENT"), call.preconditions.now
    parameters.one_of("payment_type", ("1",))
    parameters.one_of("forex_biz", ("FP",))
    if "@" not in parameters.text("seller_id", 100):
        parameters.one_of("seller_id", (call.pid,))
    for name, max_length in (("secondary_merchant_id", 64), ("secondary_merchant_name", 128)):
        parameters.optional(name, max_length)
    parameters.optional("secondary_merchant_industry", 4)
    return place(call, _order(call, parameters, now), now)


def _order(call: Call, parameters: Parameters, now: datetime) -> OnlineOrder:
    parameters.optional("body", 400)
    currency, payment_inst = parameters.currency(), read_payment_inst(parameters)
    return OnlineOrder(
        order_no=parameters.number("out_trade_no"),
        product=APP,
        product_code=parameters.one_of("product_code", (PRODUCT_CODE,)),
        subject=parameters.text("subject", 256),
        currency=currency,
        price=read_price(call, parameters, currency, MAX_CNY),
        identity=identity_of(parameters, service=SERVICE, payment_inst=payment_inst),
        payment_inst=payment_inst,
        notify_url=parameters.url("notify_url"),
        return_url=_return_url(parameters),
        token=None,
        pay_until=end_of(read_duration(parameters, "it_b_pay", TIME_TO_PAY), now),
    )


def _return_url(parameters: Parameters) -> str | None:
    """Only the pages of a wallet that is not installed use it. Clients send `m.alipay.com` where they have no page."""
    value = parameters.optional("return_url", URL_LENGTH)
    return parameters.url("return_url") if value is not None and "://" in value else None


def _members(text: str) -> Mapping[str, str]:
    """The members of the JSON object; numbers as they are written, since QFPay has `total_fee` as a number."""
    try:
        pairs = json.loads(text, object_pairs_hook=list, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        raise UnreadableOrder('it is neither JSON nor name="value" pairs') from None
    if not all(isinstance(value, str) for _name, value in pairs):
        raise UnreadableOrder("a member is neither text nor a number")
    if len(dict(pairs)) < len(pairs):
        raise UnreadableOrder("a name stands in it twice")
    return dict(pairs)


def _joined(members: Mapping[str, str]) -> str:
    """The string that an app makes of the members: sorted by name, with `sign` and `sign_type` last."""
    return _text_of(sorted(members.items(), key=lambda pair: (pair[0] in UNSIGNED, pair[0])))


def _text_of(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(f'{name}="{value}"' for name, value in pairs)


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    place = 0
    while pair := _PAIR.match(text, place):
        pairs.append((pair[1], pair[2]))
        if pair.end() == len(text):
            return pairs
        place = pair.end()
        if text[place] != "&":
            break
        place += 1
    raise UnreadableOrder(f'no name="value" pair stands at character {place + 1}')


def _sign(encoded: str) -> str:
    """Base64 has characters that must be encoded. Raises Refused if they are not."""
    if re.search("[+/=]", encoded):
        raise Refused("ILLEGAL_SIGN")
    return unquote(encoded)
