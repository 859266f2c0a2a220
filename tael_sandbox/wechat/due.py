"""Timed changes: orders expire, passwords are entered or time out, refunds finish.

Each step gets the time at which it was due, however late it is applied, so moving the clock by a day leaves the same
books as waiting for a day.
"""

import sqlite3
from datetime import datetime

from tael_sandbox.clock import from_stamp
from tael_sandbox.payers import payer_of
from tael_sandbox.wechat import notices, refunds, trades
from tael_sandbox.wechat.registry import Registry
from tael_sandbox.wechat.trades import Trade


def has_due_steps(connection: sqlite3.Connection, now: datetime) -> bool:
    """Runs ten times a second, so it takes no lock."""
    row = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM wechat_trade WHERE due_at <= :now)"
        " OR EXISTS (SELECT 1 FROM wechat_refund WHERE due_at <= :now)",
        {"now": now.timestamp()},
    ).fetchone()
    return bool(row[0])


def take_due_steps(connection: sqlite3.Connection, registry: Registry, now: datetime) -> None:
    for trade in trades.due_trades(connection, now):
        _take_step(connection, trade)
    for refund in refunds.due_refunds(connection, now):
        trade = trades.by_id(connection, refund.trade_id)
        done = refunds.finish(connection, refund, trade)
        notices.queue_refund_notice(connection, done, trade, registry)


def _take_step(connection: sqlite3.Connection, trade: Trade) -> None:
    match trade.due_step:
        case "close":
            trades.move(connection, trade, "CLOSED")
        case "give_up":
            trades.move(connection, trade, "PAYERROR")
        case "type_password":
            assert trade.due_at is not None
            payer = payer_of(connection, trade.wallet, trade.payer)
            if trades.pay(connection, trade, payer, from_stamp(trade.due_at)) is None:
                trades.move(connection, trade, "PAYERROR")
        case None:
            raise AssertionError(f"trade {trade.transaction_id} is due without a step")
