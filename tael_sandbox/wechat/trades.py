"""Trades in WeChat Pay's books, and their transitions.


    unifiedorder: NOTPAY -> SUCCESS | CLOSED          micropay: USERPAYING -> SUCCESS | PAYERROR
    SUCCESS -> REFUND (a refund was accepted) | REVOKED (reversed, money returned)
    USERPAYING | PAYERROR -> REVOKED

A row has its next timed step in `due_at` and `due_step`; `due.py` applies it.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, Literal, cast

from tael_sandbox.payers import CASH_CURRENCY, Payer, cash_price, credit, debit
from tael_sandbox.rates import rate_to_cny
from tael_sandbox.wechat import numbering

TABLES: Final = """
CREATE TABLE IF NOT EXISTS wechat_trade (
    id             INTEGER PRIMARY KEY,
    mch_id         TEXT NOT NULL,
    sub_mch_id     TEXT NOT NULL,
    appid          TEXT NOT NULL,
    sub_appid      TEXT NOT NULL,
    out_trade_no   TEXT NOT NULL,
    transaction_id TEXT NOT NULL UNIQUE,
    trade_type     TEXT NOT NULL,
    state          TEXT NOT NULL,
    wallet         TEXT NOT NULL,
    body           TEXT NOT NULL,
    attach         TEXT NOT NULL,
    device_info    TEXT NOT NULL,
    total_fee      INTEGER NOT NULL CHECK (total_fee > 0),
    fee_type       TEXT NOT NULL,
    sign_type      TEXT NOT NULL,
    notify_url     TEXT NOT NULL,
    prepay_id      TEXT UNIQUE,
    code_url       TEXT UNIQUE,
    requested_openid   TEXT NOT NULL,
    payer          TEXT REFERENCES payer (payer),
    created_at     REAL NOT NULL,
    due_at         REAL,
    due_step       TEXT,
    paid_at        REAL,
    bank_type      TEXT NOT NULL DEFAULT '',
    cash_fee       INTEGER NOT NULL DEFAULT 0,
    cash_fee_type  TEXT NOT NULL DEFAULT '',
    rate           TEXT NOT NULL DEFAULT '',
    refunded_fee   INTEGER NOT NULL DEFAULT 0 CHECK (refunded_fee BETWEEN 0 AND total_fee),
    refunded_cash  INTEGER NOT NULL DEFAULT 0 CHECK (refunded_cash BETWEEN 0 AND cash_fee),
    UNIQUE (mch_id, out_trade_no)
);
CREATE TABLE IF NOT EXISTS wechat_reversal (
    trade_id    INTEGER PRIMARY KEY REFERENCES wechat_trade (id),
    reversed_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS wechat_trade_due ON wechat_trade (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS wechat_trade_order ON wechat_trade (out_trade_no);
CREATE INDEX IF NOT EXISTS wechat_trade_payer ON wechat_trade (payer);
CREATE INDEX IF NOT EXISTS wechat_trade_paid ON wechat_trade (mch_id, sub_mch_id, paid_at);
"""

State = Literal["NOTPAY", "USERPAYING", "SUCCESS", "REFUND", "CLOSED", "REVOKED", "PAYERROR"]
DueStep = Literal["close", "give_up", "type_password"]

DEFAULT_LIFE: Final = timedelta(hours=2)
PASSWORD_TIMEOUT: Final = timedelta(seconds=30)
_BANKS: Final = ("CFT", "CMC", "CCB_DEBIT", "ICBC_CREDIT", "OTHERS")


@dataclass(frozen=True, slots=True)
class Trade:
    id: int
    mch_id: str
    sub_mch_id: str  #: empty for a direct merchant
    appid: str
    sub_appid: str
    out_trade_no: str
    transaction_id: str
    trade_type: str
    state: State
    wallet: str  #: wechat, or wechat_hk once the payer is known to be from Hong Kong
    body: str
    attach: str
    device_info: str
    total_fee: int
    fee_type: str
    sign_type: str  #: of the request that created it; its notices use the same
    notify_url: str
    prepay_id: str | None
    code_url: str | None
    requested_openid: str  #: the openid and sub_openid of a JSAPI order
    payer: str | None  #: the payer who paid or has to pay
    created_at: float
    due_at: float | None
    due_step: DueStep | None
    paid_at: float | None
    bank_type: str
    cash_fee: int
    cash_fee_type: str
    rate: str
    refunded_fee: int
    refunded_cash: int

    @property
    def is_micropay(self) -> bool:
        return self.trade_type == "MICROPAY"

    @property
    def is_paid(self) -> bool:
        return self.state in ("SUCCESS", "REFUND")

    @property
    def refundable_fee(self) -> int:
        return self.total_fee - self.refunded_fee


def open_trade(connection: sqlite3.Connection, now: datetime, **columns: object) -> Trade:
    """Inserts a trade. `columns` has the values of the request and the initial state."""
    row = {"transaction_id": numbering.transaction_id(now), "created_at": now.timestamp(), **columns}
    inserted = connection.execute(
        f"INSERT INTO wechat_trade ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",  # noqa: S608 (names of ours)
        list(row.values()),
    )
    return cast(Trade, _trade("id = ?", connection, inserted.lastrowid))


def by_order(connection: sqlite3.Connection, mch_id: str, out_trade_no: str) -> Trade | None:
    return _trade("mch_id = ? AND out_trade_no = ?", connection, mch_id, out_trade_no)


def by_transaction(connection: sqlite3.Connection, transaction_id: str) -> Trade | None:
    return _trade("transaction_id = ?", connection, transaction_id)


def by_id(connection: sqlite3.Connection, trade_id: int) -> Trade:
    return cast(Trade, _trade("id = ?", connection, trade_id))


def by_prepay(connection: sqlite3.Connection, prepay_id: str) -> Trade | None:
    return _trade("prepay_id = ?", connection, prepay_id)


def by_code_url(connection: sqlite3.Connection, code_url: str) -> Trade | None:
    return _trade("code_url = ?", connection, code_url)


def by_any_number(connection: sqlite3.Connection, number: str) -> Trade | None:
    """Finds a trade by the wallet's number or a merchant's; the newest if two providers used the same one."""
    return _trade("transaction_id = ? OR out_trade_no = ? ORDER BY id DESC", connection, number, number)


def all_trades(connection: sqlite3.Connection, wallet: str) -> list[Trade]:
    rows = connection.execute("SELECT * FROM wechat_trade WHERE wallet = ? ORDER BY id", (wallet,))
    return [Trade(**dict(row)) for row in rows]


def paid_between(
    connection: sqlite3.Connection, mch_id: str, sub_mch_id: str, since: float, until: float
) -> list[Trade]:
    """Includes trades that were refunded or reversed later."""
    rows = connection.execute(
        "SELECT * FROM wechat_trade"
        " WHERE mch_id = ? AND sub_mch_id = ? AND paid_at >= ? AND paid_at < ? ORDER BY paid_at, id",
        (mch_id, sub_mch_id, since, until),
    )
    return [Trade(**dict(row)) for row in rows]


def reversed_between(
    connection: sqlite3.Connection, mch_id: str, sub_mch_id: str, since: float, until: float
) -> list[tuple[Trade, float]]:
    """Reversed trades that had been paid, each with the time of its reversal."""
    rows = connection.execute(
        "SELECT trade_id, reversed_at FROM wechat_reversal JOIN wechat_trade ON id = trade_id"
        " WHERE mch_id = ? AND sub_mch_id = ?"
        " AND paid_at IS NOT NULL AND reversed_at >= ? AND reversed_at < ?",
        (mch_id, sub_mch_id, since, until),
    ).fetchall()
    return [(by_id(connection, row["trade_id"]), row["reversed_at"]) for row in rows]


def due_trades(connection: sqlite3.Connection, now: datetime) -> list[Trade]:
    rows = connection.execute(
        "SELECT * FROM wechat_trade WHERE due_at <= ? ORDER BY due_at, id", (now.timestamp(),)
    ).fetchall()
    return [Trade(**dict(row)) for row in rows]


def move(connection: sqlite3.Connection, trade: Trade, state: State, **columns: object) -> Trade:
    """Changes the state. Clears the due step of the old state unless `columns` sets a new one."""
    row = {"state": state, "due_at": None, "due_step": None, **columns}
    connection.execute(
        f"UPDATE wechat_trade SET {', '.join(f'{name} = ?' for name in row)} WHERE id = ?",  # noqa: S608
        [*row.values(), trade.id],
    )
    return by_id(connection, trade.id)


def pay(connection: sqlite3.Connection, trade: Trade, payer: Payer, at: datetime) -> Trade | None:
    """Debits the payer in the payer's own currency. None, with nothing changed, if the balance is too low."""
    cash_type = CASH_CURRENCY[payer.wallet]
    cash_fee = cash_price(trade.total_fee, trade.fee_type, payer)
    if not debit(connection, payer.payer, cash_fee):
        return None
    return move(
        connection,
        trade,
        "SUCCESS",
        wallet=payer.wallet,
        payer=payer.payer,
        paid_at=at.timestamp(),
        bank_type=_BANKS[int(trade.transaction_id[-1]) % len(_BANKS)],
        cash_fee=cash_fee,
        cash_fee_type=cash_type,
        rate=_rate(trade.fee_type, cash_type),
    )


def revoke(connection: sqlite3.Connection, trade: Trade, now: datetime) -> Trade:
    """Reverses a micropay in any state. The money of a paid one is returned at once and in full."""
    connection.execute(
        "INSERT INTO wechat_reversal (trade_id, reversed_at) VALUES (?, ?)", (trade.id, now.timestamp())
    )
    if trade.state != "SUCCESS":
        return move(connection, trade, "REVOKED")
    assert trade.payer is not None
    credit(connection, trade.payer, trade.cash_fee)
    return move(connection, trade, "REVOKED", refunded_fee=trade.total_fee, refunded_cash=trade.cash_fee)


def _rate(fee_type: str, cash_type: str) -> str:
    """The rate times 10^8; empty if both currencies are the same."""
    if fee_type == cash_type:
        return ""
    rate = rate_to_cny(fee_type) / rate_to_cny(cash_type)
    return str(rate.scaleb(8).quantize(Decimal(1), ROUND_HALF_UP))


def _trade(where: str, connection: sqlite3.Connection, *values: object) -> Trade | None:
    row = connection.execute(f"SELECT * FROM wechat_trade WHERE {where} LIMIT 1", values).fetchone()  # noqa: S608
    return None if row is None else Trade(**dict(row))
