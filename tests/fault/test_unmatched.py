"""A crash at any word of "proven, booked, sent back" neither sends unmatched payments back twice nor forgets it.

As in `test_crash_points.py`, the process dies at its first word, then at its second, until none is left. A wallet
repeats its notice until it is acknowledged, and another process does the jobs; the wallet's own book is the judge.
"""

from collections import Counter
from dataclasses import replace
from itertools import count

import pytest

from tael.audit.verification import audit_books
from tael.base.money import Money
from tael.incidents.domain.incident import Incident, IncidentKind, UnmatchedState
from tael.operations.store import Store
from tael.payments.domain.payment import State
from tael.payments.gateway import Gateway
from tests.fault.test_crash_points import MAX_STORY, forget
from tests.support.crashing import Process, Side
from tests.support.fake_wallet import Payer
from tests.support.store import all_entries
from tests.support.unmatched import TWICE, UNMATCHED_ORDER, WAYS, Presentment, wallets_book
from tests.support.values import ONLINE
from tests.support.world import Story, World, close, new_world, pay

#: What the wallet answers to a refund, or that none is asked for.
MODES = ("at once", "done later", "kept")
STORIES = [(way, "at once") for way in WAYS] + [
    (way, mode) for way in (TWICE, UNMATCHED_ORDER) for mode in MODES[1:]
]


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(("way", "mode"), STORIES, ids=str)
async def test_a_crash_at_the_nth_word_neither_forgets_unmatched_payments_nor_sends_it_back_twice(
    way: Presentment, side: Side, mode: str, store: Store
) -> None:
    story = Story(way.name, way.payer, way.come, refund_takes_asking=mode == "done later")
    left_by_the_dead: set[UnmatchedState] = set()
    for nth in count(1):
        assert nth < MAX_STORY
        process = Process(nth, side)
        world = replace(new_world(store, story), returns_unmatched_payments=mode != "kept")
        await world.live(story, process)
        left_by_the_dead |= {incident.unmatched_state for incident in await incidents(store)}
        await world.restart()
        await compare(world, way, f"{side} word {nth}")
        if not process.is_dead:
            break
        await forget(store)
    wanted = {UnmatchedState.KEPT} if mode == "kept" else {UnmatchedState.RETURNING, UnmatchedState.RETURNED}
    assert left_by_the_dead == {UnmatchedState.SUSPECTED} | wanted


async def compare(world: World, way: Presentment, where: str) -> None:
    """Each trade that is nobody's went back whole under one number, or is kept; whatever else came is the payment's."""
    audit = await audit_books(world.watch.database, wallets_book(world.wallet))
    assert audit.first is None, (where, audit.first)
    found = await incidents(world.watch)
    came = any(trade.is_unasked for trade in world.wallet.trades.values())
    if not came:  # it died before the wallet took anything
        assert found == [], where
        return
    (incident,) = found
    assert (incident.kind, incident.amount) == (way.kind, way.amount), where
    entries = [entry for entry in await all_entries(world.watch) if entry.kind.value.startswith("unmatched")]
    moved = Counter((entry.kind.value, entry.cause, entry.amount) for entry in entries)
    booked = Counter([("unmatched_received", incident.unmatched_syssn, way.amount)])
    if not world.returns_unmatched_payments:
        assert (incident.unmatched_state, moved) == (UnmatchedState.KEPT, booked), where
        assert world.wallet.refunds_asked == [], where
        return
    assert incident.unmatched_state is UnmatchedState.RETURNED, where
    assert moved == booked + Counter([("unmatched_returned", incident.unmatched_syssn, way.amount)]), where
    assert set(world.wallet.refunds_asked) == {incident.unmatched_syssn}, where
    assert world.wallet.refund_book() == {incident.unmatched_syssn: way.amount.amount_minor}, where


async def pay_after_the_close(world: World, gateway: Gateway) -> None:
    payment = await pay(gateway, ONLINE, "A")
    await close(gateway, payment)
    world.wallet.take(await gateway.order(payment))


@pytest.mark.parametrize("side", Side)
async def test_a_crash_at_the_nth_word_neither_loses_late_money_nor_tells_of_it_twice(
    side: Side, store: Store
) -> None:
    await store.database.execute("UPDATE app SET notify_url = 'http://shop'")
    story = Story("late money", Payer.WAITS, pay_after_the_close)
    for nth in count(1):
        assert nth < MAX_STORY
        process = Process(nth, side)
        world = new_world(store, story)
        await world.live(story, process)
        await world.restart()
        await compare_late(world, f"{side} word {nth}")
        if not process.is_dead:
            break
        await forget(store)


async def compare_late(world: World, where: str) -> None:
    audit = await audit_books(world.watch.database, wallets_book(world.wallet))
    assert audit.first is None, (where, audit.first)
    kinds = [incident.kind for incident in await incidents(world.watch)]
    if not world.wallet.book():
        assert (kinds, world.heard) == ([], []), where
        return
    (row,) = await world.watch.database.fetch("SELECT syssn, state FROM payment")
    assert row["state"] == State.PAID, where
    assert kinds == [IncidentKind.LATE_MONEY], where
    entries = [(entry.kind.value, entry.cause, entry.amount) for entry in await all_entries(world.watch)]
    assert entries == [("payment", row["syssn"], Money(100, "HKD"))], where
    assert len(set(world.heard)) == 1, where
    (webhook,) = await world.watch.database.fetch("SELECT state FROM webhook")
    assert webhook["state"] == "DELIVERED", where
    assert world.wallet.refunds_asked == [], where


async def incidents(store: Store) -> list[Incident]:
    return await store.incidents.newest(None, with_resolved=True, limit=100)
