"""The entries on a payer's phone: barcode payments that wait for a password, payments and refunds. Read-only.

An online order belongs to a payer once it is paid; opening its link does not assign it.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from tael_sandbox.alipay.payment_inst import ALIPAY, charge_of, hkd_returned
from tael_sandbox.alipay.trades import BARCODE, NOT_EXIST, WAITING, Trade
from tael_sandbox.payers import CASH_CURRENCY, Payer, payer_by_name
from tael_sandbox.wallet import Entry

Payee = Callable[[str], str]  #: maps a PID to the merchant's name


def waiting(connection: sqlite3.Connection, payer: str, payee: Payee) -> list[Entry]:
    rows = connection.execute(
        "SELECT * FROM alipay_trade WHERE payer = ? AND product = ? AND state = ? ORDER BY id DESC",
        (payer, BARCODE, WAITING),
    )
    owner = payer_by_name(connection, payer)
    return [_payment(Trade(*row), owner, payee) for row in rows]


def history(connection: sqlite3.Connection, payer: str, limit: int, payee: Payee) -> list[Entry]:
    payments = connection.execute(
        "SELECT * FROM alipay_trade WHERE payer = ? AND state NOT IN (?, ?)"
        " AND (paid_at IS NOT NULL OR product = ?) ORDER BY id DESC LIMIT ?",
        (payer, NOT_EXIST, WAITING, BARCODE, limit),
    )
    refunds = connection.execute(
        "SELECT t.*, r.refund_no, r.amount_minor, r.cny_minor, r.made_at,"
        " sum(r.amount_minor) OVER (PARTITION BY t.id ORDER BY r.rowid) - r.amount_minor"
        " FROM alipay_refund r JOIN alipay_trade t ON t.id = r.trade_id"
        " WHERE t.payer = ? ORDER BY r.rowid DESC LIMIT ?",
        (payer, limit),
    )
    owner = payer_by_name(connection, payer)
    return [
        *(_payment(Trade(*row), owner, payee) for row in payments),
        *(_refund(Trade(*row[:-5]), row[-5:], owner, payee) for row in refunds),
    ]


def _payment(trade: Trade, payer: Payer, payee: Payee) -> Entry:
    assert trade.trade_no is not None  # it exists, since it has a payer
    return Entry(
        number=trade.trade_no,
        order=trade.order_no,
        payee=payee(trade.pid),
        subject=trade.subject,
        amount_minor=trade.amount_minor,
        currency=trade.price_currency,
        charged_minor=charge_of(trade, payer),
        charged_currency=CASH_CURRENCY[payer.wallet],
        scenario=_scenario(trade),
        state=trade.state,
        at=trade.paid_at or trade.closed_at or trade.created_at,
        refunded_minor=trade.refunded_minor,
    )


def _scenario(trade: Trade) -> Literal["waiting", "paid", "refunded", "reversed", "not paid"]:
    if trade.paid_at is None:
        return "waiting" if trade.state == WAITING else "not paid"
    if trade.cancel_action is not None:
        return "reversed"
    return "paid" if trade.refundable_minor else "refunded"


def _refund(trade: Trade, refund: tuple[str, int, int, float, int], payer: Payer, payee: Payee) -> Entry:
    refund_no, amount_minor, cny_minor, made_at, refunded_before = refund
    at_the_time = replace(trade, refunded_minor=refunded_before)
    is_in_cny = payer.wallet == ALIPAY
    return replace(
        _payment(trade, payer, payee),
        order=refund_no,
        amount_minor=amount_minor,
        charged_minor=cny_minor if is_in_cny else hkd_returned(at_the_time, payer, amount_minor),
        scenario="given back",
        state="REFUND_SUCCESS",
        at=made_at,
        refunded_minor=0,
    )
