"""The only source of time: code takes a `Clock`, and SQL never uses the server's clock.

`DemoClock` adds an offset that the sandbox writes to a file, so that wallets and gateway share one time.
"""

import mmap
import os
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

OFFSET: Final = struct.Struct("<q")


class Clock(Protocol):
    """Returns the current time as an aware datetime in UTC."""

    def now(self) -> datetime: ...


class RealClock:
    """The system clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class DemoClock:
    """The system clock plus the offset (microseconds, eight bytes, little endian) in a mapped file."""

    def __init__(self, path: Path) -> None:
        if not path.exists() or path.stat().st_size < OFFSET.size:
            path.write_bytes(OFFSET.pack(0))
        descriptor = os.open(path, os.O_RDONLY)
        try:
            self._offset = mmap.mmap(descriptor, OFFSET.size, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)

    def now(self) -> datetime:
        (offset_us,) = OFFSET.unpack(self._offset[: OFFSET.size])
        return datetime.now(UTC) + timedelta(microseconds=offset_us)
