"""Admits a merchant's requests up to its limits, which all processes of a deployment share.

A request that finds something remaining is counted without a wait. Otherwise it waits for a grant from the database,
which takes a millisecond. If the database does not serve within `MAX_WAIT_S`, the requests that wait are admitted
uncounted, and for `PAUSE` none waits: an outage refuses no request. No more wait than the limit: the rest of a flood is
refused at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from cachetools import LRUCache

from tael.base.clock import Clock
from tael.base.errors import RateLimited
from tael.db.database import StoreUnavailable
from tael.db.outages import log_unavailable
from tael.merchants.domain.merchant import Merchant
from tael.merchants.domain.rate_limits import (
    LIMIT_OF,
    NO_LIMITS,
    Allowance,
    GrantRequest,
    RateLimits,
    limits_of,
    window_at,
)
from tael.merchants.rate_limit_totals import RateLimitTotals

log = structlog.get_logger()

#: Merchants' windows in one process. One that is dropped for lack of room begins again with its share.
MAX_WINDOWS: Final = 20_000
#: For one grant; a request waits for so many at most, since others may have used up the first.
MAX_WAIT_S: Final = 0.5
MAX_GRANTS: Final = 4
PAUSE: Final = timedelta(seconds=1)

Grant = Callable[[GrantRequest], Awaitable[int]]


@dataclass(slots=True)
class _Window:
    """A merchant's present window of one length, and the request for a grant that is under way."""

    allowance: Allowance
    waiting: int = 0
    asking: "asyncio.Task[None] | None" = None

    @property
    def is_spent(self) -> bool:
        """Nothing is left, or those who wait will use all that may be left."""
        allowance = self.allowance
        return allowance.is_spent or (not allowance.remaining and self.waiting >= allowance.limit)


class RateLimiter:
    """Limits of one process. `grant` is the database's, and raises StoreUnavailable."""

    def __init__(
        self,
        grant: Grant,
        totals: RateLimitTotals,
        clock: Clock,
        defaults: RateLimits = NO_LIMITS,
    ) -> None:
        self.totals: Final = totals
        self._grant = grant
        self._clock = clock
        self._defaults = defaults
        self._windows: LRUCache[tuple[str, int], _Window] = LRUCache(MAX_WINDOWS)
        self._paused_at: datetime | None = None

    async def admit(self, merchant: Merchant) -> None:
        """Count a request of this merchant. Raises RateLimited, and then counts it in no window."""
        limits = limits_of(merchant, self._defaults)
        for _ in range(MAX_GRANTS):
            windows = self._take(merchant.mchid, limits)
            if not windows:
                return
            if self._is_paused():
                break
            await self._wait_for_grants(merchant.mchid, windows)
        self.totals.count_unchecked()

    def _take(self, mchid: str, limits: RateLimits) -> list[_Window]:
        """Count a request in every window, or in none and return those without a rest. Raises RateLimited."""
        now = self._clock.now()
        windows = [self._window(mchid, window_s, limit, now) for window_s, limit in limits.windows()]
        spent = [window.allowance for window in windows if window.is_spent]
        if spent:
            longest = max(spent, key=lambda allowance: allowance.retry_after_s(now))
            limit = LIMIT_OF[longest.window_s]
            raise RateLimited(
                f"Too Many Requests: at most {longest.limit} in a {limit}", longest.retry_after_s(now), limit
            )
        empty = [window for window in windows if not window.allowance.remaining]
        if not empty:
            for window in windows:
                window.allowance.remaining -= 1
        return empty

    def _window(self, mchid: str, window_s: int, limit: int, now: datetime) -> _Window:
        number = window_at(now, window_s)
        window = self._windows.get((mchid, window_s))
        if window is None:
            window = self._windows[mchid, window_s] = _Window(Allowance.of(window_s, number, limit))
        elif (window.allowance.number, window.allowance.limit) != (number, limit):
            window.allowance = Allowance.of(window_s, number, limit)
        return window

    async def _wait_for_grants(self, mchid: str, windows: Sequence[_Window]) -> None:
        """Wait for the grants that are under way, or ask for them. No single caller cancels them."""
        for window in windows:
            window.waiting += 1
        try:
            asking = [window.asking or self._begin_to_ask(mchid, window) for window in windows]
            for each in asking:
                await asyncio.shield(each)
        finally:
            for window in windows:
                window.waiting -= 1

    def _begin_to_ask(self, mchid: str, window: _Window) -> "asyncio.Task[None]":
        # In a context of its own: it is not part of this request's time for the database.
        window.asking = asyncio.create_task(self._ask(mchid, window), context=Context())
        return window.asking

    async def _ask(self, mchid: str, window: _Window) -> None:
        allowance = window.allowance
        request = allowance.request(mchid, window.waiting)
        try:
            allowance.add(await self._grant(request), request)
        except StoreUnavailable as error:
            log_unavailable(error, part="rate_limit")
            self._pause()
        except Exception:
            log.exception("rate_limit.failed")
            self._pause()
        finally:
            window.asking = None

    def _pause(self) -> None:
        self._paused_at = self._clock.now()

    def _is_paused(self) -> bool:
        """A clock that was set back since does not prolong the pause."""
        return self._paused_at is not None and timedelta(0) <= self._clock.now() - self._paused_at < PAUSE
