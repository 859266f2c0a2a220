"""A read-through cache with a time to live, for rows that every request needs and that seldom change.

It also keeps that a row does not exist, so an unknown name costs no more than a known one. The library measures the
lifetime from the moment of insertion; here it starts before the read, so that a slow read does not prolong it.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, NamedTuple, TypeVar

from cachetools import TLRUCache

Value = TypeVar("Value")

DEFAULT_TTL_S: Final = 1.0
MAX_ENTRIES: Final = 10_000


class _Entry(NamedTuple, Generic[Value]):
    expires_at_s: float
    value: Value | None


class ReadCache(Generic[Value]):
    """Values by name, each for `ttl_s` by `timer`, at most MAX_ENTRIES; the least recently used is evicted first.

    `timer` is monotonic: a wall clock that is set back would keep a revoked key valid.
    """

    def __init__(self, *, ttl_s: float = DEFAULT_TTL_S, timer: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._timer = timer
        self._entries: TLRUCache[str, _Entry[Value], float] = TLRUCache(MAX_ENTRIES, _expiry, timer)
        self._invalidations = 0

    async def get(self, name: str, read: Callable[[str], Awaitable[Value | None]]) -> Value | None:
        """The cached value, or what `read` returns."""
        try:
            return self._entries[name].value
        except KeyError:
            return await self._read(name, read)

    def invalidate(self, name: str) -> None:
        """Read `name` anew next time. A read that has begun is returned to its caller but not kept."""
        self._entries.pop(name, None)
        self._invalidations += 1

    async def _read(self, name: str, read: Callable[[str], Awaitable[Value | None]]) -> Value | None:
        expires_at_s, invalidations = self._timer() + self._ttl_s, self._invalidations
        value = await read(name)
        if invalidations == self._invalidations:
            self._entries[name] = _Entry(expires_at_s, value)
        return value


def _expiry(_name: str, entry: _Entry[Value], _now_s: float) -> float:
    return entry.expires_at_s
