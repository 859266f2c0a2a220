"""Times: aware datetimes in the program, `YYYY-MM-DD HH:MM:SS` in UTC+8 on the wire."""

from datetime import datetime, timedelta, timezone
from typing import Final

#: China and Hong Kong, without daylight saving. The API has no other zone.
UTC8: Final = timezone(timedelta(hours=8), "UTC+8")

FORM: Final = "%Y-%m-%d %H:%M:%S"


def wire_text(at: datetime) -> str:
    """`at` to the second, as the API writes it. Raises ValueError for a naive datetime."""
    if at.tzinfo is None:
        raise ValueError("a time must know its zone; give an aware datetime")
    return at.astimezone(UTC8).strftime(FORM)


def read_moment(text: str) -> datetime:
    """The instant that `text` is. Raises ValueError."""
    return datetime.strptime(text, FORM).replace(tzinfo=UTC8)


def moment_or_none(text: str) -> datetime | None:
    """The instant, or None for text that is no time: `txdtm` is whatever somebody's clock wrote."""
    try:
        return read_moment(text)
    except ValueError:
        return None


def start_of_month(at: datetime) -> datetime:
    """Midnight of the 1st, in UTC+8, of the month that `at` is in."""
    return at.astimezone(UTC8).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def end_of_month(at: datetime) -> datetime:
    """The last second of the month, in UTC+8, that `at` is in."""
    start = start_of_month(at)
    return start_of_month(start + timedelta(days=31)) - timedelta(seconds=1)


def months_within(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """The range, both ends included, cut at the ends of months, the newest piece first.

    A query never spans two months of UTC+8. Raises ValueError if there is nothing between the ends.
    """
    wire_text(since)
    if since > until:
        raise ValueError("since must not be after until")
    pieces = []
    while start_of_month(until) > since:
        pieces.append((start_of_month(until), until))
        until = start_of_month(until) - timedelta(seconds=1)
    return [*pieces, (since, until)]


def month_of_number(syssn: str) -> tuple[datetime, datetime] | None:
    """The month that a server's number is of, by the date it begins with; None if it begins with none."""
    try:
        day = datetime.strptime(syssn[:8], "%Y%m%d").replace(tzinfo=UTC8)
    except ValueError:
        return None
    return start_of_month(day), end_of_month(day)
