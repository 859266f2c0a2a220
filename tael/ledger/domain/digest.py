"""The chain of seals over a merchant's ledger: one digest for each day in UTC+8, over that of the day before. Pure.

What is digested is what lies in the table, column by column, so that a changed byte, a deleted row and an added row
each break the day they are in, and every day after it.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from tael.base.moments import UTC8

#: A day is sealed when it has been over for this long: whatever was decided in it is committed by then.
SLACK: Final = timedelta(hours=1)
#: What the first seal of a merchant is chained to.
NO_DIGEST: Final = ""
FORM: Final = "tael ledger digest 1"


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the ledger as it lies in the table, whatever it says."""

    mchid: str
    cause: str
    kind: str
    debit: str
    credit: str
    amount_minor: int
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LedgerDigest:
    """One link of the chain. Digests are SHA-256 in hexadecimal."""

    mchid: str
    day: date  #: in UTC+8
    digest: str
    previous: str  #: the digest of the day before, NO_DIGEST for the first
    entries: int
    closed_at: datetime


class DigestBuilder:
    """The digest of one day, fed with its lines ordered by at, cause and kind (by code point)."""

    def __init__(self, mchid: str, day: date, previous: str) -> None:
        self._digest = hashlib.sha256(canonical(FORM, previous, mchid, day.isoformat()))
        self.entries = 0

    def add(self, line: Line) -> None:
        self.entries += 1
        self._digest.update(canonical_line(line))

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def canonical(*texts: str) -> bytes:
    """Each text with its length in bytes before it, so that no two lists of texts have the same bytes."""
    encoded = (text.encode() for text in texts)
    return b"".join(b"%d:%s," % (len(each), each) for each in encoded)


def canonical_line(line: Line) -> bytes:
    """Every column, in the order of the table; the instant in UTC to the microsecond."""
    at = line.at.astimezone(UTC).isoformat(timespec="microseconds")
    amount = str(line.amount_minor)
    return canonical(line.mchid, line.cause, line.kind, line.debit, line.credit, amount, line.currency, at)


def day_of(instant: datetime) -> date:
    """The day in UTC+8."""
    return instant.astimezone(UTC8).date()


def beginning_of(day: date) -> datetime:
    """The first instant of a day in UTC+8."""
    return datetime.combine(day, time.min, UTC8).astimezone(UTC)


def first_open_day(now: datetime) -> date:
    """The earliest day that must not be sealed yet."""
    return day_of(now - SLACK)


def next_close(now: datetime) -> datetime:
    """When the first open day may be sealed."""
    return beginning_of(first_open_day(now) + timedelta(days=1)) + SLACK
