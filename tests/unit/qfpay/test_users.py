"""/user/v1 in QFPay's terms."""

from datetime import UTC, datetime

import pytest

from tael.qfpay.users import months_ago


@pytest.mark.parametrize(
    ("now", "start"),
    [
        ("2026-11-29T14:00", "2026-08-29"),
        ("2026-05-31T00:00", "2026-02-28"),
        ("2024-05-31T00:00", "2024-02-29"),
        ("2026-01-15T15:59", "2025-10-15"),
        ("2026-01-15T16:00", "2025-10-16"),  # the next day in UTC+8
        ("2026-03-31T16:00", "2026-01-01"),
    ],
)
def test_three_months_ago_is_the_same_day_or_the_last_of_its_month(now: str, start: str) -> None:
    at = months_ago(datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert (at.strftime("%Y-%m-%d %H:%M:%S"), at.utcoffset()) == (f"{start} 00:00:00", at.utcoffset())
    assert str(at.utcoffset()) == "8:00:00"
