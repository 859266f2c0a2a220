"""Alipay's book of trades: the row, its lookups, and the numbers that Alipay assigns.

An online order whose payer has only seen the page has a row as well. Its state is TRADE_NOT_EXIST, which is also
Alipay's response about it.
"""

import secrets
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tael_sandbox import rates
from tael_sandbox.clock import bjt

NOT_EXIST: Final = "TRADE_NOT_EXIST"
WAITING: Final = "WAIT_BUYER_PAY"
SUCCESS: Final = "TRADE_SUCCESS"
FINISHED: Final = "TRADE_FINISHED"
CLOSED: Final = "TRADE_CLOSED"

PC, WAP, APP, BARCODE, QR = "pc", "wap", "app", "barcode", "qr"
ONLINE: Final = (PC, WAP, APP)

TABLES: Final = """
CREATE TABLE IF NOT EXISTS alipay_trade (
    id              INTEGER PRIMARY KEY,
    pid             TEXT NOT NULL,
    order_no        TEXT NOT NULL,
    product         TEXT NOT NULL,
    product_code    TEXT NOT NULL,
    trade_no        TEXT UNIQUE,
    token           TEXT UNIQUE,
    state           TEXT NOT NULL,
    identity        TEXT NOT NULL,
    subject         TEXT NOT NULL,
    amount_minor    INTEGER NOT NULL,
    price_currency  TEXT NOT NULL,
    currency        TEXT NOT NULL,
    cny_minor       INTEGER NOT NULL,
    payer           TEXT REFERENCES payer (payer),
    sign_type       TEXT NOT NULL,
    charset         TEXT NOT NULL,
    notify_url      TEXT,
    return_url      TEXT,
    created_at      REAL NOT NULL,
    last_pay_at     REAL NOT NULL,
    due_at          REAL,
    paid_at         REAL,
    closed_at       REAL,
    refunded_at     REAL,
    refunded_minor  INTEGER NOT NULL DEFAULT 0 CHECK (refunded_minor BETWEEN 0 AND amount_minor),
    refunded_cny    INTEGER NOT NULL DEFAULT 0 CHECK (refunded_cny BETWEEN 0 AND cny_minor),
    cancel_action   TEXT,
    UNIQUE (pid, order_no)
);
CREATE INDEX IF NOT EXISTS alipay_trade_due ON alipay_trade (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS alipay_trade_order ON alipay_trade (order_no);
CREATE INDEX IF NOT EXISTS alipay_trade_paid ON alipay_trade (pid, paid_at);
CREATE INDEX IF NOT EXISTS alipay_trade_payer ON alipay_trade (payer);
CREATE TABLE IF NOT EXISTS alipay_refund (
    pid          TEXT NOT NULL,
    refund_no    TEXT NOT NULL,
    trade_id     INTEGER NOT NULL REFERENCES alipay_trade (id),
    order_no     TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    cny_minor    INTEGER NOT NULL,
    made_at      REAL NOT NULL,
    PRIMARY KEY (pid, refund_no)
);
CREATE TABLE IF NOT EXISTS alipay_passback (
    trade_id INTEGER PRIMARY KEY REFERENCES alipay_trade (id),
    passback TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS alipay_rate_call (
    pid   TEXT NOT NULL,
    day   TEXT NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (pid, day)
);
CREATE TABLE IF NOT EXISTS alipay_notice (
    notify_id TEXT PRIMARY KEY,
    pid       TEXT NOT NULL,
    notice_id INTEGER NOT NULL REFERENCES notice (id)
);
"""


