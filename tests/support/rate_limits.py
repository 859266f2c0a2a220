"""Limits of requests for tests: limiters of several processes, and the database's rule in memory."""

import asyncio
from typing import Final

from tael.base.clock import Clock
from tael.base.errors import RateLimited
from tael.db.database import Database
from tael.merchants.domain.merchant import Merchant
from tael.merchants.domain.rate_limits import GrantRequest, RateLimits
from tael.merchants.rate_limit_totals import RateLimitTotals
from tael.merchants.rate_limiter import MAX_WAIT_S, RateLimiter
from tael.merchants.store.rate_limits import MAX_WINDOWS_AHEAD, RateLimitRows
from tests.support.values import a_merchant

MERCHANT: Final = a_merchant()
MAX_REQUESTS: Final = 10_000
#: A limiter gives up after half a second, which a busy machine may need for a crowd.
PATIENT_S: Final = 30.0


class Ledger:
    """The rule of `store/rate_limits.py:GRANT`; an integration test compares the two."""

    def __init__(self) -> None:
        self._granted: dict[tuple[str, int], tuple[int, int]] = {}

    def grant_now(self, request: GrantRequest) -> int:
        key = request.mchid, request.window_s
        number, granted = self._granted.get(key, (request.number, 0))
        if not 0 <= number - request.number <= MAX_WINDOWS_AHEAD:
            number, granted = request.number, 0
        rest = max(0, min(request.amount, request.grantable - granted))
        self._granted[key] = number, granted + rest
        return rest

    async def grant(self, request: GrantRequest) -> int:
        await asyncio.sleep(0)
        return self.grant_now(request)


def limiter_over(ledger: Ledger, clock: Clock, limits: RateLimits) -> RateLimiter:
    """A process's limiter; its totals are in no database."""
    rows = RateLimitRows(Database("postgresql://localhost/none"), MAX_WAIT_S)
    return RateLimiter(ledger.grant, RateLimitTotals(rows), clock, limits)


async def is_admitted(limiter: RateLimiter, merchant: Merchant = MERCHANT) -> bool:
    try:
        await limiter.admit(merchant)
    except RateLimited:
        return False
    return True


async def burst(limiter: RateLimiter, requests: int, merchant: Merchant = MERCHANT) -> int:
    """How many of so many concurrent requests are admitted."""
    return sum(await asyncio.gather(*(is_admitted(limiter, merchant) for _ in range(requests))))


async def saturated(limiter: RateLimiter, merchant: Merchant = MERCHANT) -> int:
    """How many requests are admitted, one after the other, until one is refused."""
    for admitted in range(MAX_REQUESTS):
        if not await is_admitted(limiter, merchant):
            return admitted
    raise AssertionError("no request was refused")
