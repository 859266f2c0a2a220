"""The memory of long-running processes: garbage collection, and huge pages.

To be used once, after a process has built what it keeps and before it serves.
"""

import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: Of the three generations: new objects, collections of the first, collections of the second. Cycles of so many objects
#: take about 10 MB.
THRESHOLDS: Final = (100_000, 20, 50)
#: Of x86-64, and of 64-bit Arm with its usual pages.
HUGE_PAGE_BYTES: Final = 2 * 1024 * 1024
#: man madvise; since Linux 6.1, whether or not the system uses huge pages by itself.
MADV_COLLAPSE: Final = 25
_libc: Final = ctypes.CDLL(None)


def collect_rarely() -> None:
    """Exempt all that was built so far from garbage collection, and collect what comes later less often.

    A payment leaves no cycles. With Python's thresholds, collections would stop all requests of a process for
    milliseconds, many times a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def use_huge_pages() -> None:
    """Move the memory that is used now to huge pages, if the kernel can do that. A forked process then shares less.

    A payment touches objects in more pages than a processor keeps the addresses of, and in a virtual machine each
    address has to be looked up in two tables.
    """
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:  # not Linux
        return
    for start, end in _private_memory(maps):
        first = -(-start // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
        for block in range(first, end - HUGE_PAGE_BYTES + 1, HUGE_PAGE_BYTES):
            # An error, of an older kernel or for want of free memory, leaves everything as it was.
            _libc.madvise(ctypes.c_void_p(block), ctypes.c_size_t(HUGE_PAGE_BYTES), MADV_COLLAPSE)


def _private_memory(maps: str) -> Iterator[tuple[int, int]]:
    """First and last address of the heap and of memory without a file, as in /proc/PID/maps: man proc_pid_maps."""
    for line in maps.splitlines():
        addresses, permissions, _, _, _, *name = line.split(maxsplit=5)
        if permissions == "rw-p" and (not name or name == ["[heap]"]):
            start, end = addresses.split("-")
            yield int(start, 16), int(end, 16)
