"""The payer's side of a trade, on the phone or on the cashier page: view it, pay it, cancel it.

An action that is not possible raises ControlError.
"""

from typing import Final
from urllib.parse import urlsplit

from tael_sandbox import rates
from tael_sandbox.alipay import changes, payment_inst
from tael_sandbox.alipay.cashier import PRODUCT_OF_SERVICE, is_payable, open_order
from tael_sandbox.alipay.gateway import Gateway
from tael_sandbox.alipay.messages import Refused, read_request
from tael_sandbox.alipay.notices import return_address
from tael_sandbox.alipay.order_strings import (
    UnreadableOrder,
    is_order_string,
    open_order_string,
    read_order_string,
)
from tael_sandbox.alipay.preconditions import Preconditions
from tael_sandbox.alipay.precreate import QR_PREFIX, scan_code
from tael_sandbox.alipay.trades import BARCODE, QR, Trade, by_any_number, by_token
from tael_sandbox.payers import CASH_CURRENCY
from tael_sandbox.wallet import ControlError, NotEnoughMoney, Row

GATEWAY_PATH: Final = "/gateway.do"
NOTIFY_QUERY_PATH: Final = "/trade/notify_query.do"
CASHIER_PATH: Final = "/alipay/cashier/"


def is_link(url: str) -> bool:
    """Whether it is a payment link, a cashier page or a QR code, on any host."""
    path = urlsplit(url).path
    return url.startswith(QR_PREFIX) or path.startswith(CASHIER_PATH) or path == GATEWAY_PATH


def trade_of_url(preconditions: Preconditions, gateway: Gateway, url: str) -> Trade | None:
    """Opens a payment link or order string, or finds the trade of a cashier page or QR code. None for any other URL."""
    if is_order_string(url):
        return _trade_of_order_string(preconditions, gateway, url)
    parts = urlsplit(url)
    if url.startswith(QR_PREFIX):
        return _trade_of_code(preconditions, url.removeprefix(QR_PREFIX))
    if parts.path.startswith(CASHIER_PATH):
        return by_token(preconditions.connection, parts.path.removeprefix(CASHIER_PATH))
    if parts.path != GATEWAY_PATH:
        return None
    try:
        request = read_request(parts.query.encode("utf-8"), b"")
        if request.fields.get("service") not in PRODUCT_OF_SERVICE:
            return None
        trade = open_order(gateway.admit(preconditions, request))
    except Refused as refused:
        raise ControlError(f"the link is refused: {refused.code}", "url") from None
    if not trade.exists and not is_payable(trade, preconditions.now):
        raise ControlError("the link is refused: it was opened too long ago", "url")
    return trade


def _trade_of_order_string(preconditions: Preconditions, gateway: Gateway, text: str) -> Trade:
    try:
        call = gateway.admit_order_string(preconditions, read_order_string(text))
        trade = open_order_string(call)
    except Refused as refused:
        raise ControlError(f"the order string is refused: {refused.code}", "url") from None
    except UnreadableOrder as error:
        raise ControlError(f"the order string is refused: {error}", "url") from None
    if not trade.exists and not is_payable(trade, preconditions.now):
        raise ControlError("the order string is refused: it was opened too long ago", "url")
    return trade


def _trade_of_code(preconditions: Preconditions, token: str) -> Trade:
    trade = by_token(preconditions.connection, token)
    if trade is None or trade.product != QR:
        raise ControlError("Alipay has no such code", "url")
    if not trade.exists and not is_payable(trade, preconditions.now):
        raise ControlError("the code is too old", "url")
    return scan_code(preconditions, trade)


def trade_of_number(preconditions: Preconditions, number: str) -> Trade | None:
    return by_any_number(preconditions.connection, number)


def payer_view(preconditions: Preconditions, trade: Trade, payee: str) -> Row:
    return {
        "wallet": payment_inst.wallet_of(preconditions.connection, trade),
        "trade": trade.trade_no or trade.order_no,
        "order": trade.order_no,
        "payee": payee,
        "subject": trade.subject,
        "amount": trade.amount_minor,
        "currency": trade.price_currency,
        "amount_cny": trade.cny_minor,
        "state": trade.state,
    }


def act(preconditions: Preconditions, trade: Trade, action: str, payer: str | None) -> Row:
    if not is_payable(trade, preconditions.now):
        raise ControlError(f"the trade is {trade.state} and takes no payment any more", "trade")
    if action == "pay":
        paid = _pay(preconditions, trade, payer)
        return _result(preconditions, paid, return_address(preconditions, paid))
    if action == "cancel" and trade.product == BARCODE:
        trade = changes.close(preconditions, trade, preconditions.now.timestamp())
    return _result(preconditions, trade, None)


def book_row(trade: Trade, wallet: str) -> Row:
    return {
        "wallet": wallet,
        "order": trade.order_no,
        "trade": trade.trade_no,
        "state": trade.state,
        "amount": trade.amount_minor,
        "currency": trade.price_currency,
        "refunded": trade.refunded_minor,
    }


def _pay(preconditions: Preconditions, trade: Trade, payer: str | None) -> Trade:
    owner = payment_inst.payer_for(preconditions.connection, trade, payer or trade.payer)
    if trade.product == BARCODE and owner.payer != trade.payer:
        raise ControlError("the barcode is another payer's", "payer")
    if owner.balance < payment_inst.charge_of(trade, owner):
        cash = CASH_CURRENCY[owner.wallet]
        raise NotEnoughMoney(f"{owner.payer} has only {rates.in_units(owner.balance, cash)} {cash}", "payer")
    paid = changes.pay(
        preconditions,
        changes.begin_trade(preconditions, trade, owner.payer),
        owner.payer,
        preconditions.now.timestamp(),
    )
    assert paid is not None  # the balance was checked in this transaction
    return paid


def _result(preconditions: Preconditions, trade: Trade, return_to: str | None) -> Row:
    wallet = payment_inst.wallet_of(preconditions.connection, trade)
    return {"trade": book_row(trade, wallet), "state": trade.state, "return_to": return_to}
