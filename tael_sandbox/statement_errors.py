"""Errors planted in the statements of closed days, for tests of a reconciliation.

Only the stored rows change: trades, queries, settlements and the book stay true. Of an account, each number has at most
one planted error, and the same seed on the same books plants the same errors.
"""

import json
import random
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from tael_sandbox import rates, statements
from tael_sandbox.clock import bjt, from_stamp
from tael_sandbox.statement_lines import LineFormat, LineValues
from tael_sandbox.statements import ONE_DAY, StatementPeriod
from tael_sandbox.wallet import ControlError, Planting, Row

KINDS: Final = ("missing_here", "missing_there", "amount", "fee", "state", "duplicate", "wrong_day")
MAX_COUNT: Final = 1000
MAX_PLANTED: Final = 10_000
MAX_CHANGE_MINOR: Final = 99
MAX_DRAWS: Final = 100
#: Digits of a number that an invented order changes.
DRAWN_DIGITS: Final = 9
#: A line that is moved to another day is at least this far from both ends of both days.
MARGIN: Final = timedelta(hours=1)
REVERSED_AFTER: Final = timedelta(minutes=1)
ONE_SECOND: Final = timedelta(seconds=1)

TABLES: Final = """
CREATE TABLE IF NOT EXISTS planted_error (
    id      INTEGER PRIMARY KEY,
    wallet  TEXT NOT NULL,
    account TEXT NOT NULL,
    number  TEXT NOT NULL,
    error   TEXT NOT NULL,
    UNIQUE (wallet, account, number)
);
"""


@dataclass(frozen=True, slots=True)
class StoredRow:
    id: int
    account: str
    row: Row
    values: LineValues


@dataclass(frozen=True, slots=True)
class Change:
    """What one error does to the stored rows. `before` and `after` are the line as it was and as it is, if any."""

    before: Row | None
    after: Row | None
    day: date  #: of `after`
    keeps_before: bool = False  #: `after` is an additional row


def planted(connection: sqlite3.Connection) -> list[Row]:
    """Every planted error, oldest first."""
    return [
        json.loads(row["error"]) for row in connection.execute("SELECT error FROM planted_error ORDER BY id")
    ]


def plant(
    connection: sqlite3.Connection,
    form: LineFormat,
    accounts: Sequence[str],
    planting: Planting,
    now: datetime,
) -> list[Row]:
    """Plants the errors and returns them. Raises ControlError, with nothing changed."""
    if planting.account is not None:
        if planting.account not in accounts:
            raise ControlError("no such account", "account")
        accounts = [planting.account]
    if not statements.is_cut(connection, form.wallet, planting.day):
        raise ControlError("the day is not closed", "day")
    if len(planted(connection)) + planting.count > MAX_PLANTED:
        raise ControlError(f"more than {MAX_PLANTED} errors", "count")
    planter = _Planter(connection, form, planting, now)
    chosen = planter.choose(accounts)
    if len(chosen) < planting.count:
        raise ControlError(f"the statement has {len(chosen)} lines for this error", "count")
    return [planter.store(stored, change) for stored, change in chosen]


