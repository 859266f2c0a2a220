"""Money for a closed or expired order is the merchant's: PAID, notified, booked, and an incident."""

import asyncio

import pytest

from tael.base.money import Money
from tael.incidents.domain.incident import IncidentKind
from tael.payments.domain.payment import State
from tests.support.scene import Scene, ended
from tests.support.store import all_entries, current


@pytest.mark.parametrize("is_notified", [True, False], ids=["by a notice", "by a query"])
@pytest.mark.parametrize("state", [State.CLOSED, State.EXPIRED])
async def test_late_money_is_paid_with_entry_webhook_and_incident(
    scene: Scene, state: State, is_notified: bool
) -> None:
    payment = await ended(scene, state)
    scene.wallet.take(await scene.gateway.wallets.order(payment))
    if is_notified:
        await scene.world.send_notices(scene.gateway)
        assert (await current(scene.store, payment)).state is State.PAID
    await scene.run_jobs()

    paid = await current(scene.store, payment)
    assert (paid.state, paid.wallet_ref) == (State.PAID, f"trade-{payment.syssn}")
    (entry,) = await all_entries(scene.store)
    assert (entry.cause, entry.kind, entry.amount) == (payment.syssn, "payment", Money(100, "HKD"))
    assert len(scene.world.received) == 1
    assert payment.syssn.encode() in scene.world.received[0]
    incident = await scene.incident()
    assert (incident.kind, incident.subject_id) == (IncidentKind.LATE_MONEY, payment.syssn)
    assert incident.unmatched_id == ""
    assert await scene.all_unmatched() == []
    assert state in incident.detail
    assert scene.wallet.refunds_asked == []
    await scene.assert_books_agree()


async def test_late_money_reported_again_is_one_payment_and_one_incident(scene: Scene) -> None:
    payment = await ended(scene, State.EXPIRED)
    scene.wallet.take(await scene.gateway.wallets.order(payment))
    await asyncio.gather(*(scene.notify(payment.syssn) for _ in range(5)))
    await scene.run_jobs()
    await scene.notify(payment.syssn)
    await scene.run_jobs()

    assert len(await scene.incidents()) == 1
    assert len(scene.world.received) == 1
    assert len(await all_entries(scene.store)) == 1
