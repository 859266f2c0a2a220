"""What a process admits of a merchant's requests in a second and in a minute, alone and beside others."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from tael.base.errors import RateLimited
from tael.merchants.domain.changes import MAX_RATE, MerchantChanges
from tael.merchants.domain.forms import InvalidValue
from tael.merchants.domain.rate_limits import NO_LIMITS, RateLimits, limits_of
from tests.support.alipay import TestClock
from tests.support.rate_limits import (
    MERCHANT,
    Ledger,
    burst,
    is_admitted,
    limiter_over,
    saturated,
)
from tests.support.values import NOW, a_merchant

#: NOW is 5 s after the beginning of its minute.
REST_OF_MINUTE_S: Final = 55


@pytest.fixture
def clock() -> TestClock:
    return TestClock(NOW)


# ---- which limits -----------------------------------------------------------------------------------------------


def test_a_merchant_has_the_deployments_limits_or_its_own() -> None:
    defaults = RateLimits(100, 400)
    assert limits_of(a_merchant(), defaults) == defaults
    assert limits_of(a_merchant(max_per_second=7), defaults) == RateLimits(7, 400)
    assert limits_of(a_merchant(max_per_second=0, max_per_minute=0), defaults) == NO_LIMITS


def test_a_change_sets_clears_and_keeps_limits() -> None:
    limited = MerchantChanges(max_per_second=5, max_per_minute=0).applied_to(a_merchant())
    assert (limited.max_per_second, limited.max_per_minute) == (5, 0)
    assert MerchantChanges().applied_to(limited) == limited
    assert MerchantChanges(default_rates=True).applied_to(limited) == a_merchant()
    assert MerchantChanges(default_rates=True, max_per_minute=9).applied_to(limited) == a_merchant(
        max_per_minute=9
    )


@pytest.mark.parametrize("name", ["max_per_second", "max_per_minute"])
@pytest.mark.parametrize("rate", [-1, MAX_RATE + 1])
def test_a_rate_out_of_range_is_refused(name: str, rate: int) -> None:
    with pytest.raises(InvalidValue, match=f"must be 0 to {MAX_RATE}"):
        MerchantChanges(**{name: rate})  # type: ignore[arg-type]


# ---- one process ------------------------------------------------------------------------------------------------


async def test_without_limits_nothing_is_refused_and_nothing_is_asked(clock: TestClock) -> None:
    limiter = limiter_over(Asked(), clock, NO_LIMITS)
    assert await burst(limiter, 5_000) == 5_000


@pytest.mark.parametrize("limit", [1, 2, 39, 40, 100, 400, 1_000])
@pytest.mark.parametrize("window", ["per_second", "per_minute"])
async def test_one_process_admits_exactly_the_limit(clock: TestClock, window: str, limit: int) -> None:
    limiter = limiter_over(Ledger(), clock, replace(NO_LIMITS, **{window: limit}))
    assert await saturated(limiter) == limit


async def test_concurrent_requests_are_counted_one_by_one(clock: TestClock) -> None:
    assert await burst(limiter_over(Ledger(), clock, RateLimits(100, 0)), 5_000) == 100


async def test_each_window_begins_anew(clock: TestClock) -> None:
    limiter = limiter_over(Ledger(), clock, RateLimits(10, 25))
    admitted = []
    for _ in range(4):
        admitted.append(await saturated(limiter))
        clock.at += timedelta(seconds=1)
    assert admitted == [10, 10, 5, 0]
    clock.at += timedelta(minutes=1)
    assert await saturated(limiter) == 10


async def test_a_request_that_one_window_refuses_is_counted_in_no_other(clock: TestClock) -> None:
    limiter = limiter_over(Ledger(), clock, RateLimits(1, 3))
    for _ in range(3):
        assert await saturated(limiter) == 1
        assert await burst(limiter, 50) == 0
        clock.at += timedelta(seconds=1)
    assert await saturated(limiter) == 0


async def test_retry_after_is_the_end_of_the_window(clock: TestClock) -> None:
    limiter = limiter_over(Ledger(), clock, RateLimits(1, 2))
    await limiter.admit(MERCHANT)
    with pytest.raises(RateLimited) as refused:
        await limiter.admit(MERCHANT)
    assert (refused.value.retry_after_s, refused.value.limit) == (1, "second")
    clock.at += timedelta(seconds=1)
    await limiter.admit(MERCHANT)
    clock.at += timedelta(seconds=1, milliseconds=900)
    with pytest.raises(RateLimited) as refused:
        await limiter.admit(MERCHANT)
    assert (refused.value.retry_after_s, refused.value.limit) == (REST_OF_MINUTE_S - 2, "minute")


async def test_merchants_do_not_share_a_limit(clock: TestClock) -> None:
    limiter = limiter_over(Ledger(), clock, RateLimits(5, 0))
    assert await burst(limiter, 100) == 5
    assert await saturated(limiter, a_merchant("other")) == 5


async def test_a_new_limit_applies_at_once(clock: TestClock) -> None:
    limiter = limiter_over(Ledger(), clock, RateLimits(5, 0))
    assert await saturated(limiter) == 5
    assert await burst(limiter, 100, a_merchant(max_per_second=0)) == 100
    assert await saturated(limiter, a_merchant(max_per_second=8)) == 3


class Asked(Ledger):
    """Counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def grant_now(self, request: object) -> int:
        self.times += 1
        return super().grant_now(request)  # type: ignore[arg-type]


