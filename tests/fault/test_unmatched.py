"""A crash while an unmatched payment is confirmed, booked and returned neither returns it twice nor loses it.

As in `test_crash_points.py`, the process crashes at its first side effect, then at its second, until none is left. The
wallet repeats its notice until it is acknowledged, another process runs the jobs, and the books are compared.
"""

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from tael.audit.verification import audit_books
from tael.base.money import Money
from tael.incidents.domain.incident import Incident, IncidentKind
from tael.merchants.domain.merchant import UnmatchedPolicy
from tael.operations.store import Store
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import State
from tael.unmatched.advance import UnmatchedContext, advance_unmatched
from tael.unmatched.domain.unmatched import UnmatchedPayment, UnmatchedState
from tael.unmatched.review import return_unmatched
from tests.support.crash_states import CrashStates, each_crash
from tests.support.fake_wallet import Payer
from tests.support.store import all_entries, set_policy
from tests.support.unmatched import (
    AFTER_A_REFUSAL,
    CASES,
    TWICE,
    UNMATCHED_ORDER,
    UnmatchedCase,
    wallets_book,
)
from tests.support.values import ONLINE, origin_at
from tests.support.world import Scenario, World, close, pay

#: The wallet's response to a refund, or that none is requested.
MODES = ("at once", "done later", "held")
SCENARIOS = [(case, "at once") for case in CASES] + [
    (case, mode) for case in (TWICE, UNMATCHED_ORDER) for mode in MODES[1:]
]


@pytest.mark.parametrize(("case", "mode"), SCENARIOS, ids=str)
async def test_a_crash_at_any_side_effect_neither_loses_nor_returns_twice_an_unmatched_payment(
    case: UnmatchedCase, mode: str, store: Store, crash_states: CrashStates
) -> None:
    scenario = Scenario(case.name, case.payer, case.receive, is_refund_delayed=mode == "done later")
    states_after_crash: set[UnmatchedState] = set()
    if mode == "held":
        await set_policy(store, UnmatchedPolicy.HOLD)
    async for world, where in each_crash(scenario, store, crash_states):
        states_after_crash |= {unmatched.state for unmatched in await all_unmatched(store)}
        await world.restart()
        await compare(world, case, where, is_held=mode == "held")
    wanted = {UnmatchedState.HELD} if mode == "held" else {UnmatchedState.RETURNING, UnmatchedState.RETURNED}
    assert states_after_crash == {UnmatchedState.SUSPECTED} | wanted


@pytest.mark.parametrize("case", [AFTER_A_REFUSAL, TWICE, UNMATCHED_ORDER], ids=str)
async def test_a_crash_at_any_side_effect_neither_loses_nor_repeats_a_return_by_decision(
    case: UnmatchedCase, store: Store, crash_states: CrashStates
) -> None:
    """A decision that was committed is carried out; without it the money is held."""
    await set_policy(store, UnmatchedPolicy.HOLD)
    scenario = Scenario(case.name, case.payer, decided_after(case))
    states_after_crash: set[UnmatchedState] = set()
    async for world, where in each_crash(scenario, store, crash_states):
        found = {unmatched.state for unmatched in await all_unmatched(store)}
        states_after_crash |= found
        await world.restart()
        is_decided = bool(
            found & {UnmatchedState.APPROVED, UnmatchedState.RETURNING, UnmatchedState.RETURNED}
        )
        await compare(world, case, where, is_held=not is_decided)
    assert states_after_crash == {
        UnmatchedState.SUSPECTED,
        UnmatchedState.HELD,
        UnmatchedState.APPROVED,
        UnmatchedState.RETURNING,
        UnmatchedState.RETURNED,
    }


