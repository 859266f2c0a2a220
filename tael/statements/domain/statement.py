"""A statement: one account, one kind, one day. Pure.

A file is one only if all of its lines are of the account and of the same day in UTC+8. The day of a settlement is the
one on which the wallet settled.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import assert_never

from tael.base.moments import UTC8
from tael.channels.statements import LineType, StatementKind, StatementLine, StatementRefused


class Source(StrEnum):
    IMPORTED = "imported"  #: by an operator, from a file
    FETCHED = "fetched"  #: from the wallet


@dataclass(frozen=True, slots=True)
class CurrencyTotal:
    """The lines of one currency. Reversals count as refunds."""

    currency: str
    payments: int
    paid_minor: int
    refunds: int
    refunded_minor: int
    fee_micros: int  #: charged less returned, in millionths of the major unit


@dataclass(frozen=True, slots=True)
class Summary:
    """What a complete file contains."""

    kind: StatementKind
    day: date
    lines: int
    totals: tuple[CurrencyTotal, ...]  #: by currency


@dataclass(frozen=True, slots=True)
class Statement:
    """A stored statement. Of an account, kind and day one is current; those that were replaced are kept."""

    mchid: str
    statement_id: str
    account_id: str
    protocol: str
    kind: StatementKind
    day: date  #: in UTC+8
    sha256: str  #: of the decompressed content
    size: int  #: of the decompressed content, in bytes
    source: Source
    lines: int
    unknown_columns: int  #: ignored ones
    totals: tuple[CurrencyTotal, ...]
    stored_at: datetime
    superseded_at: datetime | None = None


class SummaryBuilder:
    """Checks lines one by one, and sums them. `kind` and `day` are those that the file must have, if known."""

    def __init__(self, identity: str, kind: StatementKind | None, day: date | None) -> None:
        self._identity = identity
        self._kind = kind
        self._day = day
        self._lines = 0
        self._paid_on = _Days()
        self._settled_on = _Days()
        self._unsettled: int | None = None
        self._sums: dict[str, list[int]] = {}

    def add(self, line: StatementLine) -> None:
        """Raises StatementRefused for a line of another account."""
        if line.identity not in ("", self._identity):
            raise StatementRefused(f"of another account: {line.identity}", line.number)
        self._lines += 1
        self._paid_on.add(line.at, line.number)
        if line.settled_at is not None:
            self._settled_on.add(line.settled_at, line.number)
        elif self._unsettled is None:
            self._unsettled = line.number
        self._sum(line)

    def finish(self) -> Summary:
        """After the last line. Raises StatementRefused for lines of another day, and if nothing names the day."""
        kind = self._kind or self._found_kind()
        day = self._day_of(kind)
        if day is None:
            raise StatementRefused("without lines: the day must be given")
        totals = tuple(CurrencyTotal(currency, *self._sums[currency]) for currency in sorted(self._sums))
        return Summary(kind, day, self._lines, totals)

    def _found_kind(self) -> StatementKind:
        """A file of settlements has a time of settlement in each line."""
        is_settled = self._lines > 0 and self._unsettled is None
        return StatementKind.SETTLEMENT if is_settled else StatementKind.TRANSACTIONS

    def _day_of(self, kind: StatementKind) -> date | None:
        match kind:
            case StatementKind.TRANSACTIONS:
                return self._paid_on.single(self._day)
            case StatementKind.SETTLEMENT:
                if self._unsettled is not None:
                    raise StatementRefused("not settled", self._unsettled)
                return self._settled_on.single(self._day)
            case _:
                assert_never(kind)

    def _sum(self, line: StatementLine) -> None:
        sums = self._sums.setdefault(line.amount.currency, [0, 0, 0, 0, 0])
        is_payment = line.type is LineType.PAYMENT
        place = 0 if is_payment else 2
        sums[place] += 1
        sums[place + 1] += line.amount.amount_minor
        sums[4] += line.fee_micros if is_payment else -line.fee_micros


class _Days:
    """The day of the first line, and the first line of another day."""

    def __init__(self) -> None:
        self.first: tuple[date, int] | None = None
        self.other: tuple[date, int] | None = None

    def add(self, at: datetime, number: int) -> None:
        day = at.astimezone(UTC8).date()
        if self.first is None:
            self.first = day, number
        elif self.other is None and day != self.first[0]:
            self.other = day, number

    def single(self, expected: date | None) -> date | None:
        """The day of all lines; `expected` if there are none. Raises StatementRefused."""
        day = expected if expected is not None else self.first and self.first[0]
        for found in (self.first, self.other):
            if found is not None and found[0] != day:
                raise StatementRefused(f"of {found[0]}, another day than {day}", found[1])
        return day
