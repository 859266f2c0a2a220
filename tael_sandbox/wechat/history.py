"""The entries on a payer's phone: barcode payments that wait for a password, payments and refunds. Read-only.

An unpaid online order is not listed for any payer, even if it was created for one openid.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from tael_sandbox.payers import CASH_CURRENCY, Payer, cash_price
from tael_sandbox.wallet import Entry
from tael_sandbox.wechat.refunds import Refund
from tael_sandbox.wechat.trades import Trade, by_id

Payee = Callable[[str, str], str]  #: maps mch_id and sub_mch_id to the merchant's name


def waiting(connection: sqlite3.Connection, payer: Payer, payee: Payee) -> list[Entry]:
    rows = connection.execute(
        "SELECT * FROM wechat_trade WHERE payer = ? AND state = 'USERPAYING' ORDER BY id DESC", (payer.payer,)
    )
    return [_payment(Trade(**dict(row)), payer, payee) for row in rows]


def history(connection: sqlite3.Connection, payer: Payer, limit: int, payee: Payee) -> list[Entry]:
    payments = connection.execute(
        "SELECT * FROM wechat_trade WHERE payer = ? AND state <> 'USERPAYING'"
        " AND (paid_at IS NOT NULL OR trade_type = 'MICROPAY') ORDER BY id DESC LIMIT ?",
        (payer.payer, limit),
    ).fetchall()
    refunds = connection.execute(
        "SELECT r.* FROM wechat_refund r JOIN wechat_trade t ON t.id = r.trade_id"
        " WHERE t.payer = ? ORDER BY r.id DESC LIMIT ?",
        (payer.payer, limit),
    ).fetchall()
    refunded = [Refund(**dict(row)) for row in refunds]
    return [
        *(_payment(Trade(**dict(row)), payer, payee) for row in payments),
        *(_refund(_payment(by_id(connection, r.trade_id), payer, payee), r) for r in refunded),
    ]


def _payment(trade: Trade, payer: Payer, payee: Payee) -> Entry:
    is_charged = trade.paid_at is not None
    return Entry(
        number=trade.transaction_id,
        order=trade.out_trade_no,
        payee=payee(trade.mch_id, trade.sub_mch_id),
        subject=trade.body,
        amount_minor=trade.total_fee,
        currency=trade.fee_type,
        charged_minor=trade.cash_fee if is_charged else cash_price(trade.total_fee, trade.fee_type, payer),
        charged_currency=trade.cash_fee_type if is_charged else CASH_CURRENCY[payer.wallet],
        scenario=_scenario(trade),
        state=trade.state,
        at=trade.paid_at or trade.created_at,
        refunded_minor=trade.refunded_fee,
    )


def _scenario(trade: Trade) -> Literal["waiting", "paid", "refunded", "reversed", "not paid"]:
    if trade.paid_at is None:
        return "waiting" if trade.state == "USERPAYING" else "not paid"
    if trade.state == "REVOKED":
        return "reversed"
    return "paid" if trade.refundable_fee else "refunded"


def _refund(payment: Entry, refund: Refund) -> Entry:
    return replace(
        payment,
        order=refund.out_refund_no,
        amount_minor=refund.refund_fee,
        charged_minor=refund.cash_refund_fee,
        scenario="given back" if refund.status == "SUCCESS" else "giving back",
        state=refund.status,
        at=refund.success_at or refund.created_at,
        refunded_minor=0,
    )
