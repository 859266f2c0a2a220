"""Barcodes of a payer's app, and their behaviour when a shop scans them.

The behaviour belongs to an issued code. In the profile `demo` any code with a magic ending works without being
issued, and its ending selects the response.
"""

import secrets
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tael_sandbox.books import Books
from tael_sandbox.clock import Clock, from_stamp
from tael_sandbox.magic import ENDING_LENGTH, ENDINGS, has_magic_ending
from tael_sandbox.payers import payer_of
from tael_sandbox.profiles import current_profile
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
#: Alipay's codes begin with 25 to 30, whichever of its wallets shows them. Here the second digit tells them apart.
CODE_PREFIX: Final = {"alipay": "28", "alipay_hk": "29", "wechat": "13", "wechat_hk": "15"}
CODE_DIGITS: Final = 18
#: Real codes expire after about a minute. Tests move the clock between issuing a code and using it.
CODE_LIFE: Final = timedelta(hours=24)
#: How long the payer of a `password_then_pays` code takes to type.
PASSWORD_TYPING: Final = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Code:
    auth_code: str
    wallet: str
    behaviour: str
    payer: str
    made_at: datetime | None  #: None: not issued, never expires
    used_by: str | None  #: the order that used it, in the wallet's form

    def is_expired(self, now: datetime) -> bool:
        is_old = self.made_at is not None and now - self.made_at > CODE_LIFE
        return self.behaviour == "expired" or is_old

    def is_used_by_other(self, order: str) -> bool:
        return self.behaviour == "used" or self.used_by not in (None, order)


def issue_code(
    books: Books, clock: Clock, wallet: str, behaviour: str, payer: str | None, ending: str | None = None
) -> str:
    """Issues a code of 18 digits, with a magic ending only if requested. Raises ControlError for unknown values."""
    if wallet not in CODE_PREFIX:
        raise ControlError(f"unknown wallet {wallet!r}", "wallet")
    if behaviour not in BEHAVIOURS:
        raise ControlError(f"unknown behaviour {behaviour!r}", "behaviour")
    if ending is not None and ending not in ENDINGS:
        raise ControlError(f"ending is one of {', '.join(sorted(ENDINGS))}", "ending")
    with books.transaction() as connection:
        holder = payer_of(connection, wallet, payer)
        while True:
            auth_code = _random_code(CODE_PREFIX[wallet], ending)
            inserted = connection.execute(
                "INSERT OR IGNORE INTO code (auth_code, wallet, behaviour, payer, made_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (auth_code, wallet, behaviour, holder.payer, clock.now().timestamp()),
            )
            if inserted.rowcount:
                return auth_code


def read_code(connection: sqlite3.Connection, auth_code: str) -> Code | None:
    row = connection.execute("SELECT * FROM code WHERE auth_code = ?", (auth_code,)).fetchone()
    if row is None:
        return _magic_code(connection, auth_code)
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


def _magic_code(connection: sqlite3.Connection, auth_code: str) -> Code | None:
    """A code that was not issued but has a magic ending. It is not in the books and can be used any number of times.

    A code of nothing but zeros is not one: people type it as a placeholder.
    """
    wallet = next((name for name, prefix in CODE_PREFIX.items() if auth_code.startswith(prefix)), None)
    has_shape = len(auth_code) == CODE_DIGITS and auth_code.isascii() and auth_code.isdecimal()
    is_blank = not auth_code[2:].strip("0")
    if wallet is None or not has_shape or is_blank or not has_magic_ending(auth_code):
        return None
    if not current_profile(connection).has_magic:
        return None
    holder = payer_of(connection, wallet, None)
    return Code(auth_code, wallet, "pays", holder.payer, made_at=None, used_by=None)


def _random_code(prefix: str, ending: str | None) -> str:
    while True:
        last = ending or _random_digits(ENDING_LENGTH)
        if ending is not None or last not in ENDINGS:
            return prefix + _random_digits(CODE_DIGITS - len(prefix) - ENDING_LENGTH) + last


def _random_digits(count: int) -> str:
    return "".join(secrets.choice("0123456789") for _ in range(count))
