"""One line for "the database cannot serve", however many callers meet it at once."""

import time
from typing import Final

import structlog

from tael.db.database import StoreUnavailable

log = structlog.get_logger()

#: Of the same reason and place, one line in this time; the next says how many were left out.
LOG_INTERVAL_S: Final = 1.0
MAX_KINDS: Final = 100

_logged: dict[tuple[str, ...], tuple[float, int]] = {}


def log_unavailable(error: StoreUnavailable, **place: str) -> None:
    """Warn `store.unavailable` with its short reason, at most once a second for the same reason and place."""
    kind = (str(error), *place.values())
    now = time.monotonic()
    at, omitted = _logged.get(kind, (now - LOG_INTERVAL_S, 0))
    if now - at < LOG_INTERVAL_S:
        _logged[kind] = at, omitted + 1
        return
    if len(_logged) >= MAX_KINDS:
        _logged.clear()
    _logged[kind] = now, 0
    log.warning("store.unavailable", reason=str(error), omitted=omitted, **place)
