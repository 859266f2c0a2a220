"""Time limits of orders: a number of minutes, hours or days up to 15 days, or until midnight in Beijing."""

import re
from datetime import datetime, timedelta
from typing import Final

from tael_sandbox import statements
from tael_sandbox.alipay.checks import Parameters

UNTIL_MIDNIGHT: Final = "1c"
MAX_DURATION: Final = timedelta(days=15)
_DURATION: Final = re.compile("([1-9][0-9]{0,4})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def read_duration(parameters: Parameters, name: str, default: str) -> str:
    """Raises Refused."""
    text = parameters.fields.get(name, default)
    if text != UNTIL_MIDNIGHT and span_of(text) is None:
        raise parameters.refuse()
    return text


def end_of(duration: str, now: datetime) -> datetime:
    """`duration` was read before."""
    if duration == UNTIL_MIDNIGHT:
        return statements.start_of(statements.day_of(now) + statements.ONE_DAY)
    span = span_of(duration)
    assert span is not None
    return now + span


def span_of(text: str) -> timedelta | None:
    """None for anything but a number and a unit, and for more than 15 days."""
    parts = _DURATION.fullmatch(text)
    span = timedelta(**{_UNITS[parts[2]]: int(parts[1])}) if parts is not None else None
    return span if span is not None and span <= MAX_DURATION else None