def decided_after(case: UnmatchedCase) -> Callable[[World, PaymentContext], Awaitable[None]]:
    """The case's payment arrives and is held, and an operator returns it."""

    async def run(world: World, gateway: PaymentContext) -> None:
        await case.receive(world, gateway)
        await world.send_notices(gateway)
        assert isinstance(gateway.store, Store)
        context = UnmatchedContext(gateway, gateway.store.unmatched_payments)
        (suspected,) = await all_unmatched(world.watch)
        await advance_unmatched(suspected, context)
        await return_unmatched(context.table, suspected.unmatched_id, "", origin_at(world.clock.at))

    return run


async def compare(world: World, case: UnmatchedCase, where: str, *, is_held: bool) -> None:
    """Each unmatched trade went back whole under one number, or is held; all other money is the payment's."""
    audit = await audit_books(world.watch.database, wallets_book(world.wallet))
    assert audit.first is None, (where, audit.first)
    found = await all_unmatched(world.watch)
    came = any(trade.is_unasked for trade in world.wallet.trades.values())
    if not came:  # it crashed before the wallet took anything
        assert (found, await incidents(world.watch)) == ([], []), where
        return
    (unmatched,) = found
    assert (unmatched.kind, unmatched.amount) == (case.kind, case.amount), where
    (incident,) = await incidents(world.watch)
    assert (incident.kind, incident.unmatched_id) == (case.kind, unmatched.unmatched_id), where
    entries = [entry for entry in await all_entries(world.watch) if entry.kind.value.startswith("unmatched")]
    moved = Counter((entry.kind.value, entry.cause, entry.amount) for entry in entries)
    booked = Counter([("unmatched_received", unmatched.syssn, case.amount)])
    if is_held:
        assert (unmatched.state, moved) == (UnmatchedState.HELD, booked), where
        assert world.wallet.refunds_asked == [], where
        return
    assert unmatched.state is UnmatchedState.RETURNED, where
    assert moved == booked + Counter([("unmatched_returned", unmatched.syssn, case.amount)]), where
    assert set(world.wallet.refunds_asked) == {unmatched.syssn}, where
    assert world.wallet.refund_book() == {unmatched.syssn: case.amount.amount_minor}, where


async def pay_after_the_close(world: World, gateway: PaymentContext) -> None:
    payment = await pay(gateway, ONLINE, "A")
    await close(gateway, payment)
    world.wallet.take(await gateway.wallets.order(payment))


async def test_a_crash_at_any_side_effect_neither_loses_late_money_nor_notifies_twice(
    store: Store, crash_states: CrashStates
) -> None:
    await store.directory.execute("UPDATE app SET notify_url = 'http://shop'")
    scenario = Scenario("late money", Payer.WAITS, pay_after_the_close)
    async for world, where in each_crash(scenario, store, crash_states):
        await world.restart()
        await compare_late(world, where)


async def compare_late(world: World, where: str) -> None:
    audit = await audit_books(world.watch.database, wallets_book(world.wallet))
    assert audit.first is None, (where, audit.first)
    kinds = [incident.kind for incident in await incidents(world.watch)]
    if not world.wallet.book():
        assert (kinds, world.received) == ([], []), where
        return
    (row,) = await world.watch.database.fetch("SELECT syssn, state FROM payment")
    assert row["state"] == State.PAID, where
    assert kinds == [IncidentKind.LATE_MONEY], where
    entries = [(entry.kind.value, entry.cause, entry.amount) for entry in await all_entries(world.watch)]
    assert entries == [("payment", row["syssn"], Money(100, "HKD"))], where
    assert len(set(world.received)) == 1, where
    (webhook,) = await world.watch.database.fetch("SELECT state FROM webhook")
    assert webhook["state"] == "DELIVERED", where
    assert world.wallet.refunds_asked == [], where


async def all_unmatched(store: Store) -> list[UnmatchedPayment]:
    return await store.unmatched_payments.newest(None, tuple(UnmatchedState), limit=100)


async def incidents(store: Store) -> list[Incident]:
    return await store.incidents.newest(None, with_resolved=True, limit=100)