@dataclass(frozen=True, slots=True)
class Trade:
    id: int
    pid: str
    order_no: str
    product: str  #: PC, WAP, APP, BARCODE or QR
    product_code: str
    trade_no: str | None  #: None until the trade exists
    token: str | None  #: of the cashier page or the QR code
    state: str
    identity: str  #: JSON of the fields that a repeat under the same number must match
    subject: str
    amount_minor: int  #: in price_currency
    price_currency: str  #: CNY where the merchant priced by `rmb_fee`
    currency: str  #: of the contract, in which the merchant is paid
    cny_minor: int  #: the payer's amount
    payer: str | None
    sign_type: str
    charset: str
    notify_url: str | None
    return_url: str | None
    created_at: float
    last_pay_at: float  #: until when the payer can pay
    due_at: float | None  #: when the next timed change is due
    paid_at: float | None
    closed_at: float | None
    refunded_at: float | None
    refunded_minor: int
    refunded_cny: int
    cancel_action: str | None

    @property
    def exists(self) -> bool:
        return self.state != NOT_EXIST

    @property
    def is_in_store(self) -> bool:
        return self.product in (BARCODE, QR)

    @property
    def is_paid(self) -> bool:
        return self.state in (SUCCESS, FINISHED)

    @property
    def refundable_minor(self) -> int:
        return self.amount_minor - self.refunded_minor

    @property
    def amount(self) -> str:
        return rates.in_units(self.amount_minor, self.price_currency)

    @property
    def total_fee(self) -> str:
        """The price in the contract's currency, at least one minor unit."""
        minor = max(1, rates.convert(self.amount_minor, self.price_currency, self.currency))
        return rates.in_units(minor, self.currency)


def insert_trade(connection: sqlite3.Connection, **columns: Any) -> Trade:
    names = ", ".join(columns)
    places = ", ".join(f":{name}" for name in columns)
    inserted = connection.execute(
        f"INSERT INTO alipay_trade ({names}) VALUES ({places}) RETURNING *",  # noqa: S608 - names are ours
        columns,
    )
    return _trade(inserted.fetchone())


def update_trade(connection: sqlite3.Connection, trade: Trade, **columns: Any) -> Trade:
    changes = ", ".join(f"{name} = :{name}" for name in columns)
    updated = connection.execute(
        f"UPDATE alipay_trade SET {changes} WHERE id = :id RETURNING *",  # noqa: S608 - names are ours
        {**columns, "id": trade.id},
    )
    return _trade(updated.fetchone())


def by_order(connection: sqlite3.Connection, pid: str, order_no: str) -> Trade | None:
    return _one(
        connection.execute("SELECT * FROM alipay_trade WHERE pid = ? AND order_no = ?", (pid, order_no))
    )


def by_trade_no(connection: sqlite3.Connection, pid: str, trade_no: str) -> Trade | None:
    return _one(
        connection.execute("SELECT * FROM alipay_trade WHERE pid = ? AND trade_no = ?", (pid, trade_no))
    )


def by_token(connection: sqlite3.Connection, token: str) -> Trade | None:
    return _one(connection.execute("SELECT * FROM alipay_trade WHERE token = ?", (token,)))


def by_any_number(connection: sqlite3.Connection, number: str) -> Trade | None:
    """Finds a trade by Alipay's number or a merchant's; the newest if several merchants used the number."""
    return _one(
        connection.execute(
            "SELECT * FROM alipay_trade WHERE trade_no = ? OR order_no = ? ORDER BY id DESC LIMIT 1",
            (number, number),
        )
    )


def due_trades(connection: sqlite3.Connection, now: datetime) -> list[Trade]:
    rows = connection.execute(
        "SELECT * FROM alipay_trade WHERE due_at <= ? ORDER BY due_at", (now.timestamp(),)
    )
    return [_trade(row) for row in rows]


def new_trade_no(connection: sqlite3.Connection, now: datetime) -> str:
    """28 digits: the day in Beijing, 22001, and 15 random digits."""
    while True:
        trade_no = f"{bjt(now):%Y%m%d}22001{secrets.randbelow(10**15):015d}"
        if not connection.execute("SELECT 1 FROM alipay_trade WHERE trade_no = ?", (trade_no,)).fetchone():
            return trade_no


def _one(found: sqlite3.Cursor) -> Trade | None:
    row = found.fetchone()
    return None if row is None else _trade(row)


def _trade(row: sqlite3.Row) -> Trade:
    return Trade(*row)
