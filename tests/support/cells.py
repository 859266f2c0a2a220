"""In which cell a test's merchants are: in the only one, or in the second of two. It depends on the test's file.

So half of the files see a deployment with several cells, the same ones in every run. `TAEL_TEST_CELL` decides for all.
"""

import os
from pathlib import Path
from typing import Final
from zlib import crc32

from tael.db.cells import FIRST, schema_of

#: Tests about schemas and servers, which name the first cell's.
ONLY_FIRST: Final = (
    "tests/integration/db/",
    "tests/integration/bench/",
    "tests/integration/demo/",
    "tests/integration/deploy/",
    "tests/integration/cli/test_cli_after_restore.py",
    "tests/integration/cli/test_cli_audit.py",
    "tests/integration/cli/test_cli_doctor.py",
    "tests/integration/cli/test_cli_webhooks.py",
    "tests/integration/recovery/test_pgbackrest.py",
    "tests/fault/test_database_killed.py",
)
SPLIT: Final = ("tests/integration/", "tests/fault/")

_current = FIRST


def enter(path: Path, root: Path) -> None:
    """A test of this file is about to run."""
    global _current
    name = path.relative_to(root).as_posix()
    _current = _cell_of(name)


def current() -> int:
    """The number of the cell of this test's merchants."""
    return _current


def search_path() -> str:
    """The schemas that the connections of this test see: those of the directory and of its cell."""
    return f"public, {schema_of(_current)}"


def _cell_of(name: str) -> int:
    if not name.startswith(SPLIT) or name.startswith(ONLY_FIRST):
        return FIRST
    chosen = os.environ.get("TAEL_TEST_CELL")
    return int(chosen) if chosen else crc32(name.encode()) % 2
