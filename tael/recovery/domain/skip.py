"""How far sequence numbers skip ahead after a restore, so that none of a day is used twice. Pure.

A syssn is a day, a node and a sequence. Sequences are a circle of 10^10: those that were given after the recovery point
lie ahead of the restored one, those that were given before it on the same day lie behind it. The skip is half of the
circle, so there is room for 300 million lost numbers, even if each step is as long as it can be.

For a second restore on one day there are two cases. If its recovery point is after the first restore, the skip is half
as long, since a whole circle would end where it began. If it is before, nothing is known of the first one: the skip
grows by up to an eighth of the circle in the course of the day, so that numbers do not begin where they did then.
"""

from datetime import datetime
from typing import Final

from tael.base.moments import UTC8
from tael.base.serial import SEQUENCES

DAY_S: Final = 86_400


def day_begins(now: datetime) -> datetime:
    """The beginning of the day of the numbers that are given at `now`, which is in UTC+8."""
    return now.astimezone(UTC8).replace(hour=0, minute=0, second=0, microsecond=0)


def skip_at(now: datetime, earlier: int) -> int:
    """The number of sequences that a restore at `now` (UTC) leaves out.

    `earlier` restores of the same day are known in the database, and have left out theirs.
    """
    seconds = (now - day_begins(now)).seconds
    return (SEQUENCES // 2 + SEQUENCES // 8 * seconds // DAY_S) >> earlier
