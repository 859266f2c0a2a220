"""`forex_compare_file`, `forex_liquidation_file` and `forex_rate_file`: lines of text without a heading.

Bad dates are refused in plain text, bad requests in the gateway's XML. The compare file lists the movements of its
days, the liquidation file the movements that were settled on them.
"""

import re
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from tael_sandbox import rates, statements
from tael_sandbox.alipay.checks import BELIEVABLE_YEARS, COMPACT
from tael_sandbox.alipay.entries import Entry, entries_between
from tael_sandbox.alipay.messages import Text
from tael_sandbox.alipay.preconditions import Call
from tael_sandbox.clock import bjt, from_stamp
from tael_sandbox.profiles import current_profile
from tael_sandbox.shops import AlipayContract
from tael_sandbox.statements import ONE_DAY, Line
from tael_sandbox.wallet import Row

COMPARE, LIQUIDATION, RATES = "forex_compare_file", "forex_liquidation_file", "forex_rate_file"
FILES: Final = frozenset({COMPARE, LIQUIDATION, RATES})
BOOK: Final = "alipay"

MAX_DAYS: Final = 10
#: Time of day of a settlement, in Beijing.
SETTLING: Final = timedelta(hours=9)
#: Per day and PID, in the profile `strict`.
MAX_RATE_CALLS: Final = 100
RATES_CHANGE: Final = timedelta(hours=9, minutes=25)

NOTHING: Final = "No balance account data in the period"
SYSTEM_EXCEPTION: Final = "System exception"
_DAY: Final = re.compile("[0-9]{8}")


class BadPeriod(Exception):
    """The dates are invalid; the text is Alipay's."""


def compare_file(call: Call) -> Text:
    try:
        days = _requested_days(call)
    except BadPeriod as error:
        return Text(str(error))
    return _file(_line(row, settled_at="", status="P") for day in days for row in _rows(call, day))


def liquidation_file(call: Call) -> Text:
    try:
        days = _requested_days(call)
    except BadPeriod as error:
        return Text(str(error))
    lines: list[str] = []
    for settled_on in days:
        settled_at = f"{statements.start_of(settled_on) + SETTLING:{COMPACT}}"
        for day in settled_days(settled_on):
            lines += [_line(row, settled_at=settled_at, status="L") for row in _rows(call, day)]
    return _file(lines)


def rate_file(call: Call) -> Text:
    """Today's rates, or yesterday's until today's are published."""
    if _count_rate_call(call) > MAX_RATE_CALLS and current_profile(call.preconditions.connection).is_strict:
        return Text(SYSTEM_EXCEPTION)
    published = statements.start_of(statements.day_of(call.preconditions.now)) + RATES_CHANGE
    if call.preconditions.now < published:
        published -= ONE_DAY
    stamp = f"{published:%Y%m%d|%H%M%S}"
    currencies = [currency for currency in rates.CNY_PER_UNIT if currency != "CNY"]
    return _file(f"{stamp}|{currency}|{rates.rate_to_cny(currency):.8f}" for currency in currencies)


def _count_rate_call(call: Call) -> int:
    """Counts this call and returns how many there were today."""
    rows = call.preconditions.connection.execute(
        "INSERT INTO alipay_rate_call (pid, day, calls) VALUES (?, ?, 1)"
        " ON CONFLICT (pid, day) DO UPDATE SET calls = calls + 1 RETURNING calls",
        (call.pid, statements.day_of(call.preconditions.now).isoformat()),
    )
    calls: int = rows.fetchone()["calls"]
    return calls


def cut(
    connection: sqlite3.Connection, contracts: Sequence[AlipayContract], day: date, now: datetime
) -> None:
    """Closes the day for every merchant. A closed day never changes."""
    span = statements.span_of(connection, BOOK, day, now)
    entries = entries_between(connection, contracts, span.since, span.until)
    statements.store_statement(
        connection, BOOK, span, [Line(entry.pid, _row(entry)) for entry in entries], now
    )


def settled_days(day: date) -> list[date]:
    """The days that are settled on this day: the day before, or Friday to Sunday on a Monday."""
    if day.isoweekday() > 5:
        return []
    return [day - count * ONE_DAY for count in ((3, 2, 1) if day.isoweekday() == 1 else (1,))]


def _requested_days(call: Call) -> list[date]:
    """Raises BadPeriod. Only a finished day has a file; a day closed through the control API is finished."""
    parameters = call.parameters("ILLEGAL_ARGUMENT").fields
    if "start_date" not in parameters or "end_date" not in parameters:
        raise BadPeriod("Illegal Date period!")
    start, end = _day(parameters["start_date"]), _day(parameters["end_date"])
    if end < start:
        raise BadPeriod("Finish date ahead of begin date")
    today = statements.day_of(call.preconditions.now)
    is_over = end < today or (
        call.service == COMPARE
        and end == today
        and statements.is_cut(call.preconditions.connection, BOOK, today)
    )
    if not is_over:
        raise BadPeriod("Finish date not ahead of today")
    count = (end - start).days + 1
    if count > MAX_DAYS:
        raise BadPeriod("Over 10 days to Date period")
    return [start + number * ONE_DAY for number in range(count)]


def _day(text: str) -> date:
    try:
        day = datetime.strptime(text if _DAY.fullmatch(text) else "", "%Y%m%d").date()
    except ValueError:
        raise BadPeriod("Date format incorrect YYYYMMDD") from None
    if day.year not in BELIEVABLE_YEARS:
        raise BadPeriod("Illegal Date period!")
    return day


def _rows(call: Call, day: date) -> list[Row]:
    connection = call.preconditions.connection
    if not statements.is_cut(connection, BOOK, day):
        cut(connection, call.contracts, day, call.preconditions.now)
    return statements.stored_rows(connection, BOOK, day, [call.pid])


def _row(entry: Entry) -> Row:
    return {
        "number": entry.number,
        "amount": rates.in_units(entry.amount_minor, entry.currency),
        "currency": entry.currency,
        "at": f"{bjt(from_stamp(entry.at)):{COMPACT}}",
        "kind": entry.kind,
        "charge": rates.in_units(entry.charge_minor, entry.currency),
    }


def _line(row: Row, *, settled_at: str, status: str) -> str:
    """One line of nine fields. The last one is for remarks and always empty."""
    fields = (row["number"], row["amount"], row["currency"], row["at"], settled_at, row["kind"])
    return "|".join((*fields, row["charge"], status, ""))


def _file(lines: Iterable[str]) -> Text:
    return Text("".join(f"{line}\n" for line in lines) or NOTHING)
