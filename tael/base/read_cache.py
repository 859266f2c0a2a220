"""A read-through cache with a time to live, for rows that every request needs and that seldom change.

It also keeps that a row does not exist, so an unknown name costs no more than a known one. The library measures the
lifetime from the moment of insertion; here it starts before the read, so that a slow read does not prolong it. Callers
that need the same value at the same time share one read and its result or error. A value in use is read again in the
background shortly before its lifetime ends, so that no caller waits for it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Final, Generic, NamedTuple, TypeVar

from cachetools import TLRUCache

Value = TypeVar("Value")

DEFAULT_TTL_S: Final = 1.0
MAX_ENTRIES: Final = 10_000
#: After this part of its lifetime a value that is used is read again.
REFRESH_AFTER: Final = 0.75


class _Entry(NamedTuple, Generic[Value]):
    refresh_at_s: float
    expires_at_s: float
    value: Value | None


class _Reading(NamedTuple, Generic[Value]):
    """A read that has begun, and until when its value may be used."""

    began_at_s: float
    expires_at_s: float
    invalidations: int
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
        self._refreshes: set[asyncio.Task[Value | None]] = set()
        self._invalidations = 0

    async def get(self, name: str, read: Callable[[str], Awaitable[Value | None]]) -> Value | None:
        """The cached value, or what `read` returns."""
        while True:
            now_s, reading = self._timer(), self._readings.get(name)
            try:
                entry = self._entries[name]
            except KeyError:
                pass
            else:
                if entry.refresh_at_s <= now_s and reading is None:
                    self._refresh(name, read)
                return entry.value
            if reading is None or reading.expires_at_s <= now_s:
                return await self._read(name, self._begin(name), read)
            await asyncio.wait((reading.value,))
            if not reading.value.cancelled():
                return reading.value.result()

    def invalidate(self, name: str) -> None:
        """Read `name` anew next time. A read that has begun is returned to its callers but not kept."""
        self._entries.pop(name, None)
        self._readings.pop(name, None)
        self._invalidations += 1

    def _begin(self, name: str) -> _Reading[Value]:
        now_s, future = self._timer(), asyncio.get_running_loop().create_future()
        reading = self._readings[name] = _Reading(now_s, now_s + self._ttl_s, self._invalidations, future)
        return reading

    def _refresh(self, name: str, read: Callable[[str], Awaitable[Value | None]]) -> None:
        """Read `name` for later callers. If that fails, the value is used until it expires."""
        # In a context of its own: it is not part of one caller's time for the database.
        reading = self._read(name, self._begin(name), read)
        task = asyncio.get_running_loop().create_task(reading, context=Context())
        self._refreshes.add(task)
        task.add_done_callback(self._note_refreshed)

    def _note_refreshed(self, task: "asyncio.Task[Value | None]") -> None:
        self._refreshes.discard(task)
        if not task.cancelled():
            task.exception()  # or it would be logged as one that nobody has seen

    async def _read(
        self, name: str, reading: _Reading[Value], read: Callable[[str], Awaitable[Value | None]]
    ) -> Value | None:
        """Read `name`; others that need it meanwhile wait. If this caller is cancelled, one of them reads."""
        try:
            value = await read(name)
            reading.value.set_result(value)
        except Exception as error:
            reading.value.set_exception(error)
            reading.value.exception()  # there may be no other caller
            raise
        finally:
            reading.value.cancel()  # without effect if there is a result
            if self._readings.get(name) is reading:
                del self._readings[name]
        if reading.invalidations == self._invalidations:
            refresh_at_s = reading.began_at_s + self._ttl_s * REFRESH_AFTER
            self._entries[name] = _Entry(refresh_at_s, reading.expires_at_s, value)
        return value


def _expiry(_name: str, entry: _Entry[Value], _now_s: float) -> float:
    return entry.expires_at_s
