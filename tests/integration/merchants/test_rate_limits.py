"""Limits of requests that several processes share over one database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from typing import Final

import pytest

from tael.db.database import StoreUnavailable
from tael.merchants.domain.rate_limits import MINUTE_S, SECOND_S, GrantRequest, RateLimits
from tael.merchants.rate_limiter import MAX_WAIT_S, PAUSE, RateLimiter
from tael.merchants.store.rate_limits import RateLimitRows
from tael.operations.store import Store
from tael.services import rate_limiter_over
from tests.support.alipay import TestClock
from tests.support.citus import needs_plain_postgres
from tests.support.rate_limits import MERCHANT, PATIENT_S, Ledger, burst, is_admitted, saturated
from tests.support.store import count_of, entered_store
from tests.support.values import NOW, a_merchant
from tests.support.wire import Wire

PER_MINUTE: Final = RateLimits(0, 400)


@pytest.fixture
def clock() -> TestClock:
    return TestClock(NOW)


@pytest.fixture
def wire(database_url: str) -> Iterator[Wire]:
    with Wire(database_url) as joined:
        yield joined


def limiter_on(store: Store, clock: TestClock, limits: RateLimits) -> RateLimiter:
    """A process's limiter."""
    return rate_limiter_over(store, clock, limits, PATIENT_S)


async def in_turn(limiters: list[RateLimiter], most: int) -> int:
    """How many of `most` requests are admitted, each sent to the next process."""
    return sum([await is_admitted(limiters[number % len(limiters)]) for number in range(most)])