class _Planter:
    def __init__(
        self, connection: sqlite3.Connection, form: LineFormat, planting: Planting, now: datetime
    ) -> None:
        self._connection = connection
        self._form = form
        self._planting = planting
        self._now = now
        self._period = self._period_of(planting.day)
        text = f"{planting.seed}/{form.wallet}/{planting.day}/{planting.kind}/{planting.account}"
        self._random = random.Random(text)

    def choose(self, accounts: Sequence[str]) -> list[tuple[StoredRow, Change]]:
        """Lines in random order with their changes, up to the requested count."""
        rows = list(self._rows(accounts))
        self._random.shuffle(rows)
        chosen: list[tuple[StoredRow, Change]] = []
        taken = self._taken()
        for stored in rows:
            if len(chosen) == self._planting.count:
                break
            if (stored.account, stored.values.number) in taken:
                continue
            change = self._change(stored)
            if change is not None:
                taken.add((stored.account, stored.values.number))
                chosen.append((stored, change))
        return chosen

    def store(self, stored: StoredRow, change: Change) -> Row:
        """Changes the rows and records the error."""
        if change.before is not None and not change.keeps_before:
            self._connection.execute("DELETE FROM statement_row WHERE id = ?", (stored.id,))
        if change.after is not None:
            in_place = stored.id if change.before is not None and not change.keeps_before else None
            self._connection.execute(
                "INSERT INTO statement_row (id, wallet, day, account, row) VALUES (?, ?, ?, ?, ?)",
                (in_place, self._form.wallet, change.day.isoformat(), stored.account, _json(change.after)),
            )
        error = self._error(stored.account, change)
        self._connection.execute(
            "INSERT INTO planted_error (wallet, account, number, error) VALUES (?, ?, ?, ?)",
            (self._form.wallet, stored.account, error["number"], _json(error)),
        )
        return error

    def _change(self, stored: StoredRow) -> Change | None:
        """The error of this line; None if the line cannot have it."""
        row, values, day = stored.row, stored.values, self._planting.day
        match self._planting.kind:
            case "missing_here":
                invented = self._invented(stored)
                return None if invented is None else Change(None, invented, day)
            case "missing_there":
                return Change(row, None, day)
            case "amount":
                return Change(row, self._form.with_amount(row, self._other(values.amount, values, 1)), day)
            case "fee":
                if not values.fee:
                    return None
                return Change(row, self._form.with_fee(row, self._other(values.fee, values, 2)), day)
            case "state":
                return self._reversal(stored)
            case "duplicate":
                return Change(row, row, day, keeps_before=True)
            case "wrong_day":
                return self._move(stored)
            case other:
                raise AssertionError(other)

    def _other(self, amount: Decimal, values: LineValues, min_minor: int) -> Decimal:
        """Another amount of the same sign, more or less by up to `MAX_CHANGE_MINOR` minor units."""
        minor = self._random.randint(min_minor, MAX_CHANGE_MINOR)
        change = Decimal(minor).scaleb(-rates.exponent(values.currency))
        size = abs(amount)
        is_less = self._random.random() < 0.5 and size > change
        return (size - change if is_less else size + change) * (-1 if amount < 0 else 1)

    def _invented(self, stored: StoredRow) -> Row | None:
        if stored.values.type != "payment":
            return None
        for _ in range(MAX_DRAWS):
            number = self._drawn(stored.values.number)
            if not self._form.has_order(stored.account, number):
                return self._form.for_order(stored.row, number, self._drawn)
        return None

    def _drawn(self, text: str) -> str:
        """Random digits in place of the last ones of `text`."""
        head, tail = text[:-DRAWN_DIGITS], text[-DRAWN_DIGITS:]
        return head + "".join(self._random.choice("0123456789") for _ in tail)

    def _reversal(self, stored: StoredRow) -> Change | None:
        """A payment that stays paid gets the line of a reversal."""
        values = stored.values
        if values.type != "payment" or not self._form.is_unreturned(stored.account, values.number):
            return None
        last = from_stamp(self._period.until) - ONE_SECOND
        at = max(values.at, min(values.at + REVERSED_AFTER, last))
        return Change(None, self._form.returned(stored.row, at), self._planting.day)

    def _move(self, stored: StoredRow) -> Change | None:
        """To the next day at the same time, or else to the previous one, where that is closed."""
        at = stored.values.at
        for days in (ONE_DAY, -ONE_DAY):
            other = self._planting.day + days
            if not statements.is_cut(self._connection, self._form.wallet, other):
                continue
            if _is_within(at, self._period) and _is_within(at + days, self._period_of(other)):
                return Change(stored.row, self._form.at_time(stored.row, at + days), other)
        return None

    def _period_of(self, day: date) -> StatementPeriod:
        return statements.span_of(self._connection, self._form.wallet, day, self._now)

    def _rows(self, accounts: Sequence[str]) -> Iterator[StoredRow]:
        day = self._planting.day.isoformat()
        rows = self._connection.execute(
            "SELECT id, account, row FROM statement_row WHERE wallet = ? AND day = ? ORDER BY id",
            (self._form.wallet, day),
        )
        for row in rows:
            if row["account"] in accounts:
                cells = json.loads(row["row"])
                yield StoredRow(row["id"], row["account"], cells, self._form.values(row["account"], cells))

    def _taken(self) -> set[tuple[str, str]]:
        rows = self._connection.execute(
            "SELECT account, number FROM planted_error WHERE wallet = ?", (self._form.wallet,)
        )
        return {(row["account"], row["number"]) for row in rows}

    def _error(self, account: str, change: Change) -> Row:
        """A row of the control API."""
        about = self._form.values(account, change.after or change.before or {})
        return {
            "kind": self._planting.kind,
            "wallet": self._form.wallet,
            "account": account,
            "day": self._planting.day.isoformat(),
            "type": about.type,
            "number": about.number,
            "before": self._shown(account, change.before, self._planting.day),
            "after": self._shown(account, change.after, change.day),
        }

    def _shown(self, account: str, row: Row | None, day: date) -> Row | None:
        if row is None:
            return None
        values = self._form.values(account, row)
        return {
            "day": day.isoformat(),
            "at": bjt(values.at).isoformat(),
            "amount": f"{values.amount:f}",
            "fee": f"{values.fee:f}",
            "currency": values.currency,
            "state": values.state,
        }


def _is_within(at: datetime, period: StatementPeriod) -> bool:
    return from_stamp(period.since) + MARGIN <= at < from_stamp(period.until) - MARGIN


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False)
