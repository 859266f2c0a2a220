"""The only time. Code that needs the hour is given a `Clock`; SQL never asks the server's.

`DemoClock` adds an offset that the sandbox writes into a file, so wallets and gateway move together.
"""

import mmap
import os
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

OFFSET: Final = struct.Struct("<q")


class Clock(Protocol):
    """Tells the time as an aware datetime in UTC."""

    def now(self) -> datetime: ...


class RealClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class DemoClock:
    """The machine's clock plus the offset (microseconds, eight bytes, little endian) in a mapped file."""

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
