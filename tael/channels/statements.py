"""A wallet's statement: its lines as values, and the format that a protocol declares. Pure.

Amounts are never negative. The type of a line gives the direction, because some files print refunds with a sign and
others without.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from tael.base.money import Money, from_major

#: Digits of the integers below the decimal point.
MICROS: Final = 6
RATE_DECIMALS: Final = 8
PLAIN_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,10})?", re.ASCII)
CURRENCY: Final = re.compile(r"[A-Z]{3}")
MAX_FILE_BYTES: Final = 64 * 1024 * 1024  #: of a file, as it is and decompressed
#: Of an amount in minor units, and of a fee in millionths; of sums of a file.
MAX_AMOUNT: Final = 10**15
MAX_SUM_MINOR: Final = 10**18
#: Of a text of the file in an error.
MAX_SHOWN: Final = 40
#: Of a number or a text that is stored.
MAX_TEXT: Final = 128


class LineType(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"
    REVERSAL = "reversal"


class StatementKind(StrEnum):
    TRANSACTIONS = "transactions"  #: what was paid and returned on the day
    SETTLEMENT = "settlement"  #: what was settled on the day


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One movement of money at the wallet. Instants are UTC."""

    number: int  #: of the line in the file; the first is 1
    type: LineType
    syssn: str  #: our number of it: of the order, or of the refund
    payment_syssn: str  #: the order's; "" if the file does not name it
    wallet_ref: str  #: the wallet's number of the trade; "" if the file has none
    wallet_refund_ref: str  #: the wallet's number of the refund; "" if the file has none
    at: datetime
    amount: Money
    fee_micros: int  #: in millionths of the major unit of `amount`; charged with a payment, else returned
    settlement: Money | None  #: if the file has it
    rate_e8: int | None  #: the exchange rate times 10^8, if the file has it
    settled_at: datetime | None
    state: str  #: the wallet's text
    identity: str  #: `Account.identity` of the account; "" if the line does not name it


class StatementRefused(Exception):
    """The file is not a complete statement. `line` and `column` name the place, if there is one."""

    def __init__(self, reason: str, line: int | None = None, column: str = "") -> None:
        place = "" if line is None else f"line {line}, column {column}: " if column else f"line {line}: "
        super().__init__(place + reason)
        self.reason = reason
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The target has the file."""


@dataclass(frozen=True, slots=True)
class EmptyDay:
    """The account has no lines of that day. The target has the wallet's response."""


@dataclass(frozen=True, slots=True)
class NotReady:
    """The wallet has not made the file yet: repeat the download later."""


@dataclass(frozen=True, slots=True)
class DownloadRefused:
    """The wallet refuses the request itself; a repeat is refused too."""

    reason: str


@dataclass(frozen=True, slots=True)
class DownloadFailed:
    """No file and no explicit refusal: repeat the download later."""

    reason: str


DownloadOutcome = Downloaded | EmptyDay | NotReady | DownloadRefused | DownloadFailed


@dataclass(frozen=True, slots=True)
class FileName:
    """What the name of a file says about it; empty where it says nothing."""

    identity: str = ""
    kind: StatementKind | None = None


@dataclass(frozen=True, slots=True)
class RemittedBatch:
    """What a wallet paid out in one batch and currency, in minor units of `currency`. Days are in UTC+8."""

    batch_no: str  #: the wallet's; the day of settlement if it has none
    settled_on: date
    trades_from: date
    trades_to: date
    currency: str
    paid_minor: int
    refunded_minor: int
    fee_minor: int  #: charged less returned

    @property
    def net_minor(self) -> int:
        """What reaches the bank; negative if the wallet is owed."""
        return self.paid_minor - self.refunded_minor - self.fee_minor


@dataclass(frozen=True, slots=True)
class StatementContent:
    """What a file says. `lines` raises StatementRefused, also at its end: a file is complete once all were read."""

    lines: Iterator[StatementLine]
    unknown_columns: int = 0  #: columns that the wallet's documents do not have; they are ignored
    remittances: tuple[RemittedBatch, ...] = ()  #: if the file has them; otherwise they are sums of its lines
    kind: StatementKind | None = None  #: where the form of the file names it
    day: date | None = None  #: in UTC+8; where the file names it apart from its lines
    identity: str = ""  #: `Account.identity`; where the file names it apart from its lines