@pytest.mark.parametrize("limits", [PER_MINUTE, RateLimits(100, 0), RateLimits(100, 4_000)])
async def test_two_processes_admit_one_limit_within_five_percent(
    store: Store, other_store: Store, clock: TestClock, limits: RateLimits
) -> None:
    limiters = [limiter_on(each, clock, limits) for each in (store, other_store)]
    limit = limits.per_second or limits.per_minute
    for _ in range(3):
        at_once, later = await asyncio.gather(burst(limiters[0], limit // 3), burst(limiters[1], limit // 3))
        admitted = at_once + later + await in_turn(limiters, 2 * limit)
        assert 0.95 * limit <= admitted <= 1.05 * limit
        clock.at += timedelta(seconds=60)


async def test_a_limit_of_one_is_exact_however_many_processes_there_are(
    store: Store, database_url: str, clock: TestClock
) -> None:
    async with entered_store(database_url) as second, entered_store(database_url) as third:
        limiters = [limiter_on(each, clock, RateLimits(1, 0)) for each in (store, second, third)]
        for _ in range(5):
            assert sum(await asyncio.gather(*(burst(limiter, 20) for limiter in limiters))) == 1
            clock.at += timedelta(seconds=1)


async def test_many_merchants_have_a_row_for_each_window_and_no_more(
    store: Store, other_store: Store, clock: TestClock
) -> None:
    limiters = [limiter_on(each, clock, RateLimits(2, 3)) for each in (store, other_store)]
    merchants = [a_merchant(f"m{number}") for number in range(300)]
    for _ in range(3):
        admitted = await asyncio.gather(
            *(burst(limiter, 3, merchant) for limiter in limiters for merchant in merchants)
        )
        assert sum(admitted) == 2 * len(merchants)
        clock.at += timedelta(seconds=60)
    assert await count_of(store, "rate_limit") == 2 * len(merchants)


async def test_the_database_grants_by_the_same_rule_as_the_model(store: Store) -> None:
    random, ledger, rows = Random(1), Ledger(), RateLimitRows(store.database, MAX_WAIT_S)
    number = 1_000
    for _ in range(400):
        number += random.choice((0, 0, 0, 1, -1, 2, -2, 3, -3, 4, 50))
        wanted = [
            GrantRequest(mchid, window_s, number + random.choice((0, 0, 1)), random.randint(1, 9), grantable)
            for mchid, window_s, grantable in random.sample(
                [(mchid, window_s, 20) for mchid in ("b", "a") for window_s in (MINUTE_S, SECOND_S)], 3
            )
        ]
        granted = await asyncio.gather(*(rows.grant(each) for each in wanted))
        assert granted == [ledger.grant_now(each) for each in wanted]


async def test_a_lower_limit_takes_nothing_back(store: Store, clock: TestClock) -> None:
    limiter = limiter_on(store, clock, PER_MINUTE)
    assert await burst(limiter, 200) == 200
    assert await saturated(limiter, a_merchant(max_per_minute=80)) == 2  # its share; the rest is used up
    assert await saturated(limiter) == 400 - 200 + 10  # a changed limit begins with its share


# ---- the database does not serve ----------------------------------------------------------------------------------


@asynccontextmanager
async def wired(wire: Wire, clock: TestClock, limits: RateLimits) -> AsyncIterator[RateLimiter]:
    """A limiter behind the wire, which gives up as soon as in a deployment."""
    async with entered_store(wire.url) as wired_store:
        yield rate_limiter_over(wired_store, clock, limits)


@pytest.mark.parametrize("outage", ["cut", "hold"])
async def test_without_a_database_requests_are_admitted_and_counted_as_such(
    store: Store, wire: Wire, clock: TestClock, outage: str
) -> None:
    async with wired(wire, clock, RateLimits(0, 80)) as limiter:
        assert await burst(limiter, 10) == 10
        {"cut": wire.cut, "hold": wire.hold}[outage]()
        assert [await burst(limiter, 70) for _ in range(7)] == [70] * 7
        wire.join()
        clock.at += PAUSE
        assert await saturated(limiter) < 80
        totals = await limiter.totals.read()
    assert 7 * 70 - 10 <= totals["unchecked"] <= 7 * 70
    assert totals.keys() == {"unchecked"}


async def test_while_the_database_hangs_one_crowd_waits_and_the_next_does_not(
    wire: Wire, clock: TestClock
) -> None:
    async with wired(wire, clock, RateLimits(0, 39)) as limiter:
        wire.hold()
        assert (
            await burst(limiter, 50) == 39
        )  # the limit waits: whoever comes on top of it is above the limit
        assert all(
            [await is_admitted(limiter) for _ in range(1_000)]
        )  # at half a second each, no test would end


@needs_plain_postgres
async def test_older_tables_refuse_nobody(store: Store, clock: TestClock) -> None:
    limiter = limiter_on(store, clock, RateLimits(20, 20))
    await store.database.execute("DROP TABLE rate_limit")
    assert await burst(limiter, 20) == 20


async def test_a_request_waits_for_the_limit_and_not_the_limit_for_its_request(
    store: Store, clock: TestClock
) -> None:
    """A caller that leaves takes its own wait with it, and not the grant of the others."""
    limiter = limiter_on(store, clock, RateLimits(0, 20))
    waiting = [asyncio.create_task(limiter.admit(MERCHANT)) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert results[1:] == [None] * 19


# ---- totals -------------------------------------------------------------------------------------------------------


async def test_totals_are_those_of_all_processes(store: Store, other_store: Store, clock: TestClock) -> None:
    first, second = (limiter_on(each, clock, PER_MINUTE).totals for each in (store, other_store))
    for totals in (first, second, second):
        totals.count_unchecked()
    assert await first.read() == {"unchecked": 1}
    assert await second.read() == {"unchecked": 3}
    assert await first.read() == {"unchecked": 3}


async def test_totals_are_kept_until_the_database_serves(store: Store, wire: Wire, clock: TestClock) -> None:
    async with wired(wire, clock, PER_MINUTE) as limiter:
        limiter.totals.count_unchecked()
        wire.cut()
        with pytest.raises(StoreUnavailable):
            await limiter.totals.read()
        limiter.totals.count_unchecked()
        wire.join()
        assert await limiter.totals.read() == {"unchecked": 2}
