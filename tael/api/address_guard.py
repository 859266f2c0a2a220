"""Limits the requests of one address before anything is read, so that a flood of them costs little.

Each process counts alone, and in memory. Verified requests are counted by merchant, exactly and over all processes
(`merchants/rate_limiter.py`); this limit only protects the process, and is far above what a merchant sends.
"""

from typing import Final

from cachetools import LRUCache

from tael.base.clock import Clock
from tael.base.errors import RateLimited
from tael.base.security_log import network_of
from tael.merchants.domain.rate_limits import Limit

#: The address that was quiet longest is forgotten first.
MAX_ADDRESSES: Final = 10_000
RETRY_AFTER_S: Final = 1


class AddressGuard:
    """A token bucket for each IPv4 address or IPv6 network of a host: full it holds one second's requests.

    `per_second` 0 is no limit.
    """

    def __init__(self, per_second: int, clock: Clock) -> None:
        self._per_second = per_second
        self._clock = clock
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(MAX_ADDRESSES)

    def check(self, peer: str) -> None:
        """Count a request. Raises RateLimited. A request without an address is not limited."""
        if not self._per_second or not peer:
            return
        network = network_of(peer)
        now_s = self._clock.now().timestamp()
        tokens, at_s = self._buckets.get(network, (float(self._per_second), now_s))
        tokens = min(self._per_second, tokens + max(0.0, now_s - at_s) * self._per_second)
        if tokens < 1:
            self._buckets[network] = tokens, now_s
            raise RateLimited(
                "Too Many Requests from this address", retry_after_s=RETRY_AFTER_S, limit=Limit.ADDRESS
            )
        self._buckets[network] = tokens - 1, now_s
