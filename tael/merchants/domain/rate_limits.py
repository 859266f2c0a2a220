"""How many requests a merchant may send in a second and in a minute, and what one process may admit of them. Pure.

Windows are fixed: they begin with each second and minute of the gateway's clock. A process admits its own share of a
limit without asking. The rest of the limit is granted to the processes in pieces, by the database. So the sum is the
limit, plus one share for each process beyond the first that uses its own, minus what is granted and not used.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from tael.merchants.domain.merchant import Merchant

SECOND_S: Final = 1
MINUTE_S: Final = 60
#: A process's own share of a limit: 2.5 %.
SHARE_PARTS: Final = 40
#: A piece that a process is granted: 5 % of a second's limit, 2.5 % of a minute's. What is left when the window
#: ends is lost. Smaller pieces of a second would take a noticeable part of a payment's CPU time.
PIECE_PARTS: Final = {SECOND_S: 20, MINUTE_S: 40}


class Limit(StrEnum):
    """What refused a request."""

    SECOND = "second"  #: the merchant's requests in a second
    MINUTE = "minute"  #: the merchant's requests in a minute
    ADDRESS = "address"  #: the requests from one address


LIMIT_OF: Final = {SECOND_S: Limit.SECOND, MINUTE_S: Limit.MINUTE}


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests in a second and in a minute; 0 for no limit."""

    per_second: int = 0
    per_minute: int = 0

    def windows(self) -> Iterator[tuple[int, int]]:
        """The length in seconds and the limit of each window that has one."""
        if self.per_second:
            yield SECOND_S, self.per_second
        if self.per_minute:
            yield MINUTE_S, self.per_minute


NO_LIMITS: Final = RateLimits()


def limits_of(merchant: Merchant, defaults: RateLimits) -> RateLimits:
    """The merchant's own limits; the deployment's where it has none of its own."""
    if merchant.max_per_second is None and merchant.max_per_minute is None:
        return defaults
    return RateLimits(
        defaults.per_second if merchant.max_per_second is None else merchant.max_per_second,
        defaults.per_minute if merchant.max_per_minute is None else merchant.max_per_minute,
    )


def share_of(limit: int) -> int:
    """What each process admits in a window without asking."""
    return limit // SHARE_PARTS


def window_at(now: datetime, window_s: int) -> int:
    """The number of the window of this length, counted from 1970."""
    return math.floor(now.timestamp()) // window_s


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """A process asks for `amount` requests of a window. `grantable` is what all processes together can be granted."""

    mchid: str
    window_s: int
    number: int
    amount: int
    grantable: int


@dataclass(slots=True)
class Allowance:
    """What one process may still admit of one merchant in one window."""

    window_s: int
    number: int
    limit: int
    remaining: int
    is_last: bool = False  #: nothing more will be granted

    @classmethod
    def of(cls, window_s: int, number: int, limit: int) -> "Allowance":
        """At the beginning of a window."""
        return cls(window_s, number, limit, share_of(limit))

    @property
    def is_spent(self) -> bool:
        return self.is_last and not self.remaining

    def request(self, mchid: str, waiting: int) -> GrantRequest:
        """The next piece, or as much as the requests that wait for it."""
        amount = max(1, self.limit // PIECE_PARTS[self.window_s], waiting)
        return GrantRequest(mchid, self.window_s, self.number, amount, self.limit - share_of(self.limit))

    def add(self, granted: int, request: GrantRequest) -> None:
        """What was granted for `request`. Less than its amount is all that was left."""
        self.remaining += granted
        self.is_last = granted < request.amount

    def retry_after_s(self, now: datetime) -> int:
        """Whole seconds until the window is over, at least 1."""
        return max(1, math.ceil((self.number + 1) * self.window_s - now.timestamp()))
