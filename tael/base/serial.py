"""Our transaction numbers: a syssn is 24 digits, and its first eight are the day in UTC+8.

`YYYYMMDD` + node (2) + cell (2) + class (2, always 99) + sequence (10). Merchants derive a query's time range from the
day, so it comes from the same instant as `sysdtm`.
"""

from datetime import datetime
from typing import Final

from tael.base.moments import UTC8

CLASS: Final = "99"
SEQUENCE_DIGITS: Final = 10
SEQUENCES: Final = 10**SEQUENCE_DIGITS
SYSSN_DIGITS: Final = 24
#: Where its digits are.
CELL: Final = slice(10, 12)


def syssn(at: datetime, node: int, sequence: int, cell: int = 0) -> str:
    """The number of a transaction created at `at` (UTC) by process group `node` (0 to 99) in a cell (0 to 99)."""
    day = at.astimezone(UTC8)
    date = f"{day.year}{day.month:02d}{day.day:02d}"
    return f"{date}{node:02d}{cell:02d}{CLASS}{sequence % SEQUENCES:0{SEQUENCE_DIGITS}d}"


def cell_of(number: str) -> int | None:
    """The cell of a syssn, or of another number of that form; None for any other text."""
    if len(number) != SYSSN_DIGITS or not number.isascii() or not number.isdigit():
        return None
    return int(number[CELL])
