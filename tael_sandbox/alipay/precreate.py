"""`alipay.acquire.precreate`: an in-store order whose QR code the shop shows and the payer scans.

The order is no trade before it is scanned: the code has a life of its own, and from the scan on the payer has
`it_b_pay` to pay. From then on it is asked about, cancelled and refunded like a barcode payment.
"""

import json
import re
import secrets
import sqlite3
from datetime import datetime, timedelta
from typing import Final

from tael_sandbox import rates, statements
from tael_sandbox.alipay.barcodes import BIZ_PRODUCT, MAX_UNITS, acquire_parameters
from tael_sandbox.alipay.changes import bring_into_being
from tael_sandbox.alipay.checks import Parameters
from tael_sandbox.alipay.messages import Node, Refused
from tael_sandbox.alipay.preconditions import Call, Preconditions
from tael_sandbox.alipay.trades import CLOSED, NOT_EXIST, QR, Trade, by_order, insert_trade, update_trade
from tael_sandbox.payers import payer_of

SERVICE: Final = "alipay.acquire.precreate"
QR_PREFIX: Final = "https://qr.alipay.com/"
TIME_TO_PAY: Final = "3m"
LIFE_OF_CODE: Final = "2h"
UNTIL_MIDNIGHT: Final = "1c"
LONGEST: Final = timedelta(days=15)
MAX_GOODS: Final = 50
NOTIFY_URL_LENGTH: Final = 190
IDENTITY: Final = ("subject", "body", "total_fee", "currency", "trans_currency", "price", "quantity")
_DURATION: Final = re.compile("([1-9][0-9]{0,4})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}

TABLES: Final = """
CREATE TABLE IF NOT EXISTS alipay_qr (
    trade_id INTEGER PRIMARY KEY REFERENCES alipay_trade (id),
    it_b_pay TEXT NOT NULL
);
"""


def precreate(call: Call) -> Node:
    asked = acquire_parameters(call)
    order_no = asked.number("out_trade_no")
    _check(call, asked)
    lives = {
        "code": _duration(asked, "qr_code_it_b_pay", LIFE_OF_CODE),
        "trade": _duration(asked, "it_b_pay", TIME_TO_PAY),
    }
    identity = json.dumps({name: asked.fields.get(name) for name in IDENTITY})
    trade = by_order(call.preconditions.connection, call.pid, order_no)
    if trade is None:
        trade = _open(call, asked, order_no, identity, _end_of(lives["code"], call.preconditions.now))
        _remember(
            call.preconditions.connection, trade, lives["trade"], asked.optional("passback_parameters", 512)
        )
    reason = _reason_against(trade, identity, call.preconditions.now)
    return _shown(trade) if reason is None else _refused(order_no, reason)


def scan_code(preconditions: Preconditions, trade: Trade) -> Trade:
    """The payer holds the phone before a code that still lives: the trade begins."""
    if trade.exists:
        return trade
    it_b_pay = _it_b_pay(preconditions.connection, trade)
    begun = update_trade(
        preconditions.connection, trade, last_pay_at=_end_of(it_b_pay, preconditions.now).timestamp()
    )
    return bring_into_being(preconditions, begun, payer_of(preconditions.connection, "alipay", None).payer)


def _check(call: Call, asked: Parameters) -> None:
    """Every rule about the request itself. Raises Refused."""
    asked.timestamp("timestamp", call.preconditions.now)
    asked.text("subject", 256)
    asked.one_of("product_code", (BIZ_PRODUCT,))
    if "seller_id" in asked.fields:
        asked.one_of("seller_id", (call.pid,))
    else:
        asked.text("seller_email", 100)
    if asked.json("extend_params", dict) is None:
        raise asked.refuse()
    if len(asked.json("goods_detail", list, longest=20_000) or []) > MAX_GOODS:
        raise asked.refuse()
    asked.json("trade_information", dict)
    asked.optional("body", 400)
    asked.url("show_url")
    if asked.url("notify_url") is None or len(asked.fields["notify_url"]) > NOTIFY_URL_LENGTH:
        raise asked.refuse()
    currency = asked.currency()
    asked.amount("total_fee", currency, MAX_UNITS)
    if currency != call.shop.currency or asked.currency("trans_currency") != currency:
        raise Refused("ILLEGAL_CURRENCY")


def _open(call: Call, asked: Parameters, order_no: str, identity: str, scan_until: datetime) -> Trade:
    currency = asked.currency()
    amount_minor = asked.amount("total_fee", currency, MAX_UNITS)
    return insert_trade(
        call.preconditions.connection,
        pid=call.pid,
        order_no=order_no,
        product=QR,
        product_code=BIZ_PRODUCT,
        token="bax" + secrets.token_hex(8),
        state=NOT_EXIST,
        identity=identity,
        subject=asked.fields["subject"],
        amount_minor=amount_minor,
        price_currency=currency,
        currency=currency,
        cny_minor=rates.to_cny_minor(amount_minor, currency),
        sign_type=call.sign_type,
        charset=call.request.charset,
        notify_url=asked.url("notify_url"),
        created_at=call.preconditions.now.timestamp(),
        last_pay_at=scan_until.timestamp(),
    )


def _remember(connection: sqlite3.Connection, trade: Trade, it_b_pay: str, passback: str | None) -> None:
    connection.execute("INSERT INTO alipay_qr (trade_id, it_b_pay) VALUES (?, ?)", (trade.id, it_b_pay))
    if passback is not None:
        connection.execute(
            "INSERT INTO alipay_passback (trade_id, passback) VALUES (?, ?)", (trade.id, passback)
        )


def _duration(asked: Parameters, name: str, otherwise: str) -> str:
    text = asked.fields.get(name, otherwise)
    parts = _DURATION.fullmatch(text)
    if text != UNTIL_MIDNIGHT and (parts is None or _span(text) > LONGEST):
        raise asked.refuse()
    return text


def _end_of(duration: str, now: datetime) -> datetime:
    if duration == UNTIL_MIDNIGHT:
        return statements.start_of(statements.day_of(now) + statements.ONE_DAY)
    return now + _span(duration)


def _span(duration: str) -> timedelta:
    return timedelta(**{_UNITS[duration[-1]]: int(duration[:-1])})


def _it_b_pay(connection: sqlite3.Connection, trade: Trade) -> str:
    row = connection.execute("SELECT it_b_pay FROM alipay_qr WHERE trade_id = ?", (trade.id,)).fetchone()
    return str(row["it_b_pay"])


def _reason_against(trade: Trade, identity: str, now: datetime) -> str | None:
    """Why the order's code is not shown once more; None if it is."""
    if trade.identity != identity:
        return "CONTEXT_INCONSISTENT"
    if trade.is_paid:
        return "TRADE_HAS_SUCCESS"
    is_over = trade.state == CLOSED or now.timestamp() >= trade.last_pay_at
    return "TRADE_HAS_CLOSE" if is_over else None


def _shown(trade: Trade) -> Node:
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
