"""A read-through cache with a time to live, for rows that every request needs and that seldom change.

It also keeps that a row does not exist, so an unknown name costs no more than a known one. The library measures the
lifetime from the moment of insertion; here it starts before the read, so that a slow read does not prolong it. Callers
that need the same value at the same time share one read and its result or error.
"""

import asyncio
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


class _Reading(NamedTuple, Generic[Value]):
    """A read that has begun, and until when its value may be used."""

    expires_at_s: float
    value: "asyncio.Future[Value | None]"


class ReadCache(Generic[Value]):
    """Values by name, each for `ttl_s` by `timer`, at most MAX_ENTRIES; the least recently used is evicted first.

    `timer` is monotonic: a wall clock that is set back would keep a revoked key valid.
    """

    def __init__(self, *, ttl_s: float = DEFAULT_TTL_S, timer: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._timer = timer
        self._entries: TLRUCache[str, _Entry[Value], float] = TLRUCache(MAX_ENTRIES, _expiry, timer)
        self._readings: dict[str, _Reading[Value]] = {}
        self._invalidations = 0

    async def get(self, name: str, read: Callable[[str], Awaitable[Value | None]]) -> Value | None:
        """The cached value, or what `read` returns."""
        while True:
            try:
                return self._entries[name].value
            except KeyError:
                reading = self._readings.get(name)
            if reading is None or reading.expires_at_s <= self._timer():
                return await self._read_alone(name, read)
            await asyncio.wait((reading.value,))
            if not reading.value.cancelled():
                return reading.value.result()

    def invalidate(self, name: str) -> None:
        """Read `name` anew next time. A read that has begun is returned to its callers but not kept."""
        self._entries.pop(name, None)
        self._readings.pop(name, None)
        self._invalidations += 1

    async def _read_alone(self, name: str, read: Callable[[str], Awaitable[Value | None]]) -> Value | None:
        """Read `name`; others that need it meanwhile wait. If this caller is cancelled, one of them reads."""
        expires_at_s, invalidations = self._timer() + self._ttl_s, self._invalidations
        result: asyncio.Future[Value | None] = asyncio.get_running_loop().create_future()
        reading = self._readings[name] = _Reading(expires_at_s, result)
        try:
            value = await read(name)
            result.set_result(value)
        except Exception as error:
            result.set_exception(error)
            result.exception()  # there may be no other caller
            raise
        finally:
            result.cancel()  # without effect if there is a result
            if self._readings.get(name) is reading:
                del self._readings[name]
        if invalidations == self._invalidations:
            self._entries[name] = _Entry(expires_at_s, value)
        return value


def _expiry(_name: str, entry: _Entry[Value], _now_s: float) -> float:
    return entry.expires_at_s
