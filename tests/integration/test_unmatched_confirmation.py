"""What the wallet's record says of unmatched payments decides; and what becomes of it where the way back is barred."""

from datetime import timedelta
from typing import Final

import pytest

from tael.base.money import Money
from tael.channels.outcomes import Paid, Refusal, Refused, ReversalAction
from tael.incidents.domain.incident import IncidentKind, UnmatchedState
from tael.payments.domain.payment import Payment, State
from tests.support.fake_wallet import Payer
from tests.support.scene import Scene, ended, paid_with
from tests.support.store import current
from tests.support.unmatched import (
    AFTER_A_REFUSAL,
    ANOTHER_AMOUNT,
    TWICE,
    UNMATCHED_ORDER,
    Presentment,
    order_of_a_stranger,
    take,
)
from tests.support.values import (
    BARCODE,
    NOW,
    ONLINE,
)
from tests.support.world import pay, reverse

#: After a second without an answer, two, four and so on; far more than any way back takes.
LATER: Final = timedelta(hours=2)


# ---- the wallet's record says otherwise --------------------------------------------------------------------------


async def test_an_order_that_was_paid_with_its_price_after_all_is_paid(scene: Scene) -> None:
    """The notice lied about the amount; the record, asked for proof, is news of the payment as well."""
    payment = await pay(scene.gateway, ONLINE, "A")
    scene.wallet.confirm(payment.syssn)
    await scene.tell(payment.syssn, paid_with(101, payment))
    assert (await scene.incident()).kind is IncidentKind.WRONG_AMOUNT
    await scene.run_unmatched()

    incident = await scene.incident()
    assert (incident.unmatched_state, incident.check_at, incident.unmatched_syssn) == (
        UnmatchedState.REFUTED,
        None,
        "",
    )
    assert "refuted" in incident.detail
    assert (await current(scene.store, payment)).state is State.PAID
    await scene.assert_nothing_moved()


async def test_a_false_amount_does_not_hide_true_money_for_a_failed_attempt(scene: Scene) -> None:
    scene.wallet.payer = Payer.HAS_NO_MONEY
    payment = await pay(scene.gateway, BARCODE, "A")
    scene.wallet.take(await scene.gateway.order(payment))
    await scene.tell(payment.syssn, paid_with(101, payment))
    await scene.run_jobs()

    unmatched_payments = {incident.kind: incident.unmatched_state for incident in await scene.incidents()}
    assert unmatched_payments == {
        IncidentKind.WRONG_AMOUNT: UnmatchedState.REFUTED,
        IncidentKind.PAID_AFTER_FAILED: UnmatchedState.RETURNED,
    }
    assert list(scene.wallet.refund_book().values()) == [100]
    await scene.assert_books_agree()


async def believed_lie(scene: Scene) -> Payment:
    """The wallet took the price; its notice and its record both say one cent more, which it then refuses to return."""
    payment = await pay(scene.gateway, ONLINE, "A")
    scene.wallet.confirm(payment.syssn)
    lie = paid_with(101, payment)
    scene.wallet.false_records[payment.syssn] = lie
    await scene.tell(payment.syssn, lie)
    await scene.run_unmatched()
    refused = await scene.incident()
    assert (refused.unmatched_state, refused.amount) == (UnmatchedState.REFUSED, Money(101, "HKD"))
    assert (await current(scene.store, payment)).state is State.FAILED
    return payment


async def test_a_lie_that_the_record_takes_back_is_withdrawn_and_the_truth_goes_back(scene: Scene) -> None:
    payment = await believed_lie(scene)
    scene.world.clock.at += timedelta(minutes=1)
    await scene.run_unmatched()
    assert (await scene.incident()).unmatched_state is UnmatchedState.REFUSED  # it still says so

    scene.wallet.false_records.clear()
    await scene.run_jobs()

    unmatched_payments = {incident.kind: incident.unmatched_state for incident in await scene.incidents()}
    assert unmatched_payments == {
        IncidentKind.WRONG_AMOUNT: UnmatchedState.VOIDED,
        IncidentKind.PAID_AFTER_FAILED: UnmatchedState.RETURNED,
    }
    assert list(scene.wallet.refund_book().values()) == [100]
    moved = [(kind, amount.amount_minor) for kind, _, _, amount in await scene.unmatched_entries()]
    assert moved == [
        ("unmatched_received", 100),
        ("unmatched_received", 101),
        ("unmatched_returned", 100),
        ("unmatched_returned", 101),
    ]
    assert (await current(scene.store, payment)).state is State.FAILED
    await scene.assert_books_agree()


