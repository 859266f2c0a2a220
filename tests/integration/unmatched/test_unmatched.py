"""An unmatched payment is confirmed, booked and returned once. The wallet's book is the reference."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from tael.base.clock import RealClock
from tael.channels.outcomes import Closed, Paid
from tael.incidents.domain.incident import IncidentKind
from tael.operations.store import Store
from tael.payments.domain.payment import State
from tael.payments.notices import NoticeRefused, notified_account, receive_notice
from tael.qfpay.shown import shown_respcd
from tael.unmatched.advance import advance_unmatched
from tael.unmatched.domain.unmatched import UnmatchedState
from tests.support.crashing import Process
from tests.support.fake_wallet import Payer
from tests.support.scene import ConcurrentWriter, Scene, only_payment
from tests.support.store import all_entries, current
from tests.support.unmatched import (
    ALIPAY_BARCODE,
    ANOTHER_AMOUNT,
    CASES,
    SECOND_TRADE,
    TWICE,
    UNMATCHED_ORDER,
    UnmatchedCase,
    unmatched_order,
)
from tests.support.values import (
    NOW,
    OF_ANY,
    ONLINE,
    ORIGIN,
    a_merchant,
    a_wechat_account,
    an_app,
)
from tests.support.world import pay

# ---- confirmed and returned --------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_delayed", [False, True], ids=["at once", "done when queried"])
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_an_unmatched_payment_is_confirmed_booked_and_returned(
    scene: Scene, case: UnmatchedCase, is_delayed: bool
) -> None:
    scene.wallet.is_refund_delayed = is_delayed
    await scene.receive(case)
    unmatched = await scene.unmatched()
    assert (unmatched.kind, unmatched.amount, unmatched.state) == (
        case.kind,
        case.amount,
        UnmatchedState.SUSPECTED,
    )
    assert await scene.unmatched_entries() == []  # a notice alone books and moves nothing
    assert scene.wallet.refunds_asked == []
    await scene.run_jobs()

    returned = await scene.unmatched()
    assert (returned.state, returned.unmatched_id) == (UnmatchedState.RETURNED, unmatched.unmatched_id)
    assert returned.booked_at is not None
    incident = await scene.incident()
    assert (incident.kind, incident.unmatched_id) == (case.kind, unmatched.unmatched_id)
    assert len(returned.syssn) == 24
    assert returned.return_ref == f"refund-{returned.syssn}"
    assert returned.returned_at is not None
    assert returned.check_at is None
    assert scene.wallet.refund_book() == {returned.syssn: case.amount.amount_minor}
    assert scene.wallet.refunds_asked == [returned.syssn]
    owner = f"{case.amount.currency}:{returned.account_id}"
    assert await scene.unmatched_entries() == [
        ("unmatched_received", f"wallet:{owner}", f"unmatched:{owner}", case.amount),
        ("unmatched_returned", f"unmatched:{owner}", f"wallet:{owner}", case.amount),
    ]
    await scene.assert_books_agree()


async def test_an_order_paid_with_another_amount_fails_without_a_webhook(scene: Scene) -> None:
    await scene.receive(ANOTHER_AMOUNT)
    await scene.run_jobs()

    payment = await only_payment(scene)
    assert (payment.state, shown_respcd(payment), payment.check_at) == (State.FAILED, "1126", None)
    assert scene.world.received == []
    assert {entry.kind.value for entry in await all_entries(scene.store)} == {
        "unmatched_received",
        "unmatched_returned",
    }


async def test_a_second_trade_leaves_the_first_one_paid(scene: Scene) -> None:
    await scene.receive(TWICE)
    await scene.run_jobs()

    payment = await only_payment(scene)
    assert (payment.state, payment.refunded_minor) == (State.PAID, 0)
    assert scene.wallet.trades[payment.syssn].back_minor == 0
    assert scene.wallet.trades[SECOND_TRADE].back_minor == 100
    unmatched = await scene.unmatched()
    assert unmatched.wallet_ref == SECOND_TRADE


async def test_a_second_trade_at_alipay_needs_manual_review(scene: Scene) -> None:
    """Alipay refunds by the order's number, which may mean the first trade."""
    scene.wallet.payer = Payer.PAYS
    payment = await pay(scene.gateway, ALIPAY_BARCODE, "A")
    scene.wallet.take(await scene.gateway.wallets.order(payment), SECOND_TRADE)
    await scene.world.send_notices(scene.gateway)
    await scene.run_jobs()

    incident = await scene.incident()
    assert (incident.kind, incident.unmatched_id) == (IncidentKind.PAID_TWICE, "")
    assert await scene.all_unmatched() == []
    assert scene.wallet.refunds_asked == []


