"""Any ledger, any terms and any runs: the payouts and the open balance are the balance of the merchant's account."""

from itertools import count
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tael.operations.store import Store
from tael.settlement.domain.terms import Cycle, Weekday
from tael.settlement.terms import TermsChange, set_terms
from tests.support.settlement import (
    Moved,
    audited,
    balances_of,
    chain_of,
    close_before,
    morning_of,
    move,
    run,
    total,
    with_terms,
)

DAYS: Final = 20
KINDS: Final = (
    "payment",
    "refund",
    "reversal",
    "fee",
    "fee_back",
    "converted_in",
    "converted_out",
    "invented",
)
MOVES: Final = st.lists(
    st.builds(
        Moved,
        st.integers(0, DAYS - 1),
        st.sampled_from(KINDS),
        st.integers(1, 5_000),
        st.sampled_from(["HKD", "JPY"]),
    ),
    max_size=15,
)
CHANGES: Final = st.builds(
    TermsChange,
    cycle=st.sampled_from([None, Cycle.DAILY, Cycle.MONTHLY]),
    minimum_minor=st.sampled_from([None, 0, 3_000]),
    reserve_ppm=st.sampled_from([None, 0, 70_000, 1_000_000]),
    reserve_days=st.sampled_from([None, 0, 3, 10]),
) | st.builds(TermsChange, cycle=st.just(Cycle.WEEKLY), weekday=st.sampled_from(list(Weekday)))
#: In the morning of a day: entries are written, the terms change, the days before one are closed, and payouts are made.
STEPS: Final = st.lists(
    st.tuples(st.integers(1, 6), MOVES, CHANGES, st.integers(0, 3)), min_size=1, max_size=4
)
_numbers = count(1)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_payouts_and_open_balance_are_the_balance(
    store: Store, steps: list[tuple[int, list[Moved], TermsChange, int]]
) -> None:
    mchid = f"h{next(_numbers)}"
    await with_terms(store, mchid)
    moved: list[Moved] = []
    today = 0
    for days, moves, change, late in steps:
        today += days
        moved += moves
        await move(store, *moves, mchid=mchid)
        await set_terms(store.payout_terms, mchid, "HKD", change, morning_of(today))
        await close_before(store, max(today - late, 0), mchid)
        await run(store, today, mchid)
        await check(store, mchid, moved)
    # In the end nothing is held: no new reserve, and all days are closed until the last one is over.
    end = TermsChange(cycle=Cycle.MONTHLY, minimum_minor=0, reserve_ppm=0)
    await set_terms(store.payout_terms, mchid, "HKD", end, morning_of(today))
    await close_before(store, 120, mchid)
    await run(store, 120, mchid)
    balances = await check(store, mchid, moved)
    assert balances.get("reserve", 0) == 0
    owed_minor = total(each for each in moved if each.currency == "HKD")
    assert balances.get("payout", 0) + balances.get("merchant", 0) == owed_minor
    assert balances.get("merchant", 0) <= 0
    assert await audited(store) == []


async def check(store: Store, mchid: str, moved: list[Moved]) -> dict[str, int]:
    chain = await chain_of(store, mchid)
    assert [each.number for each in chain] == list(range(1, len(chain) + 1))
    balances = await balances_of(store, mchid)
    paid_minor = sum(each.amount_minor for each in chain)
    held_minor = sum(each.reserve_held_minor - each.reserve_released_minor for each in chain)
    assert (balances.get("payout", 0), balances.get("reserve", 0)) == (paid_minor, held_minor)
    assert held_minor >= 0
    owed_minor = total(each for each in moved if each.currency == "HKD")
    assert balances.get("merchant", 0) == owed_minor - paid_minor - held_minor
    counted_minor = sum(
        each.paid_minor
        + each.fee_back_minor
        + each.adjusted_in_minor
        - each.refunded_minor
        - each.reversed_minor
        - each.fee_minor
        - each.adjusted_out_minor
        for each in chain
    )
    carried_minor = chain[-1].carried_minor if chain else 0
    assert counted_minor == paid_minor + held_minor + carried_minor
    assert balances.get("merchant", 0) == carried_minor + owed_minor - counted_minor
    return balances
