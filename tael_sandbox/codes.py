"""Barcodes that a payer's app shows, and what will happen when a shop scans them.

The behaviour is bound to the code, never to an amount, so that a test says what it wants in one place.
"""

import secrets
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tael_sandbox.books import Books
from tael_sandbox.clock import Clock, from_stamp
from tael_sandbox.payers import payer_of
from tael_sandbox.wallet import ControlError

BEHAVIOURS: Final = (
    "pays",
    "password",
    "password_then_pays",
    "refuses",
    "insufficient",
    "expired",
    "used",
    "unknown_then_paid",
    "unknown_then_nothing",
)
CODE_PREFIX: Final = {"alipay": "28", "wechat": "13", "wechat_hk": "15"}
CODE_DIGITS: Final = 18
#: A real code lives about a minute. Tests move the clock between asking for a code and using it.
CODE_LIFE: Final = timedelta(hours=24)
#: How long the payer of a `password_then_pays` code takes to type.
PASSWORD_TYPING: Final = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Code:
    auth_code: str
    wallet: str
    behaviour: str
    payer: str
    made_at: datetime
    used_by: str | None  #: the order that took it, as the wallet names orders

    def is_expired(self, now: datetime) -> bool:
        return self.behaviour == "expired" or now - self.made_at > CODE_LIFE

    def is_used_by_other(self, order: str) -> bool:
        return self.behaviour == "used" or self.used_by not in (None, order)


def issue_code(books: Books, clock: Clock, wallet: str, behaviour: str, payer: str | None) -> str:
    """A fresh code of 18 digits. Raises ControlError for a word it does not know."""
    if wallet not in CODE_PREFIX:
        raise ControlError(f"unknown wallet {wallet!r}", "wallet")
    if behaviour not in BEHAVIOURS:
        raise ControlError(f"unknown behaviour {behaviour!r}", "behaviour")
    with books.transaction() as connection:
        owner = payer_of(connection, wallet, payer)
        while True:
            auth_code = _random_code(CODE_PREFIX[wallet])
            made = connection.execute(
                "INSERT OR IGNORE INTO code (auth_code, wallet, behaviour, payer, made_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (auth_code, wallet, behaviour, owner.payer, clock.now().timestamp()),
            )
            if made.rowcount:
                return auth_code


def read_code(connection: sqlite3.Connection, auth_code: str) -> Code | None:
    row = connection.execute("SELECT * FROM code WHERE auth_code = ?", (auth_code,)).fetchone()
    if row is None:
        return None
    return Code(
        row["auth_code"],
        row["wallet"],
        row["behaviour"],
        row["payer"],
        from_stamp(row["made_at"]),
        row["used_by"],
    )


def mark_used(connection: sqlite3.Connection, auth_code: str, order: str) -> None:
    connection.execute("UPDATE code SET used_by = ? WHERE auth_code = ?", (order, auth_code))


def _random_code(prefix: str) -> str:
    return prefix + "".join(secrets.choice("0123456789") for _ in range(CODE_DIGITS - len(prefix)))