async def test_an_order_of_another_account_needs_manual_review(scene: Scene) -> None:
    payment = await pay(scene.gateway, ONLINE, "A")
    await scene.store.merchants.add_app(an_app("app2"), ORIGIN)
    await scene.store.merchants.add_merchant(a_merchant("mch2", "app2"), ORIGIN)
    await scene.store.accounts.add(a_wechat_account("wechat2", "mch2", "1900000999"), ORIGIN)
    scene.wallet.confirm(payment.syssn)
    account = await notified_account("wechat", "wechat2", scene.gateway)
    with pytest.raises(NoticeRefused):
        await receive_notice(account, {}, payment.syssn.encode(), scene.gateway)
    await scene.run_jobs()

    incident = await scene.incident()
    assert (incident.kind, incident.mchid, incident.subject_id) == (
        IncidentKind.ORDER_OF_ANOTHER_ACCOUNT,
        "mch2",
        payment.syssn,
    )
    assert (incident.account_id, incident.unmatched_id) == ("wechat2", "")
    assert "1.00 HKD" in incident.detail
    assert await scene.all_unmatched() == []
    assert scene.wallet.refunds_asked == []
    assert (await current(scene.store, payment)).state is State.PAID  # its own account was queried
    await scene.assert_books_agree()


# ---- once --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_repeated_notices_are_one_incident_and_one_return(scene: Scene, case: UnmatchedCase) -> None:
    scene.wallet.payer = case.payer
    await case.receive(scene.world, scene.gateway)
    (trade,) = scene.wallet.unacknowledged
    await asyncio.gather(*(scene.notify(trade) for _ in range(5)))
    await scene.run_unmatched()
    await scene.notify(trade)
    await scene.run_jobs()
    before = await scene.unmatched()
    await asyncio.gather(*(scene.notify(trade) for _ in range(5)))
    await scene.run_jobs()

    assert await scene.unmatched() == before
    assert before.state is UnmatchedState.RETURNED
    assert len(await scene.incidents()) == 1
    assert len(scene.wallet.refunds_asked) == 1
    await scene.assert_books_agree()


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_workers_that_hold_the_same_row_return_it_under_one_number(
    scene: Scene, other_store: Store, case: UnmatchedCase
) -> None:
    await scene.receive(case)
    workers = [scene.services, replace(scene.world, watch=other_store).services(Process())]
    ended_lease = RealClock().now() - timedelta(days=1)
    held = [
        (
            await worker.store.unmatched_payments.due.claim(
                scene.world.clock.at, RealClock().now(), ended_lease, 9, OF_ANY
            )
        )[0]
        for worker in workers * 2
    ]
    await asyncio.gather(
        *(advance_unmatched(row, worker.unmatched) for row, worker in zip(held, workers * 2, strict=True))
    )
    await scene.run_jobs()

    returned = await scene.unmatched()
    assert returned.state is UnmatchedState.RETURNED
    assert set(scene.wallet.refunds_asked) == {returned.syssn}
    assert scene.wallet.refund_book() == {returned.syssn: case.amount.amount_minor}
    assert [kind for kind, *_ in await scene.unmatched_entries()] == [
        "unmatched_received",
        "unmatched_returned",
    ]
    await scene.assert_books_agree()


