"""`create_forex_trade` and `create_forex_trade_wap`: a payer opens a signed link and gets the cashier page.

On PC the trade exists once the payer has opened the link, on WAP only once the password is entered. The time in which
the link can be opened and the time in which the payer can then pay are two different limits.
"""

import re
import secrets
from datetime import datetime, timedelta
from typing import Final

from tael_sandbox.alipay.changes import begin_trade
from tael_sandbox.alipay.checks import COMPACT, DASHED, Parameters
from tael_sandbox.alipay.durations import span_of
from tael_sandbox.alipay.messages import Refused
from tael_sandbox.alipay.orders import OnlineOrder, identity_of, place, read_price
from tael_sandbox.alipay.payment_inst import payer_for, read_payment_inst
from tael_sandbox.alipay.preconditions import Call
from tael_sandbox.alipay.profit_sharing import PAYING_IN, check_profit_shares
from tael_sandbox.alipay.trades import NOT_EXIST, PC, WAITING, WAP, Trade

PRODUCT_CODES: Final = {
    PC: ("NEW_OVERSEAS_SELLER", "OVERSEAS_SELLER"),
    WAP: ("NEW_WAP_OVERSEAS_SELLER", "WAP_OVERSEAS_SELLER"),
}
PRODUCT_OF_SERVICE: Final = {"create_forex_trade": PC, "create_forex_trade_wap": WAP}
TIMEOUT_RULES: Final = frozenset(
    ("5m", "10m", "15m", "30m", "1h", "2h", "3h", "5h", "10h", "12h", "1d", "3d", "7d", "15d")
)
DEFAULT_TIMEOUT: Final = "12h"
MAX_VALID_TIME_S: Final = 2_592_000


def open_order(call: Call) -> Trade:
    """Opens the link: creates the order or returns the existing one. Raises Refused."""
    product = PRODUCT_OF_SERVICE[call.service]
    if product == WAP and call.request.charset != "utf-8":
        raise Refused("ILLEGAL_CHARSET")
    order, open_until = _read_link(call, call.parameters("ILLEGAL_ARGUMENT"), product)
    trade = place(call, order, open_until)
    if product == PC:
        return begin_trade(
            call.preconditions, trade, payer_for(call.preconditions.connection, trade, None).payer
        )
    return trade


def is_payable(trade: Trade, now: datetime) -> bool:
    return trade.state in (NOT_EXIST, WAITING) and now.timestamp() < trade.last_pay_at


def _read_link(call: Call, parameters: Parameters, product: str) -> tuple[OnlineOrder, datetime]:
    """The order, and until when the link can be opened. Raises Refused."""
    order_no = parameters.number("out_trade_no")
    subject = parameters.text("subject", 256)
    parameters.optional("body", 400)
    product_code = _product_code(call, parameters, product)
    currency = parameters.currency()
    price = read_price(call, parameters, currency)
    open_until, pay_until = _limits(parameters, product, call.preconditions.now)
    payment_inst = read_payment_inst(parameters)
    order = OnlineOrder(
        order_no=order_no,
        product=product,
        product_code=product_code,
        subject=subject,
        currency=currency,
        price=price,
        identity=identity_of(parameters, payment_inst=payment_inst),
        payment_inst=payment_inst,
        notify_url=parameters.url("notify_url"),
        return_url=parameters.url("return_url"),
        token=secrets.token_urlsafe(24),
        pay_until=pay_until,
    )
    check_profit_shares(parameters, PAYING_IN, price.currency, price.amount_minor)
    parameters.json("trade_information", dict)
    return order, open_until


def _product_code(call: Call, parameters: Parameters, product: str) -> str:
    """Old contracts may leave it out and then get the old product."""
    if "product_code" not in parameters.fields and not call.contract.needs_product_code:
        return PRODUCT_CODES[product][-1]
    return parameters.one_of("product_code", PRODUCT_CODES[product])


def _limits(parameters: Parameters, product: str, now: datetime) -> tuple[datetime, datetime]:
    """Until when the link can be opened, and until when a payer who opens it now can pay."""
    order_create = parameters.time("order_create", DASHED, COMPACT) if product == WAP else None
    timeout = _timeout(
        parameters.fields.get("timeout_rule", DEFAULT_TIMEOUT), is_free=order_create is not None
    )
    pay_until = (order_create or now) + timeout
    since = parameters.time("order_gmt_create", DASHED)
    valid_time = parameters.optional("order_valid_time", 10)
    if (since is None) != (valid_time is None):
        raise parameters.refuse()
    if since is None or valid_time is None:
        return now, pay_until
    if not re.fullmatch("[1-9][0-9]*", valid_time) or int(valid_time) > MAX_VALID_TIME_S:
        raise parameters.refuse()
    return since + timedelta(seconds=int(valid_time)), pay_until


def _timeout(rule: str, *, is_free: bool) -> timedelta:
    """Only the listed values, except on WAP with `order_create`: anything from a minute to 15 days."""
    timeout = span_of(rule)
    if timeout is None or (rule not in TIMEOUT_RULES and not is_free):
        raise Refused("ILLEGAL_TIMEOUT_RULE")
    return timeout
