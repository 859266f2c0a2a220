"""The wallet's record decides on an unmatched payment; and what happens if it cannot be returned."""

from datetime import timedelta
from typing import Final

import pytest

from tael.base.money import Money
from tael.channels.outcomes import Paid, Refusal, Refused, ReversalAction
from tael.incidents.domain.incident import IncidentKind
from tael.payments.domain.payment import Payment, State
from tael.unmatched.domain.unmatched import UnmatchedState
from tests.support.fake_wallet import Payer
from tests.support.scene import Scene, ended, paid_with
from tests.support.store import current
from tests.support.unmatched import (
    AFTER_A_REFUSAL,
    ANOTHER_AMOUNT,
    TWICE,
    UNMATCHED_ORDER,
    UnmatchedCase,
    take,
    unmatched_order,
)
from tests.support.values import (
    BARCODE,
    NOW,
    ONLINE,
)
from tests.support.world import pay, reverse

#: Retries come after one second, two, four and so on; this is longer than any return takes.
LATER: Final = timedelta(hours=2)


# ---- the wallet's record contradicts the notice-------------------------------------------------------------------


async def test_an_order_that_the_record_shows_paid_with_its_price_is_paid(scene: Scene) -> None:
    """The notice had a false amount; the queried record is recorded as an outcome of the payment as well."""
    payment = await pay(scene.gateway, ONLINE, "A")
    scene.wallet.confirm(payment.syssn)
    await scene.notify(payment.syssn, paid_with(101, payment))
    assert (await scene.unmatched()).kind is IncidentKind.WRONG_AMOUNT
    await scene.run_unmatched()

    unmatched = await scene.unmatched()
    assert (unmatched.state, unmatched.check_at, unmatched.syssn) == (
        UnmatchedState.REFUTED,
        None,
        "",
    )
    assert "1.00 HKD" in unmatched.reason
    assert (await current(scene.store, payment)).state is State.PAID
    await scene.assert_nothing_moved()


async def test_a_false_amount_does_not_hide_money_for_a_failed_attempt(scene: Scene) -> None:
    scene.wallet.payer = Payer.HAS_NO_MONEY
    payment = await pay(scene.gateway, BARCODE, "A")
    scene.wallet.take(await scene.gateway.wallets.order(payment))
    await scene.notify(payment.syssn, paid_with(101, payment))
    await scene.run_jobs()

    unmatched_payments = {unmatched.kind: unmatched.state for unmatched in await scene.all_unmatched()}
    assert unmatched_payments == {
        IncidentKind.WRONG_AMOUNT: UnmatchedState.REFUTED,
        IncidentKind.PAID_AFTER_FAILED: UnmatchedState.RETURNED,
    }
    assert list(scene.wallet.refund_book().values()) == [100]
    await scene.assert_books_agree()


async def booked_false_amount(scene: Scene) -> Payment:
    """The wallet took the price; its notice and record both show one cent more, which it then refuses to return."""
    payment = await pay(scene.gateway, ONLINE, "A")
    scene.wallet.confirm(payment.syssn)
    false_outcome = paid_with(101, payment)
    scene.wallet.false_records[payment.syssn] = false_outcome
    await scene.notify(payment.syssn, false_outcome)
    await scene.run_unmatched()
    refused = await scene.unmatched()
    assert (refused.state, refused.amount) == (UnmatchedState.REFUSED, Money(101, "HKD"))
    assert (await current(scene.store, payment)).state is State.FAILED
    return payment


