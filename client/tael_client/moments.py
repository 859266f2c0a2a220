"""Times: aware datetimes in Python, `YYYY-MM-DD HH:MM:SS` in UTC+8 on the wire."""

from datetime import datetime, timedelta, timezone
from typing import Final

#: China and Hong Kong, without daylight saving. The API uses no other time zone.
UTC8: Final = timezone(timedelta(hours=8), "UTC+8")

FORM: Final = "%Y-%m-%d %H:%M:%S"


def wire_text(at: datetime) -> str:
    """`at` in the API's format, to the second. Raises ValueError for a naive datetime."""
    if at.tzinfo is None:
        raise ValueError("the datetime must be aware: it has no time zone")
    return at.astimezone(UTC8).strftime(FORM)


def read_moment(text: str) -> datetime:
    """The instant written in `text`. Raises ValueError."""
    return datetime.strptime(text, FORM).replace(tzinfo=UTC8)


def moment_or_none(text: str) -> datetime | None:
    """The instant, or None for text in another form: `txdtm` is free text of the sender."""
    try:
        return read_moment(text)
    except ValueError:
        return None


def start_of_month(at: datetime) -> datetime:
    """Midnight in UTC+8 on the first day of the month of `at`."""
    return at.astimezone(UTC8).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def end_of_month(at: datetime) -> datetime:
    """The last second in UTC+8 of the month of `at`."""
    start = start_of_month(at)
    return start_of_month(start + timedelta(days=31)) - timedelta(seconds=1)


def months_within(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """The range split into months of UTC+8, newest first; both ends are included.

    A query never spans two months. Raises ValueError if `since` is after `until`.
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
    """The month of a syssn, by the date with which it begins; None if it does not begin with a date."""
    try:
        day = datetime.strptime(syssn[:8], "%Y%m%d").replace(tzinfo=UTC8)
    except ValueError:
        return None
    return start_of_month(day), end_of_month(day)