async def test_the_truth_that_is_told_while_a_lie_is_booked_waits_for_its_withdrawal(scene: Scene) -> None:
    payment = await believed_lie(scene)
    await scene.tell(payment.syssn)
    await scene.run_unmatched()
    kinds = {incident.kind: incident.unmatched_state for incident in await scene.incidents()}
    assert kinds[IncidentKind.PAID_AFTER_FAILED] is UnmatchedState.SUSPECTED

    scene.wallet.false_records.clear()
    await scene.run_jobs()
    assert list(scene.wallet.refund_book().values()) == [100]
    await scene.assert_books_agree()


async def test_a_lie_about_money_that_the_record_says_is_gone_is_withdrawn_and_nothing_else(
    scene: Scene,
) -> None:
    payment = await believed_lie(scene)
    scene.wallet.false_records.clear()
    scene.wallet.trades[payment.syssn].reversal = ReversalAction.REFUNDED
    await scene.run_jobs()

    assert (await scene.incident()).unmatched_state is UnmatchedState.VOIDED
    assert scene.wallet.refund_book() == {}
    await scene.assert_books_agree()


async def test_a_wallet_that_keeps_to_its_lie_for_a_day_is_left_to_a_person(scene: Scene) -> None:
    await believed_lie(scene)
    await scene.run_jobs()

    refused = await scene.incident()
    assert (refused.unmatched_state, refused.check_at) == (UnmatchedState.REFUSED, None)
    assert scene.wallet.refund_book() == {}


@pytest.mark.parametrize("way", [TWICE, UNMATCHED_ORDER], ids=str)
async def test_of_a_trade_that_is_nobodys_the_record_says_how_much_it_is(
    scene: Scene, way: Presentment
) -> None:
    """The truth about the same trade is no other incident, so the first notice's lie must not end it."""
    scene.wallet.payer = way.payer
    await way.come(scene.world, scene.gateway)
    (about,) = scene.wallet.owed
    lie = Paid(Money(701, "HKD"), scene.wallet.trades[about].wallet_ref, "payer-1", NOW)
    await scene.tell(about, lie)
    assert (await scene.incident()).amount == Money(701, "HKD")
    await scene.run_jobs()
    await scene.tell(about)
    await scene.run_jobs()

    incident = await scene.incident()
    assert (incident.kind, incident.unmatched_state, incident.amount) == (
        way.kind,
        UnmatchedState.RETURNED,
        way.amount,
    )
    assert list(scene.wallet.refund_book().values()) == [way.amount.amount_minor]
    await scene.assert_books_agree()


async def test_another_trade_in_the_record_disproves_the_news_and_is_news_itself(scene: Scene) -> None:
    scene.wallet.payer = Payer.HAS_NO_MONEY
    payment = await pay(scene.gateway, BARCODE, "A")
    scene.wallet.take(await scene.gateway.order(payment))
    await scene.tell(payment.syssn, Paid(Money(100, "HKD"), "trade-of-nobody", "payer-1", NOW))
    await scene.run_jobs()

    unmatched_payments = {
        incident.wallet_ref: incident.unmatched_state for incident in await scene.incidents()
    }
    assert unmatched_payments == {
        "trade-of-nobody": UnmatchedState.REFUTED,
        f"trade-{payment.syssn}": UnmatchedState.RETURNED,
    }
    assert list(scene.wallet.refund_book().values()) == [100]
    await scene.assert_books_agree()


