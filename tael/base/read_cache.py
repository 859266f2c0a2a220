"""A read-through cache with a time to live, for rows that every request needs and that seldom change.

It also keeps that a row does not exist, so an unknown name costs no more than a known one. The library measures the
lifetime from the moment of insertion; here it starts before the read, so that a slow read does not prolong it. Callers
that miss a value at the same time share one read, and its error.
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


class ReadCache(Generic[Value]):
    """Values by name, each for `ttl_s` by `timer`, at most MAX_ENTRIES; the least recently used is evicted first.

    `timer` is monotonic: a wall clock that is set back would keep a revoked key valid.
    """

    def __init__(self, *, ttl_s: float = DEFAULT_TTL_S, timer: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._timer = timer
        self._entries: TLRUCache[str, _Entry[Value], float] = TLRUCache(MAX_ENTRIES, _expiry, timer)
        self._reads: dict[str, asyncio.Future[Value | None]] = {}

    async def get(self, name: str, read: Callable[[str], Awaitable[Value | None]]) -> Value | None:
        """The cached value, or what `read` returns."""
        while True:
            try:
                return self._entries[name].value
            except KeyError:
                pass
            reading = self._reads.get(name)
            if reading is None:
                return await self._read(name, read)
            await asyncio.wait((reading,))
            if not reading.cancelled():  # its caller was; another one reads
                return reading.result()

    def invalidate(self, name: str) -> None:
        """Read `name` anew next time. A read that has begun is returned to its callers but not kept."""
        self._entries.pop(name, None)
        self._reads.pop(name, None)

    async def _read(self, name: str, read: Callable[[str], Awaitable[Value | None]]) -> Value | None:
        expires_at_s = self._timer() + self._ttl_s
        reading = self._reads[name] = asyncio.get_running_loop().create_future()
        try:
            value = await read(name)
        except Exception as error:
            reading.set_exception(error)
            reading.exception()  # without waiting callers, nobody would retrieve it
            raise
        else:
            reading.set_result(value)
            if self._reads.get(name) is reading:  # not invalidated meanwhile
                self._entries[name] = _Entry(expires_at_s, value)
            return value
        finally:
            reading.cancel()  # if nothing was set, this caller was cancelled
            if self._reads.get(name) is reading:
                del self._reads[name]


def _expiry(_name: str, entry: _Entry[Value], _now_s: float) -> float:
    return entry.expires_at_s
