"""Terms of payout: which can be followed, and the periods that they make."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final

import pytest

from tael.merchants.domain.forms import InvalidValue
from tael.settlement.domain.payout import held_of
from tael.settlement.domain.terms import Cycle, PayoutTerms, Weekday, check_terms, period_end

DAILY: Final = PayoutTerms("m", "HKD", Cycle.DAILY, None, 0, 0, 0, date(2026, 1, 1))


def weekly(weekday: Weekday) -> PayoutTerms:
    return replace(DAILY, cycle=Cycle.WEEKLY, weekday=weekday)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"cycle": Cycle.WEEKLY}, "weekday"),
        ({"weekday": Weekday.MONDAY}, "weekday"),
        ({"minimum_minor": -1}, "minimum_minor"),
        ({"minimum_minor": 10**15 + 1}, "minimum_minor"),
        ({"reserve_ppm": 1_000_001}, "reserve_ppm"),
        ({"reserve_days": 731}, "reserve_days"),
        ({"since": date(1999, 12, 31)}, "since"),
    ],
)
def test_terms_that_cannot_be_followed_are_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        check_terms(replace(DAILY, **changes))
    assert refused.value.field == field
    assert check_terms(DAILY) == DAILY


def test_a_week_ends_with_its_weekday() -> None:
    for number, weekday in enumerate(Weekday):
        for offset in range(7):
            first = date(2026, 1, 5) + timedelta(days=offset)  # a Monday, and the days after it
            last = period_end(weekly(weekday), first)
            assert (last.isoweekday(), (last - first).days < 7, last >= first) == (number + 1, True, True)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2026, 1, 1), date(2026, 1, 31)),
        (date(2026, 1, 31), date(2026, 1, 31)),
        (date(2026, 2, 7), date(2026, 2, 28)),
        (date(2028, 2, 29), date(2028, 2, 29)),
        (date(2026, 12, 1), date(2026, 12, 31)),
    ],
)
def test_a_month_ends_with_its_last_day(first: date, last: date) -> None:
    assert period_end(replace(DAILY, cycle=Cycle.MONTHLY), first) == last
    assert period_end(DAILY, first) == first


@pytest.mark.parametrize(
    ("kept", "ppm", "payable", "held"),
    [
        (1_000, 100_000, 5_000, 100),
        (5, 100_000, 5_000, 1),  # half a cent
        (4, 100_000, 5_000, 0),
        (1_000, 100_000, 60, 60),
        (1_000, 100_000, -60, 0),
        (-1_000, 100_000, 5_000, 0),
        (10**15, 1_000_000, 10**16, 10**15),
    ],
)
def test_a_reserve_is_rounded_half_up_and_limited(kept: int, ppm: int, payable: int, held: int) -> None:
    assert held_of(kept, ppm, payable) == held
