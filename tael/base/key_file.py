"""The file of the encryption keys, one in each line. A running process follows its changes without a restart.

A file that is missing or broken changes nothing: the keys in memory stay, and an event is logged. It is replaced as a
whole, so that no process reads half of it.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final, Protocol

import structlog

from tael.base.key_ring import BadKeys, KeyRing, read_keys

log = structlog.get_logger()

#: A process looks at most this often whether the file has changed.
LOOK_S: Final = 1.0
MAX_FILE_BYTES: Final = 4_096
NEW: Final = ".new"

#: What tells one state of the file from another.
Stamp = tuple[int, ...]


class KeySource(Protocol):
    """Where a process has its keys from."""

    def current(self) -> KeyRing: ...

    def read_again(self) -> KeyRing:
        """The keys after a look at the source, because a ciphertext names an unknown key."""
        ...


class KeyFile:
    """The keys in a file. Threads may share it. `timer` is monotonic."""

    def __init__(self, path: Path, ring: KeyRing, timer: Callable[[], float] = time.monotonic) -> None:
        """`ring` is what the file had at the start of the process."""
        self.path: Final = path
        self._ring = ring
        self._timer = timer
        self._lock = Lock()
        self._stamp: Stamp | None = None
        self._looked_at_s = float("-inf")
        self._failure = ""

    def current(self) -> KeyRing:
        """The keys as of at most `LOOK_S` ago."""
        with self._lock:
            now_s = self._timer()
            if now_s - self._looked_at_s >= LOOK_S:
                self._looked_at_s = now_s
                self._read(only_if_changed=True)
            return self._ring

    def read_again(self) -> KeyRing:
        with self._lock:
            self._looked_at_s = self._timer()
            self._read(only_if_changed=False)
            return self._ring

    def replace(self, ring: KeyRing) -> None:
        """Within `changing`: write `ring` to the file, and use it. Raises OSError."""
        replace_keys(self.path, ring)
        with self._lock:
            self._ring, self._stamp = ring, _stamp(self.path)

    def _read(self, *, only_if_changed: bool) -> None:
        try:
            stamp = _stamp(self.path)
            if only_if_changed and stamp == self._stamp:
                return
            self._stamp = stamp
            ring = read_key_file(self.path)
        except (OSError, BadKeys) as error:
            self._stamp = None  # what comes next is read, also if it is the file of before
            self._note_failure(error)
            return
        self._failure = ""
        if ring.key_ids != self._ring.key_ids:
            log.info("encryption_keys.read", key_ids=ring.key_ids)
        self._ring = ring

    def _note_failure(self, error: OSError | BadKeys) -> None:
        """Log each failure once, not once a second."""
        reason = (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
        if reason != self._failure:
            log.error("encryption_keys.unreadable", path=str(self.path), reason=reason)
        self._failure = reason


def read_key_file(path: Path) -> KeyRing:
    """Raises OSError, BadKeys."""
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise BadKeys(f"is longer than {MAX_FILE_BYTES} bytes")
    try:
        return read_keys(content.decode("ascii"), "\n")
    except UnicodeDecodeError:
        raise BadKeys("is not a text of keys") from None


def unchanged_for_s(path: Path) -> float:
    """How long ago the file was last written, in seconds. Raises OSError."""
    return time.time() - path.stat().st_mtime


@contextmanager
def changing(path: Path) -> Iterator[KeyRing]:
    """The keys, which no other command changes within the block. Raises OSError, BadKeys.

    The lock is on the folder: the file itself is replaced.
    """
    folder = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield read_key_file(path)
    finally:
        os.close(folder)


def replace_keys(path: Path, ring: KeyRing) -> None:
    """Within `changing`: replace the content at once, with the owner and mode of before. Raises OSError."""
    target = path.resolve()  # a link stays one
    before = target.stat()
    new = target.with_name(target.name + NEW)
    new.unlink(missing_ok=True)  # left by a command that was killed
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("".join(f"{key.secret.reveal()}\n" for key in ring.keys))
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), before.st_mode & 0o777)
            file.flush()
            os.fsync(file.fileno())
        new.rename(target)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _sync(folder: Path) -> None:
    """So that the new name is on the disk as well."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
