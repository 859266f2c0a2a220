"""Logs an unavailable database once, however many callers are affected."""

import time
from typing import Final

import structlog
from cachetools import LRUCache

from tael.db.database import StoreUnavailable

log = structlog.get_logger()

#: Per reason and place one line in this time; the next line has the number of omitted ones.
LOG_INTERVAL_S: Final = 1.0
MAX_KINDS: Final = 100

#: When each kind was logged and how many lines were left out since; the kind that was quiet longest is dropped first.
_logged: LRUCache[tuple[str, ...], tuple[float, int]] = LRUCache(MAX_KINDS)


def log_unavailable(error: StoreUnavailable, **place: str) -> None:
    """Warn `store.unavailable` with its short reason, at most once a second for the same reason and place."""
    kind = (str(error), *place.values())
    now = time.monotonic()
    at, omitted = _logged.get(kind, (now - LOG_INTERVAL_S, 0))
    if now - at < LOG_INTERVAL_S:
        _logged[kind] = at, omitted + 1
        return
    _logged[kind] = now, 0
    log.warning("store.unavailable", reason=str(error), omitted=omitted, **place)
