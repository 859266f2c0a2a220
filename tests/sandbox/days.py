"""Beijing time by the sandbox's clock: reads it, and moves the clock to a later time."""

from datetime import datetime, timedelta, timezone

from tests.sandbox.conftest import Sandbox

BEIJING = timezone(timedelta(hours=8))


def beijing_now(sandbox: Sandbox) -> datetime:
    return datetime.fromisoformat(sandbox.control("GET", "clock")["now"]).astimezone(BEIJING)


def move_to(sandbox: Sandbox, hour: int, minute: int = 0, *, weekday: int | None = None) -> datetime:
    """Moves the clock to the next time of day, or to the next one on a weekday (Monday is 1). Returns the new time.

    One second later, so that the clock is never slightly before the hour.
    """
    now = beijing_now(sandbox)
    then = now.replace(hour=hour, minute=minute, second=1, microsecond=0)
    while then <= now or weekday not in (None, then.isoweekday()):
        then += timedelta(days=1)
    sandbox.advance((then - now).total_seconds())
    return then


def compact(at: datetime, days: int = 0) -> str:
    """`yyyyMMdd`, this number of days later."""
    return f"{at + timedelta(days=days):%Y%m%d}"
