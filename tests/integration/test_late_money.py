"""Money for an order that was closed or expired here is the merchant's: PAID, told, booked, and seen by a person."""

import asyncio

import pytest

from tael.base.money import Money
from tael.incidents.domain.incident import IncidentKind, UnmatchedState
from tael.payments.domain.payment import State
from tests.support.scene import Scene, ended
from tests.support.store import all_entries, current


@pytest.mark.parametrize("is_told", [True, False], ids=["by a notice", "by a question of ours"])
@pytest.mark.parametrize("state", [State.CLOSED, State.EXPIRED])
async def test_late_money_is_paid_with_entry_webhook_and_incident(
    scene: Scene, state: State, is_told: bool
) -> None:
    payment = await ended(scene, state)
    scene.wallet.take(await scene.gateway.order(payment))
    if is_told:
        await scene.world.send_notices(scene.gateway)
        assert (await current(scene.store, payment)).state is State.PAID
    await scene.run_jobs()

    paid = await current(scene.store, payment)
    assert (paid.state, paid.wallet_ref) == (State.PAID, f"trade-{payment.syssn}")
    (entry,) = await all_entries(scene.store)
    assert (entry.cause, entry.kind, entry.amount) == (payment.syssn, "payment", Money(100, "HKD"))
    assert len(scene.world.heard) == 1
    assert payment.syssn.encode() in scene.world.heard[0]
    incident = await scene.incident()
    assert (incident.kind, incident.subject_id) == (IncidentKind.LATE_MONEY, payment.syssn)
    assert (incident.amount, incident.unmatched_state) == (Money(100, "HKD"), UnmatchedState.NONE)
    assert state in incident.detail
    assert scene.wallet.refunds_asked == []
    await scene.assert_books_agree()


async def test_late_money_told_again_is_one_payment_and_one_incident(scene: Scene) -> None:
    payment = await ended(scene, State.EXPIRED)
    scene.wallet.take(await scene.gateway.order(payment))
    await asyncio.gather(*(scene.tell(payment.syssn) for _ in range(5)))
    await scene.run_jobs()
    await scene.tell(payment.syssn)
    await scene.run_jobs()

    assert len(await scene.incidents()) == 1
    assert len(scene.world.heard) == 1
    assert len(await all_entries(scene.store)) == 1
