"""Days in Beijing by the sandbox's clock: what time it is there, and moving on to a later one."""

from datetime import datetime, timedelta, timezone

from tests.sandbox.conftest import Sandbox

BEIJING = timezone(timedelta(hours=8))


def beijing_now(sandbox: Sandbox) -> datetime:
    return datetime.fromisoformat(sandbox.control("GET", "clock")["now"]).astimezone(BEIJING)


def move_to(sandbox: Sandbox, hour: int, minute: int = 0, *, weekday: int | None = None) -> datetime:
    """On to the next time that the clock shows this, at most a day, or on that weekday a week, away.

    Monday is 1. A second more, so that the clock never stands a moment before the hour.
    """
    now = beijing_now(sandbox)
    then = now.replace(hour=hour, minute=minute, second=1, microsecond=0)
    while then <= now or weekday not in (None, then.isoweekday()):
        then += timedelta(days=1)
    sandbox.advance((then - now).total_seconds())
    return then


def compact(at: datetime, days: int = 0) -> str:
    """`yyyyMMdd`, so many days later."""
    return f"{at + timedelta(days=days):%Y%m%d}"
