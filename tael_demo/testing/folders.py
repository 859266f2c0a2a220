"""The folder of an instance: in memory if there is room, removed at the end.

A folder is locked while its instance runs. Folders left behind by a crash are not locked and are removed at the next
start.
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
#: A database has a thousand files, and some disks take a millisecond for each; this folder is in memory.
MEMORY: Final = Path("/dev/shm")  # noqa: S108  # the folder is made by mkdtemp
MIN_MEMORY_BYTES: Final = 1 << 30
#: The creator of a younger folder may not have locked it yet.
LEFT_AFTER_S: Final = 60.0


@contextmanager
def new_folder() -> Iterator[Path]:
    """A temporary folder that any user can enter: PostgreSQL does not run as root. Removed afterwards."""
    parent = _fastest_parent()
    _remove_left(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        folder.chmod(0o711)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _fastest_parent() -> Path:
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MIN_MEMORY_BYTES:
        return MEMORY
    return Path(tempfile.gettempdir())


def _remove_left(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's folder, or its owner is removing it
            status = folder.stat()
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > LEFT_AFTER_S:
                _remove_if_unlocked(folder)


def _remove_if_unlocked(folder: Path) -> None:
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
