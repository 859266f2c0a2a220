"""Refunds in WeChat Pay's books: accepted as PROCESSING, finished some time later by the sandbox's clock.

Accepting a refund reserves its part of the trade, so that refunds never exceed the payment. The payer gets the money
when the refund becomes SUCCESS.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, cast

from tael_sandbox.clock import from_stamp
from tael_sandbox.payers import credit
from tael_sandbox.profiles import current_profile
from tael_sandbox.wechat import numbering, trades
from tael_sandbox.wechat.trades import Trade

TABLES: Final = """
CREATE TABLE IF NOT EXISTS wechat_refund (
    id              INTEGER PRIMARY KEY,
    trade_id        INTEGER NOT NULL REFERENCES wechat_trade (id),
    mch_id          TEXT NOT NULL,
    out_refund_no   TEXT NOT NULL,
    refund_id       TEXT NOT NULL UNIQUE,
    status          TEXT NOT NULL,
    refund_fee      INTEGER NOT NULL CHECK (refund_fee > 0),
    cash_refund_fee INTEGER NOT NULL,
    refund_account  TEXT NOT NULL,
    notify_url      TEXT NOT NULL,
    created_at      REAL NOT NULL,
    due_at          REAL,
    success_at      REAL,
    UNIQUE (mch_id, out_refund_no)
);
CREATE INDEX IF NOT EXISTS wechat_refund_trade ON wechat_refund (trade_id);
CREATE INDEX IF NOT EXISTS wechat_refund_created ON wechat_refund (created_at);
CREATE INDEX IF NOT EXISTS wechat_refund_due ON wechat_refund (due_at) WHERE due_at IS NOT NULL;
"""


@dataclass(frozen=True, slots=True)
class Refund:
    id: int
    trade_id: int
    mch_id: str
    out_refund_no: str
    refund_id: str
    status: str  #: PROCESSING or SUCCESS
    refund_fee: int
    cash_refund_fee: int
    refund_account: str
    notify_url: str
    created_at: float
    due_at: float | None
    success_at: float | None


def accept(
    connection: sqlite3.Connection,
    trade: Trade,
    now: datetime,
    *,
    out_refund_no: str,
    refund_fee: int,
    refund_account: str,
    notify_url: str,
) -> Refund:
    """Reserves `refund_fee` of the trade, which becomes REFUND, and starts the refund."""
    cash = cash_refund(trade, refund_fee)
    trades.move(
        connection,
        trade,
        "REFUND",
        refunded_fee=trade.refunded_fee + refund_fee,
        refunded_cash=trade.refunded_cash + cash,
    )
    row = {
        "trade_id": trade.id,
        "mch_id": trade.mch_id,
        "out_refund_no": out_refund_no,
        "refund_id": numbering.refund_id(now),
        "status": "PROCESSING",
        "refund_fee": refund_fee,
        "cash_refund_fee": cash,
        "refund_account": refund_account,
        "notify_url": notify_url,
        "created_at": now.timestamp(),
        "due_at": (now + current_profile(connection).time_to_refund).timestamp(),
    }
    inserted = connection.execute(
        f"INSERT INTO wechat_refund ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",  # noqa: S608 (names of ours)
        list(row.values()),
    )
    return cast(Refund, _refund("id = ?", connection, inserted.lastrowid))


def cash_refund(trade: Trade, refund_fee: int) -> int:
    """The refund in the payer's currency, proportional on the running total, so the last refund takes the remainder."""
    total_after = trade.refunded_fee + refund_fee
    share = Decimal(trade.cash_fee) * total_after / trade.total_fee
    return int(share.quantize(Decimal(1), ROUND_HALF_UP)) - trade.refunded_cash


def finish(connection: sqlite3.Connection, refund: Refund, trade: Trade) -> Refund:
    """Credits the payer, with the time at which the refund was due."""
    assert trade.payer is not None
    credit(connection, trade.payer, refund.cash_refund_fee)
    connection.execute(
        "UPDATE wechat_refund SET status = 'SUCCESS', success_at = due_at, due_at = NULL WHERE id = ?",
        (refund.id,),
    )
    return cast(Refund, _refund("id = ?", connection, refund.id))


def by_number(connection: sqlite3.Connection, mch_id: str, out_refund_no: str) -> Refund | None:
    return _refund("mch_id = ? AND out_refund_no = ?", connection, mch_id, out_refund_no)


def by_refund_id(connection: sqlite3.Connection, mch_id: str, refund_id: str) -> Refund | None:
    return _refund("mch_id = ? AND refund_id = ?", connection, mch_id, refund_id)


def of_trade(connection: sqlite3.Connection, trade: Trade) -> list[Refund]:
    return _refunds("trade_id = ? ORDER BY id", connection, trade.id)


def accepted_between(
    connection: sqlite3.Connection, mch_id: str, sub_mch_id: str, since: float, until: float
) -> list[Refund]:
    return _refunds(
        "trade_id IN (SELECT id FROM wechat_trade WHERE mch_id = ? AND sub_mch_id = ?)"
        " AND created_at >= ? AND created_at < ? ORDER BY created_at, id",
        connection,
        mch_id,
        sub_mch_id,
        since,
        until,
    )


def all_refunds(connection: sqlite3.Connection, wallet: str) -> list[tuple[Refund, str]]:
    """Each refund with the out_trade_no of its trade."""
    rows = connection.execute(
        "SELECT r.*, t.out_trade_no AS order_no FROM wechat_refund r JOIN wechat_trade t ON t.id = r.trade_id"
        " WHERE t.wallet = ? ORDER BY r.id",
        (wallet,),
    )
    pairs = ((dict(row), row["order_no"]) for row in rows)
    return [(Refund(**{k: v for k, v in row.items() if k != "order_no"}), order) for row, order in pairs]


def due_refunds(connection: sqlite3.Connection, now: datetime) -> list[Refund]:
    return _refunds("due_at <= ? ORDER BY due_at, id", connection, now.timestamp())


def success_time(refund: Refund) -> str:
    return "" if refund.success_at is None else numbering.readable_time(from_stamp(refund.success_at))


def _refunds(where: str, connection: sqlite3.Connection, *values: object) -> list[Refund]:
    rows = connection.execute(f"SELECT * FROM wechat_refund WHERE {where}", values).fetchall()  # noqa: S608
    return [Refund(**dict(row)) for row in rows]


def _refund(where: str, connection: sqlite3.Connection, *values: object) -> Refund | None:
    rows = _refunds(where, connection, *values)
    return rows[0] if rows else None
