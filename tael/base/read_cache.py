"""A read-through cache with a time to live, for rows that every request needs and that seldom change.

It also keeps that a row does not exist, so an unknown name costs no more than a known one. The lifetime starts before
the read, so that a slow read does not prolong it. Callers that need the same value at the same time share one read and
its result or error. A value in use is read again in the background shortly before its lifetime ends, so that no caller
waits for it.

If a value cannot be read again, it may be used for longer: a stale value, as in HTTP's `stale-if-error` (RFC 5861).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Final, Generic, NamedTuple, TypeVar

Value = TypeVar("Value")

#: Seconds of a monotonic clock.
TIMER: Final[Callable[[], float]] = time.monotonic
DEFAULT_TTL_S: Final = 1.0
MAX_ENTRIES: Final = 10_000
#: After this part of its lifetime a value that is used is read again.
REFRESH_AFTER: Final = 0.75
#: How often a stale value is read again while the rows are unavailable.
RETRY_S: Final = 1.0


class _Entry(NamedTuple, Generic[Value]):
    refresh_at_s: float
    expires_at_s: float
    value: Value | None
    has_failed: bool = False  #: the last attempt to read it again raised `unavailable`


class _Reading(NamedTuple, Generic[Value]):
    """A read that has begun, and until when its value may be used."""

    began_at_s: float
    expires_at_s: float
    invalidations: int
    value: "asyncio.Future[Value | None]"


class _NothingRaised(Exception):
    """No read raises this."""


class ReadCache(Generic[Value]):
    """Values by name, each for `ttl_s` by `timer`, at most MAX_ENTRIES; the least recently used is evicted first.

    `timer` is monotonic: a wall clock that is set back would keep a revoked key valid. A value whose
    next read raises `unavailable` is used for `stale_s` more; until a read of it succeeds, no caller waits.
    """

    def __init__(
        self,
        *,
        ttl_s: float = DEFAULT_TTL_S,
        stale_s: float = 0.0,
        unavailable: type[Exception] = _NothingRaised,
        timer: Callable[[], float] = TIMER,
    ) -> None:
        self._ttl_s = ttl_s
        self._unavailable = unavailable
        self._timer = timer
        self._stale_s = stale_s
        self._entries: OrderedDict[str, _Entry[Value]] = OrderedDict()  #: the least recently used first
        self._readings: dict[str, _Reading[Value]] = {}
        self._refreshes: set[asyncio.Task[Value | None]] = set()
        self._invalidations = 0

    async def get(self, name: str, read: Callable[[str], Awaitable[Value | None]]) -> Value | None:
        """The cached value, or what `read` returns."""
        while True:
            now_s, reading = self._timer(), self._readings.get(name)
            entry = self._entries.get(name)
            if entry is not None and entry.expires_at_s + self._stale_s <= now_s:
                entry = None
            if entry is not None and (now_s < entry.expires_at_s or entry.has_failed):
                self._entries.move_to_end(name)
                if entry.refresh_at_s <= now_s and reading is None:
                    self._refresh(name, read)
                return entry.value
            try:
                if reading is None or reading.expires_at_s <= now_s:
                    return await self._read(name, self._begin(name), read)
                await asyncio.wait((reading.value,))
                if not reading.value.cancelled():
                    return reading.value.result()
            except self._unavailable:
                if entry is None:
                    raise
                return entry.value

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

    def _note_failure(self, name: str) -> None:
        """Use the value on, and do not read it again at once."""
        entry = self._entries.get(name)
        if entry is not None:
            self._entries[name] = entry._replace(refresh_at_s=self._timer() + RETRY_S, has_failed=True)

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
            if isinstance(error, self._unavailable):
                self._note_failure(name)
            reading.value.set_exception(error)
            reading.value.exception()  # there may be no other caller
            raise
        finally:
            reading.value.cancel()  # without effect if there is a result
            if self._readings.get(name) is reading:
                del self._readings[name]
        if reading.invalidations == self._invalidations:
            refresh_at_s = reading.began_at_s + self._ttl_s * REFRESH_AFTER
            self._keep(name, _Entry(refresh_at_s, reading.expires_at_s, value))
        return value

    def _keep(self, name: str, entry: _Entry[Value]) -> None:
        """And drop what is used no more: expired values, and if there are too many, the least recently used."""
        self._entries[name] = entry
        self._entries.move_to_end(name)
        now_s = self._timer()
        while self._entries:
            oldest, entry = next(iter(self._entries.items()))
            if len(self._entries) <= MAX_ENTRIES and now_s < entry.expires_at_s + self._stale_s:
                return
            del self._entries[oldest]