async def test_a_false_amount_is_voided_and_the_true_amount_returned_once_the_record_is_correct(
    scene: Scene,
) -> None:
    payment = await booked_false_amount(scene)
    scene.world.clock.at += timedelta(minutes=1)
    await scene.run_unmatched()
    assert (await scene.unmatched()).state is UnmatchedState.REFUSED  # the record is still false

    scene.wallet.false_records.clear()
    await scene.run_jobs()

    states = {unmatched.amount: unmatched.state for unmatched in await scene.all_unmatched()}
    assert states == {
        Money(101, "HKD"): UnmatchedState.VOIDED,
        Money(100, "HKD"): UnmatchedState.RETURNED,
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


async def test_the_true_amount_is_returned_once_if_its_notice_arrives_before_the_false_one_is_voided(
    scene: Scene,
) -> None:
    payment = await booked_false_amount(scene)
    await scene.notify(payment.syssn)
    await scene.run_unmatched()
    kinds = {unmatched.kind: unmatched.state for unmatched in await scene.all_unmatched()}
    assert kinds == {
        IncidentKind.WRONG_AMOUNT: UnmatchedState.REFUSED,
        IncidentKind.PAID_AFTER_FAILED: UnmatchedState.REFUTED,  # the trade is already handled
    }

    scene.wallet.false_records.clear()
    await scene.run_jobs()
    assert list(scene.wallet.refund_book().values()) == [100]
    await scene.assert_books_agree()


async def test_a_false_amount_of_money_that_went_back_is_only_voided(scene: Scene) -> None:
    payment = await booked_false_amount(scene)
    scene.wallet.false_records.clear()
    scene.wallet.trades[payment.syssn].reversal = ReversalAction.REFUNDED
    await scene.run_jobs()

    states = [unmatched.state for unmatched in await scene.all_unmatched()]
    assert sorted(states) == [UnmatchedState.REFUTED, UnmatchedState.VOIDED]
    assert scene.wallet.refund_book() == {}
    await scene.assert_books_agree()


@pytest.mark.parametrize("case", [TWICE, UNMATCHED_ORDER], ids=str)
async def test_a_false_amount_of_an_unmatched_trade_is_voided_and_the_true_amount_returned(
    scene: Scene, case: UnmatchedCase
) -> None:
    scene.wallet.payer = case.payer
    await case.receive(scene.world, scene.gateway)
    (trade,) = scene.wallet.unacknowledged
    order = scene.wallet.trades[trade].order.syssn
    false_outcome = Paid(Money(701, "HKD"), scene.wallet.trades[trade].wallet_ref, "payer-1", NOW)
    scene.wallet.false_records[order] = false_outcome
    await scene.notify(trade, false_outcome)
    await scene.run_unmatched()
    assert ((await scene.unmatched()).state, scene.wallet.refund_book()) == (UnmatchedState.REFUSED, {})

    scene.wallet.false_records.clear()
    await scene.run_jobs()
    states = {unmatched.amount: unmatched.state for unmatched in await scene.all_unmatched()}
    assert states == {Money(701, "HKD"): UnmatchedState.VOIDED, case.amount: UnmatchedState.RETURNED}
    assert list(scene.wallet.refund_book().values()) == [case.amount.amount_minor]
    assert {incident.unmatched_id for incident in await scene.incidents()} == {
        unmatched.unmatched_id for unmatched in await scene.all_unmatched()
    }
    await scene.assert_books_agree()


async def test_a_false_record_that_lasts_a_day_needs_manual_review(scene: Scene) -> None:
    await booked_false_amount(scene)
    await scene.run_jobs()

    refused = await scene.unmatched()
    assert (refused.state, refused.check_at) == (UnmatchedState.REFUSED, None)
    assert scene.wallet.refund_book() == {}


@pytest.mark.parametrize("case", [TWICE, UNMATCHED_ORDER], ids=str)
async def test_the_record_decides_the_amount_of_an_unmatched_trade(scene: Scene, case: UnmatchedCase) -> None:
    """A correct notice of the same trade is no new event, so the false first notice must not end it."""
    scene.wallet.payer = case.payer
    await case.receive(scene.world, scene.gateway)
    (trade,) = scene.wallet.unacknowledged
    false_outcome = Paid(Money(701, "HKD"), scene.wallet.trades[trade].wallet_ref, "payer-1", NOW)
    await scene.notify(trade, false_outcome)
    assert (await scene.unmatched()).amount == Money(701, "HKD")
    await scene.run_jobs()
    await scene.notify(trade)
    await scene.run_jobs()

    unmatched = await scene.unmatched()
    assert (unmatched.kind, unmatched.state, unmatched.amount) == (
        case.kind,
        UnmatchedState.RETURNED,
        case.amount,
    )
    assert list(scene.wallet.refund_book().values()) == [case.amount.amount_minor]
    await scene.assert_books_agree()


async def test_another_trade_in_the_record_refutes_the_notice_and_is_recorded_itself(scene: Scene) -> None:
    scene.wallet.payer = Payer.HAS_NO_MONEY
    payment = await pay(scene.gateway, BARCODE, "A")
    scene.wallet.take(await scene.gateway.wallets.order(payment))
    await scene.notify(payment.syssn, Paid(Money(100, "HKD"), "trade-unknown", "payer-1", NOW))
    await scene.run_jobs()

    unmatched_payments = {unmatched.wallet_ref: unmatched.state for unmatched in await scene.all_unmatched()}
    assert unmatched_payments == {
        "trade-unknown": UnmatchedState.REFUTED,
        f"trade-{payment.syssn}": UnmatchedState.RETURNED,
    }
    assert list(scene.wallet.refund_book().values()) == [100]
    await scene.assert_books_agree()


async def test_a_closed_unpaid_order_refutes_the_notice(scene: Scene) -> None:
    payment = await ended(scene, State.CLOSED)
    await scene.notify(payment.syssn, paid_with(99, payment))
    await scene.run_unmatched()

    assert (await scene.unmatched()).state is UnmatchedState.REFUTED
    assert (await current(scene.store, payment)).state is State.CLOSED
    await scene.assert_nothing_moved()


async def test_a_payment_that_is_not_confirmed_in_a_day_needs_manual_review(scene: Scene) -> None:
    order = await unmatched_order(scene.gateway, "wechat1", ONLINE)
    await scene.wallet.open(order)
    await scene.notify(order.syssn, Paid(order.amount, "trade-unmatched-1", "payer-1", NOW))
    await scene.run_jobs()

    unmatched = await scene.unmatched()
    assert (unmatched.state, unmatched.check_at) == (UnmatchedState.SUSPECTED, None)
    assert (await scene.incident()).resolved_at is None
    assert scene.world.clock.at > NOW + timedelta(days=1)
    assert unmatched.checks > 1
    await scene.assert_nothing_moved()


# ---- it cannot be returned ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [AFTER_A_REFUSAL, ANOTHER_AMOUNT, TWICE, UNMATCHED_ORDER], ids=str)
async def test_money_that_the_wallet_refuses_to_return_stays_booked_for_manual_review(
    scene: Scene, case: UnmatchedCase
) -> None:
    scene.wallet.refusal = Refused(Refusal.WINDOW_OVER, "TRADE_OVERDUE")
    trade = await scene.receive(case)
    await scene.run_jobs()
    scene.wallet.refusal = None
    scene.world.clock.at += LATER
    await scene.notify(trade)
    await scene.run_jobs()

    refused = await scene.unmatched()
    assert (refused.state, refused.wallet_code) == (UnmatchedState.REFUSED, "TRADE_OVERDUE")
    assert (refused.check_at, refused.returned_at) == (None, None)
    assert [kind for kind, *_ in await scene.unmatched_entries()] == ["unmatched_received"]
    assert scene.wallet.refund_book() == {}
    await scene.assert_books_agree()


async def test_a_return_without_balance_is_repeated_under_the_same_number(scene: Scene) -> None:
    scene.wallet.refusal = Refused(Refusal.MERCHANT_BALANCE, "NOTENOUGH")
    await scene.receive(UNMATCHED_ORDER)
    for _ in range(4):
        await scene.run_unmatched()
        scene.world.clock.at += timedelta(minutes=5)
    waiting = await scene.unmatched()
    assert (waiting.state, waiting.wallet_code) == (UnmatchedState.RETURNING, "NOTENOUGH")
    scene.wallet.refusal = None
    await scene.run_jobs()

    returned = await scene.unmatched()
    assert returned.state is UnmatchedState.RETURNED
    assert len(scene.wallet.refunds_asked) >= 4
    assert set(scene.wallet.refunds_asked) == {waiting.syssn} == {returned.syssn}
    await scene.assert_books_agree()


# ---- a reversal of the same order --------------------------------------------------------------------------------


@pytest.mark.parametrize("remembers_paid", [False, True], ids=["closed in its record", "paid in its record"])
async def test_money_of_a_reversed_order_is_not_returned_again(scene: Scene, remembers_paid: bool) -> None:
    scene.wallet.remembers_paid = remembers_paid
    payment = await pay(scene.gateway, BARCODE, "A")
    await take(scene.world, scene.gateway, payment, Money(99, "HKD"))
    await scene.world.send_notices(scene.gateway)
    await reverse(scene.gateway, payment)  # too young to be reversed: a job continues it
    await scene.run_unmatched()
    assert (await scene.unmatched()).state is UnmatchedState.SUSPECTED
    await scene.run_jobs()

    refuted = await scene.unmatched()
    assert refuted.state is UnmatchedState.REFUTED
    assert "reversal" in refuted.reason
    assert scene.wallet.trades[payment.syssn].reversal is ReversalAction.REFUNDED
    await scene.assert_nothing_moved()
