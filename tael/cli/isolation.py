"""Keeps the caller's environment out of a demo: deployment settings, libpq's variables and proxies.

They could lead the demo's processes to a real database or away from loopback. Standard library only: the test
fixtures import this module.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

DROPPED_PREFIXES: Final = ("TAEL_", "PG")
#: In lower case; curl and Python read them in either case.
PROXY_VARIABLES: Final = frozenset(
    f"{scheme}_proxy" for scheme in ("all", "ftp", "http", "https", "no", "socks", "ws", "wss")
)


def without_callers(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without `TAEL_*`, `PG*` and proxies."""
    return {name: value for name, value in environment.items() if not _is_dropped(name)}


@contextmanager
def isolated() -> Iterator[None]:
    """The same for this process's own environment within the block: database drivers and HTTP clients read it."""
    dropped = {name: value for name, value in os.environ.items() if _is_dropped(name)}
    for name in dropped:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(dropped)


def _is_dropped(name: str) -> bool:
    return name.startswith(DROPPED_PREFIXES) or name.lower() in PROXY_VARIABLES
