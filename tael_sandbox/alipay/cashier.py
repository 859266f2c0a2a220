"""`create_forex_trade` and `create_forex_trade_wap`: a payer opens a signed link and stands at the cashier.

On PC the trade exists once the payer is here; on WAP not before the password. How long the link may be
opened and how long the payer may then take are two different limits.
"""

import json
import re
import secrets
from datetime import datetime, timedelta
from typing import Final

from tael_sandbox.alipay.changes import bring_into_being
from tael_sandbox.alipay.checks import COMPACT, DASHED, Parameters
from tael_sandbox.alipay.messages import Refused
from tael_sandbox.alipay.preconditions import Call
from tael_sandbox.alipay.profit_sharing import PAYING_IN, check_splits
from tael_sandbox.alipay.trades import NOT_EXIST, PC, WAITING, WAP, Trade, by_order, insert_trade
from tael_sandbox.payers import payer_of
from tael_sandbox.rates import to_cny_minor

PRODUCT_CODES: Final = {
    PC: ("NEW_OVERSEAS_SELLER", "OVERSEAS_SELLER"),
    WAP: ("NEW_WAP_OVERSEAS_SELLER", "WAP_OVERSEAS_SELLER"),
}
PRODUCT_OF_SERVICE: Final = {"create_forex_trade": PC, "create_forex_trade_wap": WAP}
TIMEOUT_RULES: Final = frozenset(
    ("5m", "10m", "15m", "30m", "1h", "2h", "3h", "5h", "10h", "12h", "1d", "3d", "7d", "15d")
)
DEFAULT_TIMEOUT: Final = "12h"
MAX_TIMEOUT: Final = timedelta(days=15)
MAX_VALID_TIME_S: Final = 2_592_000
MAX_UNITS: Final = "1000000.00"
IDENTITY: Final = ("subject", "body", "total_fee", "rmb_fee", "currency", "product_code")
_DURATION: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def open_order(call: Call) -> Trade:
    """The payer opens the link: a new order, or the same one again. Raises Refused."""
    product = PRODUCT_OF_SERVICE[call.service]
    asked = call.parameters("ILLEGAL_ARGUMENT")
    if product == WAP and call.request.charset != "utf-8":
        raise Refused("ILLEGAL_CHARSET")
    order_no = asked.number("out_trade_no")
    subject = asked.text("subject", 256)
    asked.optional("body", 400)
    product_code = _product_code(call, asked, product)
    currency = asked.currency()
    price_currency, amount_minor = _price(asked, currency)
    if currency != call.shop.currency:
        raise Refused("ILLEGAL_CURRENCY")
    open_until, pay_until = _limits(asked, product, call.preconditions.now)
    notify_url, return_url = asked.url("notify_url"), asked.url("return_url")
    check_splits(asked, PAYING_IN, price_currency, amount_minor)
    asked.json("trade_information", dict)

    identity = json.dumps({name: asked.fields.get(name) for name in IDENTITY})
    trade = by_order(call.preconditions.connection, call.pid, order_no)
    if trade is None:
        if call.preconditions.now > open_until or call.preconditions.now > pay_until:
            raise Refused("TRADE_NOT_ALLOWED_PAY")
        trade = insert_trade(
            call.preconditions.connection,
            pid=call.pid,
            order_no=order_no,
            product=product,
            product_code=product_code,
            token=secrets.token_urlsafe(24),
            state=NOT_EXIST,
            identity=identity,
            subject=subject,
            amount_minor=amount_minor,
            price_currency=price_currency,
            currency=currency,
            cny_minor=to_cny_minor(amount_minor, price_currency),
            sign_type=call.sign_type,
            charset=call.request.charset,
            notify_url=notify_url,
            return_url=return_url,
            created_at=call.preconditions.now.timestamp(),
            last_pay_at=pay_until.timestamp(),
        )
    elif trade.identity != identity:
        raise Refused("TRADE_DATA_MATCH_ERROR")
    if product == PC:
        return bring_into_being(
            call.preconditions, trade, payer_of(call.preconditions.connection, "alipay", None).payer
        )
    return trade


def is_payable(trade: Trade, now: datetime) -> bool:
    return trade.state in (NOT_EXIST, WAITING) and now.timestamp() < trade.last_pay_at


def _product_code(call: Call, asked: Parameters, product: str) -> str:
    """An old contract's may be left out, and is the old one then."""
    if "product_code" not in asked.fields and not call.contract.needs_product_code:
        return PRODUCT_CODES[product][-1]
    return asked.one_of("product_code", PRODUCT_CODES[product])


def _price(asked: Parameters, currency: str) -> tuple[str, int]:
    """The currency and the amount of the price: exactly one of total_fee and rmb_fee."""
    is_in_cny = "rmb_fee" in asked.fields
    if is_in_cny == ("total_fee" in asked.fields):
        raise asked.refuse()
    name, price_currency = ("rmb_fee", "CNY") if is_in_cny else ("total_fee", currency)
    if asked.signed_amount(name, price_currency) <= 0:
        raise Refused("TOTAL_FEE_LESSEQUAL_ZERO")
    try:
        return price_currency, asked.amount(name, price_currency, MAX_UNITS)
    except Refused:
        raise Refused("TOTAL_FEE_OUT_OF_RANGE") from None


def _limits(asked: Parameters, product: str, now: datetime) -> tuple[datetime, datetime]:
    """Until when the link may be opened, and until when the payer who opens it now may pay."""
    order_create = asked.time("order_create", DASHED, COMPACT) if product == WAP else None
    timeout = _timeout(asked.fields.get("timeout_rule", DEFAULT_TIMEOUT), is_free=order_create is not None)
    pay_until = (order_create or now) + timeout
    since = asked.time("order_gmt_create", DASHED)
    valid_time = asked.optional("order_valid_time", 10)
    if (since is None) != (valid_time is None):
        raise asked.refuse()
    if since is None or valid_time is None:
        return now, pay_until
    if not re.fullmatch("[1-9][0-9]*", valid_time) or int(valid_time) > MAX_VALID_TIME_S:
        raise asked.refuse()
    return since + timedelta(seconds=int(valid_time)), pay_until


def _timeout(rule: str, *, is_free: bool) -> timedelta:
    """Only listed values, but on WAP with a time of creation anything from a minute to 15 days."""
    parts = _DURATION.fullmatch(rule)
    if parts is None or (rule not in TIMEOUT_RULES and not is_free):
        raise Refused("ILLEGAL_TIMEOUT_RULE")
    timeout = timedelta(**{_UNITS[parts[2]]: int(parts[1])})
    if timeout > MAX_TIMEOUT:
        raise Refused("ILLEGAL_TIMEOUT_RULE")
    return timeout
