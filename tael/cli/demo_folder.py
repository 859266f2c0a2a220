"""A demo's folder, as commands with `--data` read it: where its database is, and the key that decrypts its secrets.

The demo writes these files. Standard library only, so that reading them needs no demo and no embedded PostgreSQL.
"""

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import Final

#: Files in a demo's folder, besides the database itself.
ENCRYPTION_KEY: Final = "encryption.key"
EXTERNAL_DATABASE: Final = "database_url"
CLOCK: Final = "clock"
#: The folder of merchants' documents.
DOCUMENTS: Final = "documents"
#: The addresses of the demo's wallets: settings of its gateway, as JSON.
WALLETS: Final = "wallets.json"
#: The folder of the demo's own PostgreSQL, and two of its files.
POSTGRES: Final = "postgres"
LOCK_FILE: Final = (
    "lock"  #: held while the server runs; never removed, so that all processes lock the same file
)
URL_FILE: Final = "url"  #: exists while the server runs


class NoDemo(Exception):
    """The folder has no running demo, or cannot be read. The message is a sentence for the operator."""


def environment_in(folder: Path) -> dict[str, str]:
    """The settings that lead to the database of the demo in `folder`. Raises NoDemo."""
    if not folder.is_dir():
        raise NoDemo(f"--data: there is no folder {folder}")
    # The demo's private server comes first: the other file may be left over from an earlier demo.
    url = running_url(folder) or _kept(folder / EXTERNAL_DATABASE)
    if not url:
        raise NoDemo(f"--data: no demo is running in {folder}; `tael demo --data {folder}` starts one")
    if not _kept(folder / ENCRYPTION_KEY):
        raise NoDemo(f"--data: {folder / ENCRYPTION_KEY} is missing; the keys cannot be decrypted")
    found = {"TAEL_DATABASE_URL": url, "TAEL_ENCRYPTION_KEY_FILE": str((folder / ENCRYPTION_KEY).absolute())}
    if (folder / CLOCK).exists():
        found["TAEL_CLOCK_FILE"] = str(folder / CLOCK)
    if (folder / DOCUMENTS).is_dir():
        found["TAEL_DOCUMENTS"] = str((folder / DOCUMENTS).absolute())
    wallets: dict[str, str] = json.loads(_kept(folder / WALLETS) or "{}")
    return found | wallets


def running_url(folder: Path) -> str | None:
    """The URL of the server that a process runs on the data in `folder`, or None if there is none (yet)."""
    keep = folder.absolute() / POSTGRES
    try:
        lock = os.open(keep / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise NoDemo(f"{folder} belongs to another user; only that user can use its database.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(FileNotFoundError):  # while it starts or stops
            return (keep / URL_FILE).read_text().strip()
    finally:
        os.close(lock)
    return None


def _kept(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NoDemo(f"--data: {path} cannot be read: {error.strerror}") from error
