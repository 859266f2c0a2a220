"""Days and their statements: the end of a day, the movements that belong to it, and the stored rows.

A day ends at midnight in Beijing, or earlier if it is closed through the control API. Later movements belong to the
next day, so every movement of money is in exactly one statement. A stored statement never changes, except by errors
that are planted in it (`statement_errors.py`).
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from tael_sandbox.clock import BEIJING, bjt, from_stamp
from tael_sandbox.wallet import Row

TABLES: Final = """
CREATE TABLE IF NOT EXISTS closed_day (
    wallet   TEXT NOT NULL,
    day      TEXT NOT NULL,
    until_at REAL NOT NULL,
    cut_at   REAL NOT NULL,
    PRIMARY KEY (wallet, day)
);
CREATE TABLE IF NOT EXISTS statement_row (
    id      INTEGER PRIMARY KEY,
    wallet  TEXT NOT NULL,
    day     TEXT NOT NULL,
    account TEXT NOT NULL,
    row     TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS statement_row_account ON statement_row (wallet, day, account);
"""

ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StatementPeriod:
    """The time that a day's statement covers: from `since` up to but excluding `until`."""

    day: date
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a statement, with the account that it belongs to."""

    account: str
    row: Row


def day_of(now: datetime) -> date:
    return bjt(now).date()


def start_of(day: date) -> datetime:
    return datetime.combine(day, time(), BEIJING)


def is_cut(connection: sqlite3.Connection, wallet: str, day: date) -> bool:
    return _stored_end(connection, wallet, day) is not None


def span_of(connection: sqlite3.Connection, wallet: str, day: date, now: datetime) -> StatementPeriod:
    """The period of a closed day, or the period of the day if it is closed now."""
    since = _stored_end(connection, wallet, day - ONE_DAY) or start_of(day).timestamp()
    until = min(start_of(day + ONE_DAY), now).timestamp()
    return StatementPeriod(day, since, _stored_end(connection, wallet, day) or until)


def statement_day(connection: sqlite3.Connection, wallet: str, at: float) -> date:
    """The day whose statement includes this instant."""
    day = day_of(from_stamp(at))
    end = _stored_end(connection, wallet, day)
    return day if end is None or at < end else day + ONE_DAY


def store_statement(
    connection: sqlite3.Connection,
    wallet: str,
    period: StatementPeriod,
    lines: Iterable[Line],
    cut_at: datetime,
) -> None:
    """Closes the day with these rows, in this order."""
    day = period.day.isoformat()
    connection.execute(
        "INSERT INTO closed_day (wallet, day, until_at, cut_at) VALUES (?, ?, ?, ?)",
        (wallet, day, period.until, cut_at.timestamp()),
    )
    connection.executemany(
        "INSERT INTO statement_row (wallet, day, account, row) VALUES (?, ?, ?, ?)",
        [(wallet, day, line.account, json.dumps(line.row, ensure_ascii=False)) for line in lines],
    )


def stored_rows(connection: sqlite3.Connection, wallet: str, day: date, accounts: Sequence[str]) -> list[Row]:
    rows = connection.execute(
        "SELECT row FROM statement_row WHERE wallet = ? AND day = ?"
        " AND account IN (SELECT value FROM json_each(?)) ORDER BY id",
        (wallet, day.isoformat(), json.dumps(list(accounts))),
    )
    return [json.loads(row["row"]) for row in rows]


def shown(connection: sqlite3.Connection, wallet: str, day: date, downloads: Iterable[Row]) -> Row:
    """A closed day as a row of the control API. Each of `downloads` has an `account`."""
    closed = connection.execute(
        "SELECT * FROM closed_day WHERE wallet = ? AND day = ?", (wallet, day.isoformat())
    ).fetchone()
    statements = [
        {**download, "rows": len(stored_rows(connection, wallet, day, [download["account"]]))}
        for download in downloads
    ]
    return {
        "wallet": wallet,
        "day": day.isoformat(),
        "closed_at": from_stamp(closed["until_at"]).isoformat(),
        "cut_at": from_stamp(closed["cut_at"]).isoformat(),
        "rows": sum(statement["rows"] for statement in statements),
        "statements": statements,
    }


def _stored_end(connection: sqlite3.Connection, wallet: str, day: date) -> float | None:
    row = connection.execute(
        "SELECT until_at FROM closed_day WHERE wallet = ? AND day = ?", (wallet, day.isoformat())
    ).fetchone()
    return None if row is None else float(row["until_at"])
