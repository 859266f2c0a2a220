"""Keeps the caller's environment out of a demo: settings of a deployment, libpq's variables and proxies.

Exported for other work, they would lead the demo's processes to a real database or away from the loopback. The
standard library only, since the test fixtures start from here.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

DROPPED_PREFIXES: Final = ("TAEL_", "PG")
#: In either case, as curl and Python read them.
PROXY_VARIABLES: Final = frozenset(
    f"{scheme}_proxy" for scheme in ("all", "ftp", "http", "https", "no", "socks", "ws", "wss")
)


def without_callers(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without `TAEL_*`, `PG*` and proxies."""
    return {name: value for name, value in environment.items() if not _is_dropped(name)}


@contextmanager
def isolated() -> Iterator[None]:
    """This process's own environment likewise, until the block ends: database drivers and HTTP clients read it."""
    dropped = {name: value for name, value in os.environ.items() if _is_dropped(name)}
    for name in dropped:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(dropped)


def _is_dropped(name: str) -> bool:
    return name.startswith(DROPPED_PREFIXES) or name.lower() in PROXY_VARIABLES
