"""Ledger digests: what a day's digest covers, the day of an instant, and when a day may be closed."""

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pytest

from tael.ledger.domain.digest import (
    NO_DIGEST,
    DigestBuilder,
    Line,
    beginning_of,
    canonical,
    day_of,
    first_open_day,
    next_close,
)

DAY: Final = date(2026, 1, 2)
AT: Final = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
LINE: Final = Line("mch1", "cause", "payment", "wallet:HKD:a", "merchant:HKD:mch1", 100, "HKD", AT)


def digest(*lines: Line, mchid: str = "mch1", day: date = DAY, previous: str = NO_DIGEST) -> str:
    made = DigestBuilder(mchid, day, previous)
    for line in lines:
        made.add(line)
    assert made.entries == len(lines)
    return made.hexdigest()


def test_the_digested_bytes_of_a_day_are_as_documented() -> None:
    # The documented format, for checking a digest without tael.
    expected = (
        b"20:tael ledger digest 1,0:,4:mch1,10:2026-01-02,"
        b"4:mch1,5:cause,7:payment,12:wallet:HKD:a,17:merchant:HKD:mch1,3:100,3:HKD,"
        b"32:2026-01-02T03:04:05.000006+00:00,"
    )
    assert digest(LINE) == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        {"mchid": "mch2"},
        {"cause": "causf"},
        {"kind": "paymenu"},
        {"debit": "wallet:HKD:b"},
        {"credit": "merchant:HKD:mch2"},
        {"amount_minor": 101},
        {"currency": "HKE"},
        {"at": AT + timedelta(microseconds=1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_column_of_a_line_is_in_the_digest(change: dict[str, Any]) -> None:
    assert digest(replace(LINE, **change)) != digest(LINE)


def test_the_day_the_merchant_the_previous_digest_and_the_order_are_in_the_digest() -> None:
    other = replace(LINE, cause="other")
    made = [
        digest(LINE),
        digest(LINE, day=DAY + timedelta(days=1)),
        digest(LINE, mchid="mch2"),
        digest(LINE, previous="0" * 64),
        digest(LINE, LINE),
        digest(LINE, other),
        digest(other, LINE),
        digest(),
    ]
    assert len(set(made)) == len(made)


def test_text_of_one_field_cannot_move_into_the_next() -> None:
    assert canonical("ab", "c") != canonical("a", "bc")
    assert canonical("a", "") != canonical("a")
    assert canonical("a,1:b") != canonical("a", "b")


def test_the_zone_in_which_an_instant_is_written_does_not_matter() -> None:
    assert digest(replace(LINE, at=AT.astimezone(beginning_of(DAY).tzinfo))) == digest(LINE)


@pytest.mark.parametrize(
    ("hour", "day"), [(0, date(2026, 1, 2)), (15, date(2026, 1, 2)), (16, date(2026, 1, 3))]
)
def test_days_are_those_of_utc8(hour: int, day: date) -> None:
    assert day_of(datetime(2026, 1, 2, hour, tzinfo=UTC)) == day


def test_a_day_starts_where_the_previous_one_ends() -> None:
    begin = beginning_of(DAY)
    assert begin == datetime(2026, 1, 1, 16, tzinfo=UTC)
    assert day_of(begin) == DAY
    assert day_of(begin - timedelta(microseconds=1)) == DAY - timedelta(days=1)


def test_a_day_stays_open_for_an_hour_after_its_end() -> None:
    sealable = beginning_of(DAY + timedelta(days=1)) + timedelta(hours=1)
    just_before = sealable - timedelta(microseconds=1)
    assert first_open_day(just_before) == DAY
    assert next_close(just_before) == sealable
    assert first_open_day(sealable) == DAY + timedelta(days=1)
    assert next_close(sealable) == sealable + timedelta(days=1)
