"""The numbers we give: a syssn is 24 digits, and its first eight are the day in UTC+8.

`YYYYMMDD` + node (2) + shard (2) + class (2, always 99) + sequence (10). Merchants cut the day out of it to build the
range of a query, so it comes from the same instant as `sysdtm`.
"""

from datetime import datetime
from typing import Final

from tael.base.moments import UTC8

SHARD: Final = "00"  #: of the merchant, once there are several
CLASS: Final = "99"
SEQUENCE_DIGITS: Final = 10
SEQUENCES: Final = 10**SEQUENCE_DIGITS
SYSSN_DIGITS: Final = 24


def syssn(at: datetime, node: int, sequence: int) -> str:
    """The number for something that was intended at `at` (UTC), by process group `node` (0 to 99)."""
    day = at.astimezone(UTC8).strftime("%Y%m%d")
    return f"{day}{node:02d}{SHARD}{CLASS}{sequence % SEQUENCES:0{SEQUENCE_DIGITS}d}"
