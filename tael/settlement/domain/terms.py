"""The terms of payout of a merchant and currency, and the periods that they make. Pure. All days are in UTC+8."""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final, assert_never

from tael.merchants.domain.forms import InvalidValue

MILLION: Final = 1_000_000
MAX_RESERVE_DAYS: Final = 730
#: An amount of minor units fits into any sum of the ledger.
MAX_MINIMUM_MINOR: Final = 10**15
MIN_DAY: Final = date(2000, 1, 1)
MAX_DAY: Final = date(9998, 12, 31)
WEEK: Final = 7


class Cycle(StrEnum):
    """How long a period is."""

    DAILY = "daily"
    WEEKLY = "weekly"  #: up to and including the weekday of the terms
    MONTHLY = "monthly"  #: a calendar month


class Weekday(StrEnum):
    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


@dataclass(frozen=True, slots=True)
class PayoutTerms:
    """When and how much a merchant is paid. `since` is the first day of its first period."""

    mchid: str
    currency: str
    cycle: Cycle
    weekday: Weekday | None  #: the last day of a week; None unless weekly
    minimum_minor: int  #: a smaller amount is carried over
    reserve_ppm: int  #: of what was paid less what was returned in the period
    reserve_days: int  #: how long it is held after the end of the period
    since: date


def check_terms(terms: PayoutTerms) -> PayoutTerms:
    """`terms`, if they can be followed. Raises InvalidValue."""
    if (terms.cycle is Cycle.WEEKLY) != (terms.weekday is not None):
        raise InvalidValue("weekday", "required with --cycle weekly, and with no other cycle")
    for field, value, maximum in (
        ("minimum_minor", terms.minimum_minor, MAX_MINIMUM_MINOR),
        ("reserve_ppm", terms.reserve_ppm, MILLION),
        ("reserve_days", terms.reserve_days, MAX_RESERVE_DAYS),
    ):
        if not 0 <= value <= maximum:
            raise InvalidValue(field, f"must be from 0 to {maximum}")
    if not MIN_DAY <= terms.since <= MAX_DAY:
        raise InvalidValue("since", f"must be from {MIN_DAY} to {MAX_DAY}")
    return terms


def period_end(terms: PayoutTerms, first: date) -> date:
    """The last day of the period that begins on `first`. A first period may be shorter than the cycle."""
    match terms.cycle:
        case Cycle.DAILY:
            return first
        case Cycle.WEEKLY:
            assert terms.weekday is not None
            last = list(Weekday).index(terms.weekday)
            return first + timedelta(days=(last - first.weekday()) % WEEK)
        case Cycle.MONTHLY:
            in_next = first.replace(day=1) + timedelta(days=32)
            return in_next.replace(day=1) - timedelta(days=1)
        case _:
            assert_never(terms.cycle)
