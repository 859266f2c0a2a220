"""The digest chain over a merchant's ledger: one digest per day in UTC+8, chained to that of the day before. Pure.

A digest covers the stored rows column by column, so that a changed byte, a deleted row or an added row breaks its day
and every day after it.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from tael.base.moments import UTC8

#: A day is closed this long after its end, when everything decided in it is committed.
SLACK: Final = timedelta(hours=1)
#: What a merchant's first digest is chained to.
NO_DIGEST: Final = ""
FORM: Final = "tael ledger digest 1"


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the ledger as stored, valid or not."""

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
    """The digest of one day. Digests are SHA-256 in hexadecimal."""

    mchid: str
    day: date  #: in UTC+8
    digest: str
    previous: str  #: the digest of the day before, NO_DIGEST for the first
    entries: int
    closed_at: datetime


class DigestBuilder:
    """Builds the digest of one day from its lines, ordered by `at`, `cause` and `kind` (by code point)."""

    def __init__(self, mchid: str, day: date, previous: str) -> None:
        self._digest = hashlib.sha256(canonical(FORM, previous, mchid, day.isoformat()))
        self.entries = 0

    def add(self, line: Line) -> None:
        self.entries += 1
        self._digest.update(canonical_line(line))

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def canonical(*texts: str) -> bytes:
    """Each text prefixed with its length in bytes, so that no two lists of texts have the same encoding."""
    encoded = (text.encode() for text in texts)
    return b"".join(b"%d:%s," % (len(text), text) for text in encoded)


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
    """The earliest day that must not be closed yet."""
    return day_of(now - SLACK)


def next_close(now: datetime) -> datetime:
    """When the first open day may be closed."""
    return beginning_of(first_open_day(now) + timedelta(days=1)) + SLACK
