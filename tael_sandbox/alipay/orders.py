"""The content of an online order, and its row: placed at the first opening, found again at the next ones."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tael_sandbox.alipay.checks import Parameters
from tael_sandbox.alipay.messages import Refused
from tael_sandbox.alipay.payment_inst import store_payment_inst
from tael_sandbox.alipay.preconditions import Call
from tael_sandbox.alipay.trades import NOT_EXIST, Trade, by_order, insert_trade
from tael_sandbox.rates import to_cny_minor

MAX_UNITS: Final = "1000000.00"
IDENTITY: Final = ("subject", "body", "total_fee", "rmb_fee", "currency", "product_code")


@dataclass(frozen=True, slots=True)
class Price:
    currency: str  #: CNY where the merchant priced by `rmb_fee`
    amount_minor: int


@dataclass(frozen=True, slots=True)
class OnlineOrder:
    """What a signed link or order string says about its order."""

    order_no: str
    product: str
    product_code: str
    subject: str
    currency: str  #: of the contract
    price: Price
    identity: str
    payment_inst: str | None
    notify_url: str | None
    return_url: str | None
    token: str | None  #: of the cashier page
    pay_until: datetime  #: if it is opened now for the first time


def read_price(call: Call, parameters: Parameters, currency: str, max_cny: str = MAX_UNITS) -> Price:
    """From exactly one of total_fee and rmb_fee, in the contract's currency. Raises Refused."""
    is_in_cny = "rmb_fee" in parameters.fields
    if is_in_cny == ("total_fee" in parameters.fields):
        raise parameters.refuse()
    name, price_currency = ("rmb_fee", "CNY") if is_in_cny else ("total_fee", currency)
    if parameters.signed_amount(name, price_currency) <= 0:
        raise Refused("TOTAL_FEE_LESSEQUAL_ZERO")
    try:
        price = Price(
            price_currency, parameters.amount(name, price_currency, max_cny if is_in_cny else MAX_UNITS)
        )
    except Refused:
        raise Refused("TOTAL_FEE_OUT_OF_RANGE") from None
    if currency != call.shop.currency:
        raise Refused("ILLEGAL_CURRENCY")
    return price


def identity_of(parameters: Parameters, **more: str | None) -> str:
    """What a repeat must match. Without `more` it has the form in which earlier versions stored it."""
    identity = {name: parameters.fields.get(name) for name in IDENTITY}
    return json.dumps(identity | {name: value for name, value in more.items() if value is not None})


def place(call: Call, order: OnlineOrder, open_until: datetime) -> Trade:
    """The trade under the order's number. Raises Refused if it has other content, or is new and too late."""
    trade = by_order(call.preconditions.connection, call.pid, order.order_no)
    if trade is None:
        now = call.preconditions.now
        if now > open_until or now > order.pay_until:
            raise Refused("TRADE_NOT_ALLOWED_PAY")
        return _insert(call, order)
    if trade.identity != order.identity:
        raise Refused("TRADE_DATA_MATCH_ERROR")
    return trade


def _insert(call: Call, order: OnlineOrder) -> Trade:
    trade = insert_trade(
        call.preconditions.connection,
        pid=call.pid,
        order_no=order.order_no,
        product=order.product,
        product_code=order.product_code,
        token=order.token,
        state=NOT_EXIST,
        identity=order.identity,
        subject=order.subject,
        amount_minor=order.price.amount_minor,
        price_currency=order.price.currency,
        currency=order.currency,
        cny_minor=to_cny_minor(order.price.amount_minor, order.price.currency),
        sign_type=call.sign_type,
        charset=call.request.charset,
        notify_url=order.notify_url,
        return_url=order.return_url,
        created_at=call.preconditions.now.timestamp(),
        last_pay_at=order.pay_until.timestamp(),
    )
    store_payment_inst(call.preconditions.connection, trade, order.payment_inst)
    return trade
