"""The sandbox's time: the real clock plus an offset that only grows, stored in a file of eight bytes.

Every process that maps the file sees a change at once, and the offset survives a restart. The file holds one signed
little-endian 64-bit integer: the offset in microseconds.
"""

import mmap
import os
import struct
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final

BEIJING: Final = timezone(timedelta(hours=8))
MAX_OFFSET: Final = timedelta(days=365 * 50)
_OFFSET: Final = struct.Struct("<q")
_MICROSECOND: Final = timedelta(microseconds=1)


def bjt(at: datetime) -> datetime:
    """The same instant in Beijing time, which both wallets print."""
    return at.astimezone(BEIJING)


def from_stamp(stamp: float) -> datetime:
    """Converts an instant of the books, which store seconds since 1970 as REAL."""
    return datetime.fromtimestamp(stamp, UTC)


class Clock:
    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if os.fstat(descriptor).st_size < _OFFSET.size:
                os.pwrite(descriptor, _OFFSET.pack(0), 0)
            self._map = mmap.mmap(descriptor, _OFFSET.size)
        finally:
            os.close(descriptor)

    @property
    def offset(self) -> timedelta:
        offset_us: int = _OFFSET.unpack_from(self._map)[0]
        return timedelta(microseconds=offset_us)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def advance(self, seconds: float) -> datetime:
        """Moves the clock forward and returns the new time. Raises ValueError for a move back or past the limit."""
        if not 0 <= seconds <= MAX_OFFSET.total_seconds():  # also false for NaN
            raise ValueError("the clock moves forward only, by at most 50 years")
        offset = self.offset + timedelta(seconds=seconds)
        if offset > MAX_OFFSET:
            raise ValueError("the clock is at most 50 years ahead of real time")
        _OFFSET.pack_into(self._map, 0, offset // _MICROSECOND)
        self._map.flush()
        return self.now()