@dataclass(frozen=True, slots=True)
class BundleMember:
    """A text in a zip."""

    name: str  #: without a path
    lines: Callable[[], Iterator[str]]  #: from the beginning each time, with their ends


@dataclass(frozen=True, slots=True)
class FeeRule:
    """How a wallet computes its fee on the amount of a line. A reversal returns the whole fee."""

    decimals: int | None  #: of the major unit, rounded half up; None: the currency's own
    is_returned_with_refunds: bool  #: in proportion: the difference of two rounded running totals


@dataclass(frozen=True, slots=True)
class StatementFormat:
    """The statements of a wallet."""

    recognizes: Callable[[str], bool]  #: takes the first line
    read: Callable[
        [Iterable[str]], StatementContent
    ]  #: takes the lines with their ends; raises StatementRefused
    read_name: Callable[[str], FileName]
    fees: FeeRule
    #: Takes the texts of a zip, and raises as `read` does; None if the wallet has no zips.
    read_bundle: Callable[[Sequence[BundleMember]], StatementContent] | None = None
    pending_states: frozenset[str] = frozenset()  #: of a line whose money is still under way
    failed_states: frozenset[str] = frozenset()  #: of a line whose money did not reach the payer


def check_sums(*minor: int) -> None:
    """Raises StatementRefused for a sum that is too large to be stored."""
    if max(map(abs, minor)) > MAX_SUM_MINOR:
        raise StatementRefused("a sum of the file is too large")


class Cells:
    """One line of a file. Each method reads the cell of a field, and raises StatementRefused with its place."""

    __slots__ = ("_cells", "_names", "_places", "number")

    def __init__(self, number: int, cells: list[str], places: dict[str, int], names: dict[str, str]) -> None:
        """`places` and `names` have the place and the heading of each field that the file has."""
        self.number = number
        self._cells = cells
        self._places = places
        self._names = names

    def text(self, field: str) -> str:
        """The cell; "" if the file has no such column."""
        place = self._places.get(field)
        if place is None:
            return ""
        text = self._cells[place]
        if len(text) > MAX_TEXT or not text.isprintable():
            raise self.refused(field, f"not a text of at most {MAX_TEXT} printable characters")
        return text

    def has(self, field: str) -> bool:
        """Whether the file has such a column."""
        return field in self._places

    def required(self, field: str) -> str:
        return self.text(field) or self._empty(field)

    def currency(self, field: str) -> str:
        text = self.required(field)
        if CURRENCY.fullmatch(text) is None:
            raise self.refused(field, f"not a currency: {text[:MAX_SHOWN]!r}")
        return text

    def amount(self, field: str, currency: str) -> Money:
        """In major units, without its sign."""
        return Money(abs(self.signed_minor(field, currency)), currency)

    def signed_minor(self, field: str, currency: str) -> int:
        """An amount in major units with its sign, in minor units."""
        text = self.required(field)
        try:
            minor = from_major(text, currency).amount_minor
        except ValueError:
            raise self.refused(field, f"not an amount of {currency}: {text[:MAX_SHOWN]!r}") from None
        return self._limited(field, minor)

    def micros(self, field: str) -> int:
        """Millionths of an amount in major units, without its sign; 0 for an empty cell."""
        return abs(self._limited(field, self._scaled(field, MICROS)))

    def rate(self, field: str) -> int | None:
        """A decimal exchange rate, times 10^8."""
        return self._limited(field, self._scaled(field, RATE_DECIMALS)) or None

    def decimal(self, field: str) -> Decimal:
        """The number with its sign; 0 for an empty cell."""
        text = self.text(field)
        if text and PLAIN_DECIMAL.fullmatch(text) is None:
            raise self.refused(field, f"not a number: {text[:MAX_SHOWN]!r}")
        return Decimal(text or 0)

    def refused(self, field: str, reason: str) -> StatementRefused:
        return StatementRefused(reason, self.number, self._names.get(field, field))

    def _scaled(self, field: str, decimals: int) -> int:
        scaled = self.decimal(field).scaleb(decimals)
        if scaled != scaled.to_integral_value():
            raise self.refused(field, f"more than {decimals} decimals")
        return int(scaled)

    def _limited(self, field: str, number: int) -> int:
        if abs(number) > MAX_AMOUNT:
            raise self.refused(field, "the number is too large")
        return number

    def _empty(self, field: str) -> str:
        raise self.refused(field, "the cell is empty")