async def test_a_quiet_merchant_costs_no_statement(clock: TestClock) -> None:
    ledger = Asked()
    limiter = limiter_over(ledger, clock, RateLimits(100, 400))
    for _ in range(5):
        assert await burst(limiter, 2) == 2
        clock.at += timedelta(seconds=1)
    assert ledger.times == 0
    assert await saturated(limiter) == 100
    refused, asked = await burst(limiter, 1_000), ledger.times
    assert (refused, ledger.times) == (0, asked)  # a flood that is refused asks nothing


# ---- several processes ------------------------------------------------------------------------------------------


async def test_processes_share_a_limit_but_for_their_own_shares(clock: TestClock) -> None:
    ledger = Ledger()
    limiters = [limiter_over(ledger, clock, RateLimits(0, 400)) for _ in range(3)]
    assert [await saturated(limiter) for limiter in limiters] == [400, 10, 10]


async def test_a_process_that_dies_takes_one_piece_with_it(clock: TestClock) -> None:
    ledger = Ledger()
    dying, living = (limiter_over(ledger, clock, RateLimits(0, 400)) for _ in range(2))
    assert await burst(dying, 11) == 11  # its share, and one of the piece of ten that it was granted
    del dying
    assert await saturated(living) == 400 - 10


async def test_a_process_whose_clock_is_behind_takes_from_the_same_limit(clock: TestClock) -> None:
    ledger, late = Ledger(), TestClock(NOW - timedelta(minutes=1))
    ahead, behind = (limiter_over(ledger, each, RateLimits(0, 400)) for each in (clock, late))
    assert await saturated(ahead) == 400
    assert await saturated(behind) == 10  # its share


async def test_a_clock_that_was_far_ahead_blocks_nobody(clock: TestClock) -> None:
    ledger, wrong = Ledger(), TestClock(NOW + timedelta(hours=1))
    assert await saturated(limiter_over(ledger, wrong, RateLimits(0, 400))) == 400
    assert await saturated(limiter_over(ledger, clock, RateLimits(0, 400))) == 400


async def test_a_clock_that_is_set_back_blocks_nobody(clock: TestClock) -> None:
    limiter = limiter_over(Ledger(), clock, RateLimits(10, 0))
    assert await saturated(limiter) == 10
    clock.at -= timedelta(hours=1)
    assert await saturated(limiter) == 10


async def test_a_caller_that_is_gone_takes_nothing_from_those_who_wait(clock: TestClock) -> None:
    limiter = limiter_over(Ledger(), clock, RateLimits(0, 20))
    waiting = [asyncio.create_task(is_admitted(limiter)) for _ in range(20)]
    await asyncio.sleep(0)
    for each in waiting[:10]:
        each.cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert results.count(True) == 10
    assert await saturated(limiter) == 10
