"""When a statement is fetched: from the wallet's time on, with growing gaps until it is there. Pure."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from tael.channels.statements import StatementKind

FIRST_GAP: Final = timedelta(minutes=10)
MAX_GAP: Final = timedelta(hours=6)
#: After the time at which the wallet should have it.
MISSING_AFTER: Final = timedelta(days=2)
GIVE_UP_AFTER: Final = timedelta(days=90)  #: WeChat Pay keeps bills for three months


@dataclass(frozen=True, slots=True)
class StatementDue:
    """A statement that is to be fetched."""

    mchid: str
    account_id: str
    kind: StatementKind
    day: date  #: in UTC+8
    protocol: str
    check_at: datetime
    attempts: int


def next_attempt(due: StatementDue, now: datetime) -> datetime:
    """When it is tried again, after an attempt at `now` that failed."""
    doublings = min(due.attempts, 10)
    return now + min(FIRST_GAP * (1 << doublings), MAX_GAP)
