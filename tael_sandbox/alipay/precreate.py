"""`alipay.acquire.precreate`: an in-store order whose QR code the shop shows and the payer scans.

No trade exists before the scan. The code has its own lifetime; after the scan the payer has `it_b_pay` to pay. From
then on the order is queried, cancelled and refunded like a barcode payment.
"""

import json
import secrets
import sqlite3
from datetime import datetime
from typing import Final

from tael_sandbox import rates
from tael_sandbox.alipay.barcodes import BIZ_PRODUCT, MAX_UNITS, acquire_parameters
from tael_sandbox.alipay.changes import begin_trade
from tael_sandbox.alipay.checks import Parameters
from tael_sandbox.alipay.durations import end_of, read_duration
from tael_sandbox.alipay.messages import Node, Refused
from tael_sandbox.alipay.payment_inst import WALLET_OF, payer_for, store_payment_inst
from tael_sandbox.alipay.preconditions import Call, Preconditions
from tael_sandbox.alipay.trades import CLOSED, NOT_EXIST, QR, Trade, by_order, insert_trade, update_trade

SERVICE: Final = "alipay.acquire.precreate"
QR_PREFIX: Final = "https://qr.alipay.com/"
TIME_TO_PAY: Final = "3m"
LIFE_OF_CODE: Final = "2h"
MAX_GOODS: Final = 50
NOTIFY_URL_LENGTH: Final = 190
IDENTITY: Final = ("subject", "body", "total_fee", "currency", "trans_currency", "price", "quantity")

TABLES: Final = """
CREATE TABLE IF NOT EXISTS alipay_qr (
    trade_id INTEGER PRIMARY KEY REFERENCES alipay_trade (id),
    it_b_pay TEXT NOT NULL
);
"""


def precreate(call: Call) -> Node:
    parameters = acquire_parameters(call)
    order_no = parameters.number("out_trade_no")
    _check(call, parameters)
    durations = {
        "code": read_duration(parameters, "qr_code_it_b_pay", LIFE_OF_CODE),
        "trade": read_duration(parameters, "it_b_pay", TIME_TO_PAY),
    }
    payment_inst = _payment_inst(parameters)
    identity = _identity(parameters, payment_inst)
    trade = by_order(call.preconditions.connection, call.pid, order_no)
    if trade is None:
        trade = _open(call, parameters, order_no, identity, end_of(durations["code"], call.preconditions.now))
        _store_options(
            call.preconditions.connection,
            trade,
            durations["trade"],
            parameters.optional("passback_parameters", 512),
        )
        store_payment_inst(call.preconditions.connection, trade, payment_inst)
    reason = _refusal_reason(trade, identity, call.preconditions.now)
    return _accepted(trade) if reason is None else _refused(order_no, reason)


def scan_code(preconditions: Preconditions, trade: Trade) -> Trade:
    """The payer scans a code that has not expired: the trade begins."""
    if trade.exists:
        return trade
    it_b_pay = _it_b_pay(preconditions.connection, trade)
    extended = update_trade(
        preconditions.connection, trade, last_pay_at=end_of(it_b_pay, preconditions.now).timestamp()
    )
    return begin_trade(preconditions, extended, payer_for(preconditions.connection, trade, None).payer)


def _check(call: Call, parameters: Parameters) -> None:
    """Checks every rule about the request itself. Raises Refused."""
    parameters.timestamp("timestamp", call.preconditions.now)
    parameters.text("subject", 256)
    parameters.one_of("product_code", (BIZ_PRODUCT,))
    if "seller_id" in parameters.fields:
        parameters.one_of("seller_id", (call.pid,))
    else:
        parameters.text("seller_email", 100)
    if parameters.json("extend_params", dict) is None:
        raise parameters.refuse()
    if len(parameters.json("goods_detail", list, max_length=20_000) or []) > MAX_GOODS:
        raise parameters.refuse()
    parameters.json("trade_information", dict)
    parameters.optional("body", 400)
    parameters.url("show_url")
    if parameters.url("notify_url") is None or len(parameters.fields["notify_url"]) > NOTIFY_URL_LENGTH:
        raise parameters.refuse()
    currency = parameters.currency()
    parameters.amount("total_fee", currency, MAX_UNITS)
    if currency != call.shop.currency or parameters.currency("trans_currency") != currency:
        raise Refused("ILLEGAL_CURRENCY")


def _payment_inst(parameters: Parameters) -> str | None:
    """Limits the code to one wallet. It has no parameter of its own here, only a key in `extend_params`."""
    payment_inst = (parameters.json("extend_params", dict) or {}).get("payment_inst")
    if payment_inst is not None and payment_inst not in tuple(WALLET_OF):
        raise parameters.refuse()
    return str(payment_inst) if payment_inst is not None else None


def _identity(parameters: Parameters, payment_inst: str | None) -> str:
    """Orders without `payment_inst` keep the form in which earlier versions stored them."""
    identity = {name: parameters.fields.get(name) for name in IDENTITY}
    return json.dumps(identity | ({"payment_inst": payment_inst} if payment_inst is not None else {}))


def _open(call: Call, parameters: Parameters, order_no: str, identity: str, scan_until: datetime) -> Trade:
    currency = parameters.currency()
    amount_minor = parameters.amount("total_fee", currency, MAX_UNITS)
    return insert_trade(
        call.preconditions.connection,
        pid=call.pid,
        order_no=order_no,
        product=QR,
        product_code=BIZ_PRODUCT,
        token="bax" + secrets.token_hex(8),
        state=NOT_EXIST,
        identity=identity,
        subject=parameters.fields["subject"],
        amount_minor=amount_minor,
        price_currency=currency,
        currency=currency,
        cny_minor=rates.to_cny_minor(amount_minor, currency),
        sign_type=call.sign_type,
        charset=call.request.charset,
        notify_url=parameters.url("notify_url"),
        created_at=call.preconditions.now.timestamp(),
        last_pay_at=scan_until.timestamp(),
    )


def _store_options(connection: sqlite3.Connection, trade: Trade, it_b_pay: str, passback: str | None) -> None:
    connection.execute("INSERT INTO alipay_qr (trade_id, it_b_pay) VALUES (?, ?)", (trade.id, it_b_pay))
    if passback is not None:
        connection.execute(
            "INSERT INTO alipay_passback (trade_id, passback) VALUES (?, ?)", (trade.id, passback)
        )


def _it_b_pay(connection: sqlite3.Connection, trade: Trade) -> str:
    row = connection.execute("SELECT it_b_pay FROM alipay_qr WHERE trade_id = ?", (trade.id,)).fetchone()
    return str(row["it_b_pay"])


def _refusal_reason(trade: Trade, identity: str, now: datetime) -> str | None:
    """Why the code of an existing order is refused; None if it is returned again."""
    if trade.identity != identity:
        return "CONTEXT_INCONSISTENT"
    if trade.is_paid:
        return "TRADE_HAS_SUCCESS"
    is_over = trade.state == CLOSED or now.timestamp() >= trade.last_pay_at
    return "TRADE_HAS_CLOSE" if is_over else None


def _accepted(trade: Trade) -> Node:
    return Node(
        "alipay",
        {
            "result_code": "SUCCESS",
            "out_trade_no": trade.order_no,
            "voucher_type": "qrcode",
            "qr_code": f"{QR_PREFIX}{trade.token}",
        },
    )


def _refused(order_no: str, reason: str) -> Node:
    why = {"detail_error_code": reason, "detail_error_des": reason.replace("_", " ").lower()}
    return Node("alipay", {"result_code": "FAIL", "out_trade_no": order_no, **why})
