"""Payouts: every cent of a merchant's closed days is in exactly one, whatever runs, crashes and repeats there are."""

import asyncio
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Final

import pytest

from tael.operations.store import Store, store_over
from tael.settlement.domain.payout import Payout, PayoutState
from tael.settlement.domain.terms import Cycle, Weekday
from tael.settlement.store.payouts import NotPayable, Waiting
from tael.settlement.terms import NoTerms, TermsChange, remove_terms, set_terms
from tests.support.crashing import Crash, CrashingDatabase, Process, Side, StatementCrashes
from tests.support.settlement import (
    DAY_0,
    Moved,
    audited,
    balances_of,
    chain_of,
    close_before,
    day,
    morning_of,
    move,
    run,
    with_terms,
)
from tests.support.store import CIPHER, NODE, count_of
from tests.support.values import MCHID

#: A day with something of every kind: 10,000 less 1,000 and 500 and a fee of 60, of which 9 come back.
BUSY: Final = (
    *(Moved(0, "payment", 6_000), Moved(0, "payment", 4_000), Moved(0, "refund", 1_000)),
    *(Moved(0, "reversal", 500), Moved(0, "fee", 60), Moved(0, "fee_back", 9)),
    *(Moved(0, "converted_in", 300), Moved(0, "converted_out", 50), Moved(0, "payment", 77, "JPY")),
)


async def test_a_payout_sums_its_days_and_books_what_is_paid_and_held(store: Store) -> None:
    # The reserve is a tenth of 10,000 - 1,500.
    await with_terms(store, reserve_ppm=100_000, reserve_days=2)
    await move(store, *BUSY)
    await close_before(store, 1)

    (payout,) = (await run(store, 1)).payouts

    sums = (payout.payments, payout.paid_minor, payout.refunds, payout.refunded_minor, payout.reversals)
    assert sums == (2, 10_000, 1, 1_000, 1)
    assert (payout.reversed_minor, payout.fee_minor, payout.fee_back_minor) == (500, 60, 9)
    assert (payout.adjusted_in_minor, payout.adjusted_out_minor) == (300, 50)
    assert (payout.opening_minor, payout.reserve_released_minor, payout.reserve_held_minor) == (0, 0, 850)
    assert (payout.amount_minor, payout.carried_minor, payout.state) == (8_699 - 850, 0, PayoutState.CREATED)
    assert (payout.number, payout.first_day, payout.last_day) == (1, DAY_0, DAY_0)
    assert await balances_of(store) == {"payout": 7_849, "reserve": 850, "wallet": -8_699}
    assert await store.payouts.by_id(payout.payout_id) == payout
    assert await audited(store) == []


async def test_entries_of_a_payout_are_not_counted_by_the_next(store: Store) -> None:
    await with_terms(store, reserve_ppm=100_000, reserve_days=1)
    await move(store, *BUSY, Moved(1, "payment", 100))
    await close_before(store, 1)
    await run(store, 1)  # books on day 1, which the next payout covers
    await close_before(store, 2)

    (second,) = (await run(store, 2)).payouts

    assert (second.opening_minor, second.payments, second.paid_minor) == (0, 1, 100)
    assert (second.adjusted_in_minor, second.adjusted_out_minor) == (0, 0)
    assert (second.reserve_released_minor, second.reserve_held_minor, second.amount_minor) == (850, 10, 940)
    assert await audited(store) == []


async def test_small_and_negative_balances_are_carried_over(store: Store) -> None:
    await with_terms(store, minimum_minor=1_000)
    await move(store, Moved(0, "payment", 999), Moved(1, "refund", 1_500), Moved(3, "payment", 1_501))
    await close_before(store, 4)

    payouts = (await run(store, 4)).payouts

    assert [(each.opening_minor, each.amount_minor, each.carried_minor, each.state) for each in payouts] == [
        (0, 0, 999, PayoutState.CARRIED),
        (999, 0, -501, PayoutState.CARRIED),
        (-501, 0, -501, PayoutState.CARRIED),
        (-501, 1_000, 0, PayoutState.CREATED),
    ]
    assert await count_of(store, "ledger_entry") == 4  # of the payouts, one books something
    assert await audited(store) == []


async def test_a_reserve_is_never_more_than_is_payable(store: Store) -> None:
    await with_terms(store, reserve_ppm=1_000_000, reserve_days=3)
    await move(store, Moved(0, "payment", 1_000), Moved(0, "fee", 50), Moved(1, "refund", 200))
    await close_before(store, 5)
    payouts = (await run(store, 5)).payouts
    assert [(each.reserve_held_minor, each.reserve_released_minor) for each in payouts] == [
        *((950, 0), (0, 0), (0, 0), (0, 950), (0, 0)),
    ]
    assert [each.amount_minor for each in payouts] == [0, 0, 0, 750, 0]
    assert await audited(store) == []


async def test_a_period_waits_until_its_last_day_is_closed(store: Store) -> None:
    await with_terms(store, cycle=Cycle.MONTHLY)
    await move(store, Moved(3, "payment", 100))
    await close_before(store, 30)
    assert (await run(store, 30)).waiting == []  # January ends with day 30
    waiting = Waiting(MCHID, "HKD", day(0), day(30))
    assert (
        await run(store, 31)
        == await run(store, 40)
        == replace(await run(store, 31), payouts=[], waiting=[waiting])
    )
    # The daily close forbids entries first, then waits for transactions that began earlier, then writes its digest.
    later = "(closed_until AT TIME ZONE 'UTC' + interval '2 days') AT TIME ZONE 'UTC'"
    await store.database.execute(f"UPDATE daily_close SET closed_until = {later}")
    assert (await run(store, 31)).payouts == []
    await close_before(store, 31)
    assert (await run(store, 31, until=day(29))).payouts == []
    assert [each.amount_minor for each in (await run(store, 31)).payouts] == [100]


