"""Our transaction numbers: a syssn is 24 digits, and its first eight are the day in UTC+8.

`YYYYMMDD` + node (2) + shard (2) + class (2, always 99) + sequence (10). Merchants derive a query's time range from the
day, so it comes from the same instant as `sysdtm`.
"""

from datetime import datetime
from typing import Final

from tael.base.moments import UTC8

SHARD: Final = "00"  #: reserved for the merchant's shard; there is one so far
CLASS: Final = "99"
SEQUENCE_DIGITS: Final = 10
SEQUENCES: Final = 10**SEQUENCE_DIGITS
SYSSN_DIGITS: Final = 24


def syssn(at: datetime, node: int, sequence: int) -> str:
    """The number of a transaction created at `at` (UTC) by process group `node` (0 to 99)."""
    day = at.astimezone(UTC8)
    return f"{day.year}{day.month:02d}{day.day:02d}{node:02d}{SHARD}{CLASS}{sequence % SEQUENCES:0{SEQUENCE_DIGITS}d}"
