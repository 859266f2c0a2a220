"""Whatever the order of requests: never more than 105 % of a limit in a window, and under load never less than 95 %.

For a minute with three processes, and for a second with two: a second is granted in larger pieces.
"""

from dataclasses import replace
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from tael.merchants.domain.rate_limits import NO_LIMITS
from tests.support.alipay import TestClock
from tests.support.rate_limits import Ledger, burst, limiter_over, saturated
from tests.support.values import NOW

MAX_PROCESSES: Final = {"per_minute": 3, "per_second": 2}
BURSTS: Final = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 60)), max_size=30)


@settings(deadline=None)
@given(
    window=st.sampled_from(sorted(MAX_PROCESSES)),
    processes=st.integers(1, 3),
    limit=st.integers(1, 500),
    bursts=BURSTS,
    first=st.integers(0, 2),
)
async def test_a_window_admits_its_limit_within_five_percent(
    window: str, processes: int, limit: int, bursts: list[tuple[int, int]], first: int
) -> None:
    ledger, clock = Ledger(), TestClock(NOW)
    limits = replace(NO_LIMITS, **{window: limit})
    limiters = [limiter_over(ledger, clock, limits) for _ in range(min(processes, MAX_PROCESSES[window]))]
    admitted = 0
    for process, requests in bursts:
        admitted += await burst(limiters[process % len(limiters)], requests)
    admitted += await saturated(limiters[first % len(limiters)])
    assert 0.95 * limit <= admitted  # one process that sends on is enough to use up what the others leave
    for limiter in limiters:
        admitted += await saturated(limiter)
    assert admitted <= 1.05 * limit