async def test_a_concurrent_write_of_the_payment_does_not_delay_the_confirmation(scene: Scene) -> None:
    await scene.receive(ANOTHER_AMOUNT)
    for nth in count(1):
        writer = ConcurrentWriter(scene.store, nth)
        await scene.run_unmatched(scene.world.services(writer))
        returned = await scene.unmatched()
        assert returned.state is UnmatchedState.RETURNED, nth
        assert set(scene.wallet.refunds_asked) == {returned.syssn}
        if writer.side_effects < nth:
            break
        await scene.reset()
        await scene.receive(ANOTHER_AMOUNT)
    assert nth > 8


async def test_a_row_that_is_leased_is_not_claimed_again(scene: Scene) -> None:
    await scene.receive(UNMATCHED_ORDER)
    real_now = RealClock().now()
    unmatched_payments = scene.store.unmatched_payments
    assert "unmatched_payments" in await scene.store.due_work.queues(NOW, real_now)
    (row,) = await unmatched_payments.due.claim(NOW, real_now, real_now + timedelta(seconds=15), 9, OF_ANY)
    assert "unmatched_payments" not in await scene.store.due_work.queues(NOW, real_now)
    assert (
        await unmatched_payments.due.claim(NOW, real_now, real_now + timedelta(seconds=15), 9, OF_ANY) == []
    )
    until = real_now + timedelta(seconds=15)
    assert await unmatched_payments.due.renew([row], [until], until + timedelta(seconds=5)) == [True]
    assert await unmatched_payments.due.renew([row], [until], until + timedelta(seconds=5)) == [False]


async def test_two_kinds_of_notices_of_one_trade_return_it_once(scene: Scene) -> None:
    await scene.receive(ANOTHER_AMOUNT)
    await scene.run_jobs()
    payment = await only_payment(scene)
    # The order has failed meanwhile, and this notice has no amount.
    await scene.notify(payment.syssn, Paid(None, f"trade-{payment.syssn}", "payer-1", NOW))
    await scene.run_jobs()

    unmatched_payments = {unmatched.kind: unmatched.state for unmatched in await scene.all_unmatched()}
    assert unmatched_payments == {
        IncidentKind.WRONG_AMOUNT: UnmatchedState.RETURNED,
        IncidentKind.PAID_AFTER_FAILED: UnmatchedState.REFUTED,
    }
    assert len(scene.wallet.refunds_asked) == 1
    await scene.assert_books_agree()


async def test_the_close_of_an_order_after_the_return_is_no_new_incident(scene: Scene) -> None:
    """Alipay reports an order as closed once all of its money went back."""
    trade = await scene.receive(UNMATCHED_ORDER)
    await scene.run_jobs()
    before = await scene.unmatched(), await scene.incident()
    await scene.notify(trade, Closed())

    assert before[0].state is UnmatchedState.RETURNED
    assert (await scene.unmatched(), await scene.incident()) == before


async def test_an_unknown_order_that_was_never_paid_is_one_incident(scene: Scene) -> None:
    order = await unmatched_order(scene.gateway, "wechat1", ONLINE)
    await scene.wallet.open(order)
    for _ in range(2):
        await scene.notify(order.syssn, Closed())
    await scene.run_jobs()

    incident = await scene.incident()
    assert (incident.kind, incident.unmatched_id) == (IncidentKind.UNKNOWN_ORDER, "")
    assert await scene.all_unmatched() == []
    await scene.assert_nothing_moved()


async def test_a_refund_notice_ends_the_return(scene: Scene) -> None:
    scene.wallet.is_refund_delayed = True
    await scene.receive(TWICE)
    await scene.run_unmatched()
    assert (await scene.unmatched()).state is UnmatchedState.RETURNING
    (number,) = scene.wallet.refund_book()
    for _ in range(3):
        account = await notified_account("wechat", "wechat1", scene.gateway)
        await receive_notice(account, {}, number.encode(), scene.gateway)
    await scene.run_unmatched()  # due now, long before its next turn

    assert (await scene.unmatched()).state is UnmatchedState.RETURNED
    assert [kind for kind, *_ in await scene.unmatched_entries()] == [
        "unmatched_received",
        "unmatched_returned",
    ]
    assert scene.wallet.refunds_asked == [number]
    await scene.assert_books_agree()