async def test_periods_follow_each_other_when_the_cycle_changes(store: Store) -> None:
    terms = await with_terms(store, cycle=Cycle.MONTHLY)
    await close_before(store, 60)
    await run(store, 31)
    for cycle, weekday, until in ((Cycle.WEEKLY, Weekday.FRIDAY, 45), (Cycle.DAILY, None, 47)):
        change = TermsChange(cycle=cycle, weekday=weekday)
        terms = await set_terms(store.payout_terms, MCHID, "HKD", change, morning_of(31))
        await run(store, until)
    assert terms.since == DAY_0
    chain = await chain_of(store)
    # February 6 and 13 are Fridays.
    assert [each.last_day for each in chain] == [
        *(
            date(2026, 1, 31),
            date(2026, 2, 6),
            date(2026, 2, 13),
            date(2026, 2, 14),
            date(2026, 2, 15),
            date(2026, 2, 16),
        ),
    ]
    assert_contiguous(chain)
    assert await audited(store) == []
    await remove_terms(store.payout_terms, MCHID, "HKD", morning_of(48))
    assert (await run(store, 55)).payouts == []
    with pytest.raises(NoTerms):
        await remove_terms(store.payout_terms, MCHID, "HKD", morning_of(48))


async def test_two_runs_at_once_make_each_payout_once(store: Store, other_store: Store) -> None:
    await with_terms(store)
    await move(store, *(Moved(number, "payment", 100 + number) for number in range(12)))
    await close_before(store, 12)

    runs = await asyncio.gather(run(store, 12), run(other_store, 12), run(store, 12))

    chain = await chain_of(store)
    assert [each.amount_minor for each in chain] == [100 + number for number in range(12)]
    assert sorted(each.payout_id for done in runs for each in done.payouts) == sorted(
        each.payout_id for each in chain
    )
    assert_contiguous(chain)
    assert await audited(store) == []


async def test_a_payout_is_paid_once(store: Store, other_store: Store) -> None:
    await with_terms(store)
    await move(store, Moved(0, "payment", 100))
    await close_before(store, 2)
    first, empty = (await run(store, 2)).payouts

    results = await asyncio.gather(
        *(
            each.payouts.mark_paid(first.payout_id, f"FT-{number}", morning_of(3))
            for number, each in enumerate((store, other_store))
        ),
        return_exceptions=True,
    )

    (paid,) = [each for each in results if isinstance(each, Payout)]
    assert [type(each) for each in results if each is not paid] == [NotPayable]
    assert (paid.state, paid.paid_at) == (PayoutState.PAID, morning_of(3).at)
    assert await store.payouts.by_id(first.payout_id) == paid
    assert await balances_of(store) == {"bank": 100, "wallet": -100}
    with pytest.raises(NotPayable):
        await store.payouts.mark_paid(empty.payout_id, "FT", morning_of(3))
    assert await store.payouts.mark_paid("unknown", "FT", morning_of(3)) is None
    assert await audited(store) == []


def assert_contiguous(chain: list[Payout]) -> None:
    assert [each.number for each in chain] == list(range(1, len(chain) + 1))
    for before, after in pairwise(chain):
        assert (after.first_day - before.last_day).days == 1


# ---- crashes -----------------------------------------------------------------------------------------------------


async def settle(store: Store, mchid: str) -> None:
    """What an operator does: run, and record the transfers."""
    for payout in (await run(store, 3, mchid)).payouts:
        if payout.state is PayoutState.CREATED:
            await store.payouts.mark_paid(payout.payout_id, "FT", morning_of(3))


async def finish(store: Store, mchid: str) -> None:
    """The operator repeats the commands, by the lists that they show."""
    await settle(store, mchid)
    for payout in await store.payouts.newest(mchid, PayoutState.CREATED):
        await store.payouts.mark_paid(payout.payout_id, "FT", morning_of(3))


@pytest.mark.parametrize(("kind", "side"), [(StatementCrashes, Side.BEFORE), (CrashingDatabase, Side.AFTER)])
async def test_a_crash_at_any_step_loses_and_doubles_nothing(
    store: Store, kind: type[StatementCrashes | CrashingDatabase], side: Side
) -> None:
    """Before each statement, which is also after the one before it, and after each commit."""
    dies_at, is_over = 0, False
    while not is_over:
        dies_at += 1
        mchid = f"m{dies_at}"
        await with_terms(store, mchid, reserve_ppm=100_000, reserve_days=1)
        await move(store, *BUSY, Moved(1, "payment", 50), Moved(2, "refund", 20), mchid=mchid)
        await close_before(store, 3, mchid)
        process = Process(dies_at, side)
        try:
            await settle(store_over(store.directory, kind(store.database, process), CIPHER, NODE), mchid)
            is_over = True
        except Crash:
            await finish(store, mchid)
        chain = await chain_of(store, mchid)
        assert [each.amount_minor for each in chain] == [7_849, 50 + 850 - 5, 0], dies_at
        assert [each.carried_minor for each in chain] == [0, 0, -15], dies_at
        assert_contiguous(chain)
        assert await balances_of(store, mchid) == {"bank": 8_744, "merchant": -15, "wallet": -8_729}, dies_at
    assert dies_at > 4
    assert await audited(store) == []