async def test_an_order_that_is_closed_and_unpaid_disproves_the_news(scene: Scene) -> None:
    payment = await ended(scene, State.CLOSED)
    await scene.tell(payment.syssn, paid_with(99, payment))
    await scene.run_unmatched()

    assert (await scene.incident()).unmatched_state is UnmatchedState.REFUTED
    assert (await current(scene.store, payment)).state is State.CLOSED
    await scene.assert_nothing_moved()


async def test_what_the_record_does_not_confirm_in_a_day_is_left_to_a_person(scene: Scene) -> None:
    order = await order_of_a_stranger(scene.gateway, "wechat1", ONLINE)
    await scene.wallet.open(order)
    await scene.tell(order.syssn, Paid(order.amount, "trade-nobodys-1", "payer-1", NOW))
    await scene.run_jobs()

    incident = await scene.incident()
    assert (incident.unmatched_state, incident.check_at, incident.resolved_at) == (
        UnmatchedState.SUSPECTED,
        None,
        None,
    )
    assert scene.world.clock.at > NOW + timedelta(days=1)
    assert incident.checks > 1
    await scene.assert_nothing_moved()


# ---- the way back is barred --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [AFTER_A_REFUSAL, ANOTHER_AMOUNT, TWICE, UNMATCHED_ORDER], ids=str)
async def test_money_that_the_wallet_will_not_send_back_stays_booked_for_a_person(
    scene: Scene, way: Presentment
) -> None:
    scene.wallet.refusal = Refused(Refusal.WINDOW_OVER, "TRADE_OVERDUE")
    about = await scene.come(way)
    await scene.run_jobs()
    scene.wallet.refusal = None
    scene.world.clock.at += LATER
    await scene.tell(about)
    await scene.run_jobs()

    refused = await scene.incident()
    assert (refused.unmatched_state, refused.wallet_code) == (UnmatchedState.REFUSED, "TRADE_OVERDUE")
    assert (refused.check_at, refused.returned_at) == (None, None)
    assert [kind for kind, *_ in await scene.unmatched_entries()] == ["unmatched_received"]
    assert scene.wallet.refund_book() == {}
    await scene.assert_books_agree()


async def test_what_cannot_go_back_now_goes_back_later_under_the_same_number(scene: Scene) -> None:
    scene.wallet.refusal = Refused(Refusal.MERCHANT_BALANCE, "NOTENOUGH")
    await scene.come(UNMATCHED_ORDER)
    for _ in range(4):
        await scene.run_unmatched()
        scene.world.clock.at += timedelta(minutes=5)
    waiting = await scene.incident()
    assert (waiting.unmatched_state, waiting.wallet_code) == (UnmatchedState.RETURNING, "NOTENOUGH")
    scene.wallet.refusal = None
    await scene.run_jobs()

    returned = await scene.incident()
    assert returned.unmatched_state is UnmatchedState.RETURNED
    assert len(scene.wallet.refunds_asked) >= 4
    assert set(scene.wallet.refunds_asked) == {waiting.unmatched_syssn} == {returned.unmatched_syssn}
    await scene.assert_books_agree()


# ---- a reversal of the same order --------------------------------------------------------------------------------


@pytest.mark.parametrize("remembers_paid", [False, True], ids=["closed in its record", "paid in its record"])
async def test_money_of_an_order_that_a_reversal_undid_is_not_sent_back_again(
    scene: Scene, remembers_paid: bool
) -> None:
    scene.wallet.remembers_paid = remembers_paid
    payment = await pay(scene.gateway, BARCODE, "A")
    await take(scene.world, scene.gateway, payment, Money(99, "HKD"))
    await scene.world.send_notices(scene.gateway)
    await reverse(scene.gateway, payment)  # too young to be undone: a job goes on with it
    await scene.run_unmatched()
    assert (await scene.incident()).unmatched_state is UnmatchedState.SUSPECTED
    await scene.run_jobs()

    refuted = await scene.incident()
    assert refuted.unmatched_state is UnmatchedState.REFUTED
    assert "reversal" in refuted.detail
    assert scene.wallet.trades[payment.syssn].reversal is ReversalAction.REFUNDED
    await scene.assert_nothing_moved()
