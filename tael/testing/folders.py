"""Where an instance keeps its files: a folder in memory if there is room, removed at its end.

Each folder is locked while its instance lives, so whatever a machine's sudden death left behind is recognised and
removed at the next start.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PREFIX: Final = "tael-testing-"
LOCK: Final = "lock"
#: A database is a thousand files, and some disks take a millisecond for each; this place is memory.
MEMORY: Final = Path("/dev/shm")  # noqa: S108  # the folder is made by mkdtemp
MEMORY_WANTED_BYTES: Final = 1 << 30
#: A younger folder may not have been locked by its maker yet.
LEFT_AFTER_S: Final = 60.0


@contextmanager
def new_folder() -> Iterator[Path]:
    """A folder that any user may enter, since root's PostgreSQL runs as another; gone afterwards."""
    place = _quick_place()
    _remove_left(place)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        folder.chmod(0o711)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _quick_place() -> Path:
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_WANTED_BYTES:
        return MEMORY
    return Path(tempfile.gettempdir())


def _remove_left(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or just being removed by its owner
            made = folder.stat()
            if made.st_uid == os.geteuid() and time.time() - made.st_mtime > LEFT_AFTER_S:
                _remove_if_unlocked(folder)


def _remove_if_unlocked(folder: Path) -> None:
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
