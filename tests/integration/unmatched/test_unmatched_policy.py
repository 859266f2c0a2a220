"""Confirmed money is held or returned by the merchant's policy; an operator decides about what is held."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Final

import asyncpg
import pytest
import structlog

from tael.base.money import Money
from tael.channels.base import ChannelOrder, ChannelRefund
from tael.channels.outcomes import (
    Outcome,
    Paid,
    RefundOutcome,
    Refusal,
    Refused,
    ReversalAction,
    ReversalOutcome,
)
from tael.merchants.domain.merchant import UnmatchedPolicy
from tael.operations.store import Store
from tael.payments.domain.payment import State
from tael.payments.domain.reversal import ReversalState
from tael.unmatched.domain.unmatched import REMINDER, UnmatchedPayment, UnmatchedState
from tael.unmatched.review import keep_unmatched, return_unmatched
from tael.unmatched.store.unmatched import UnmatchedFigure
from tael_demo.seed import seed
from tests.support.crashing import Process
from tests.support.fake_wallet import FakeWallet, Payer
from tests.support.scene import Scene, only_payment, paid_with, scene_of
from tests.support.store import current, entered_store, set_policy
from tests.support.unmatched import (
    AFTER_A_REFUSAL,
    ANOTHER_AMOUNT,
    CASES,
    IN_ANOTHER_CURRENCY,
    SECOND_TRADE,
    TWICE,
    UNMATCHED_ORDER,
    UnmatchedCase,
    take,
    unmatched_order,
)
from tests.support.values import BARCODE, MCHID, NOW, ONLINE, ORIGIN, a_merchant, a_wechat_account, origin_at
from tests.support.world import pay, refund, reverse

LATER: Final = timedelta(hours=2)
FALSE: Final = Paid(Money(701, "HKD"), "", "payer-1", NOW)
Decide = Callable[[Scene, UnmatchedPayment], Awaitable[str]]


@pytest.fixture
async def holding(store: Store) -> Scene:
    """A scene whose merchant holds unmatched payments."""
    await set_policy(store, UnmatchedPolicy.HOLD)
    return scene_of(store)


async def with_policy(scene: Scene, policy: UnmatchedPolicy) -> Scene:
    """The scene in another process, after the merchant's policy has changed."""
    await set_policy(scene.store, policy)
    return Scene(scene.world, scene.world.services(Process()))


async def held(scene: Scene, case: UnmatchedCase = UNMATCHED_ORDER) -> UnmatchedPayment:
    """The case's payment, confirmed and held."""
    await scene.receive(case)
    await scene.run_unmatched()
    unmatched = await scene.unmatched()
    assert unmatched.state is UnmatchedState.HELD
    return unmatched


async def keep(scene: Scene, unmatched: UnmatchedPayment, note: str = "the shop agreed") -> str:
    """Keep it, as an operator; returns why it was refused."""
    decided = await keep_unmatched(
        scene.store.unmatched_payments, unmatched.unmatched_id, note, origin_at(scene.world.clock.at)
    )
    assert decided is not None
    return decided.refusal


async def send_back(scene: Scene, unmatched: UnmatchedPayment, note: str = "") -> str:
    """Return it, as an operator; returns why it was refused."""
    decided = await return_unmatched(
        scene.store.unmatched_payments, unmatched.unmatched_id, note, origin_at(scene.world.clock.at)
    )
    assert decided is not None
    return decided.refusal


@dataclass
class WatchedWallet(FakeWallet):
    """Calls the test before it carries out a request."""

    before: Mapping[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)

    async def query(self, order: ChannelOrder) -> Outcome:
        await self._watch("query")
        return await super().query(order)

    async def refund(self, order: ChannelRefund) -> RefundOutcome:
        await self._watch("refund")
        return await super().refund(order)

    async def reverse(self, order: ChannelOrder) -> ReversalOutcome:
        await self._watch("reverse")
        return await super().reverse(order)

    async def _watch(self, request: str) -> None:
        if request in self.before:
            await self.before[request]()


def watched(scene: Scene, **before: Callable[[], Awaitable[None]]) -> Scene:
    """The same books and the same wallet, whose requests are watched."""
    values = {field.name: getattr(scene.wallet, field.name) for field in fields(scene.wallet)}
    world = replace(scene.world, wallet=WatchedWallet(**values, before=before))
    return Scene(world, world.services(Process()))


# ---- the policy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_with_the_policy_hold_it_is_booked_and_held(holding: Scene, case: UnmatchedCase) -> None:
    trade = await holding.receive(case)
    await holding.run_jobs()
    holding.world.clock.at += LATER
    await holding.notify(trade)
    await holding.run_jobs()

    unmatched = await holding.unmatched()
    assert (unmatched.state, unmatched.amount, unmatched.asked_at) == (UnmatchedState.HELD, case.amount, None)
    assert [(kind, amount) for kind, _, _, amount in await holding.unmatched_entries()] == [
        ("unmatched_received", case.amount)
    ]
    assert holding.wallet.refunds_asked == []
    incident = await holding.incident()
    assert (incident.unmatched_id, incident.resolved_at) == (unmatched.unmatched_id, None)
    await holding.assert_books_agree()


async def test_each_merchant_has_its_own_policy(holding: Scene) -> None:
    other = a_merchant("mch2", unmatched_payments=UnmatchedPolicy.RETURN)
    await holding.store.merchants.add_merchant(other, ORIGIN)
    await holding.store.accounts.add(a_wechat_account("wechat2", "mch2", "1900000111"), ORIGIN)
    for account_id in ("wechat1", "wechat2"):
        order = await unmatched_order(holding.gateway, account_id, ONLINE)
        holding.wallet.take(order.replace(syssn=f"order-of-{account_id}"))
    await holding.world.send_notices(holding.gateway)
    await holding.run_jobs()

    states = {each.subject_id: (each.mchid, each.state) for each in await holding.all_unmatched()}
    assert states == {
        "order-of-wechat1": (MCHID, UnmatchedState.HELD),
        "order-of-wechat2": ("mch2", UnmatchedState.RETURNED),
    }


async def test_money_that_is_held_is_not_returned_when_the_policy_becomes_return(holding: Scene) -> None:
    before = await held(holding)
    scene = await with_policy(holding, UnmatchedPolicy.RETURN)
    await scene.notify(before.subject_id)
    await scene.run_jobs()

    assert (await scene.unmatched()).state is UnmatchedState.HELD
    assert scene.wallet.refunds_asked == []


async def test_a_return_goes_on_when_the_policy_becomes_hold(scene: Scene) -> None:
    scene.wallet.refusal = Refused(Refusal.MERCHANT_BALANCE, "NOTENOUGH")
    await scene.receive(UNMATCHED_ORDER)
    await scene.run_unmatched()
    assert (await scene.unmatched()).state is UnmatchedState.RETURNING
    scene.wallet.refusal = None
    other = await with_policy(scene, UnmatchedPolicy.HOLD)
    await other.run_jobs()

    assert (await other.unmatched()).state is UnmatchedState.RETURNED
    await other.assert_books_agree()


async def test_a_demo_returns_unless_a_policy_is_given_and_a_later_start_keeps_it(database_url: str) -> None:
    async with entered_store(database_url) as store:
        for given, policy in (
            (None, UnmatchedPolicy.RETURN),
            (UnmatchedPolicy.HOLD, UnmatchedPolicy.HOLD),
            (None, UnmatchedPolicy.HOLD),
            (UnmatchedPolicy.RETURN, UnmatchedPolicy.RETURN),
        ):
            apps = await seed(store, [], NOW, given)
            found = [
                m.unmatched_payments for app in apps for m in await store.merchants.of_app(app.app.appcode)
            ]
            assert (
                found == [policy] * 15
            )  # the chain has two merchants, the app in ten currencies ten, the others one


# ---- what we undo ourselves never waits for the policy -----------------------------------------------------------


async def test_an_expired_barcode_payment_is_undone_whatever_the_policy(holding: Scene) -> None:
    payment = await pay(holding.gateway, BARCODE, "A")
    holding.world.clock.at = payment.expires_at + timedelta(seconds=1)
    holding.wallet.payer = Payer.BEATS_THE_CLOSE  # the payer pays in the moment of the reversal
    await holding.run_jobs()

    assert (await current(holding.store, payment)).state is State.FAILED
    assert holding.wallet.trades[payment.syssn].reversal is ReversalAction.REFUNDED
    assert await holding.all_unmatched() == []
    await holding.assert_nothing_moved()


@pytest.mark.parametrize("remembers_paid", [False, True], ids=["closed in its record", "paid in its record"])
async def test_a_reversal_is_carried_out_whatever_the_policy(holding: Scene, remembers_paid: bool) -> None:
    """Money with another amount arrives while the reversal waits; it goes back with the order and is never held."""
    holding.wallet.remembers_paid = remembers_paid
    payment = await pay(holding.gateway, BARCODE, "A")
    await take(holding.world, holding.gateway, payment, Money(99, "HKD"))
    await holding.world.send_notices(holding.gateway)
    await reverse(holding.gateway, payment)
    await holding.run_jobs()

    assert (await holding.unmatched()).state is UnmatchedState.REFUTED
    (reversal,) = await holding.store.reversals.of_payment(payment.mchid, payment.syssn)
    assert reversal.state is ReversalState.DONE
    assert holding.wallet.trades[payment.syssn].reversal is ReversalAction.REFUNDED
    await holding.assert_nothing_moved()


async def test_a_refund_is_repeated_whatever_the_policy(holding: Scene) -> None:
    holding.wallet.payer = Payer.PAYS
    holding.wallet.is_refund_delayed = True
    payment = await pay(holding.gateway, BARCODE, "A")
    await refund(holding.gateway, payment, "R", 40)
    holding.wallet.trades[payment.syssn].refunds.clear()  # it never reached the wallet
    await holding.run_jobs()

    assert len(holding.wallet.refunds_asked) == 2
    assert (await current(holding.store, payment)).refunded_minor == 40
    await holding.assert_books_agree()


# ---- the operator's decision -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [AFTER_A_REFUSAL, ANOTHER_AMOUNT, TWICE, UNMATCHED_ORDER], ids=str)
async def test_held_money_is_returned_once_by_decision(holding: Scene, case: UnmatchedCase) -> None:
    unmatched = await held(holding, case)
    assert await send_back(holding, unmatched, "not ours") == ""
    assert (await holding.unmatched()).state is UnmatchedState.APPROVED
    assert holding.wallet.refunds_asked == []  # the decision is committed first
    await holding.run_jobs()
    await holding.notify(await only_trade(holding))
    await holding.run_jobs()

    returned = await holding.unmatched()
    assert (returned.state, returned.note) == (UnmatchedState.RETURNED, "not ours")
    assert (returned.syssn, returned.remind_at) == (unmatched.syssn, None)
    assert holding.wallet.refund_book() == {unmatched.syssn: case.amount.amount_minor}
    assert [kind for kind, *_ in await holding.unmatched_entries()] == [
        "unmatched_received",
        "unmatched_returned",
    ]
    incident = await holding.incident()
    assert (incident.resolution, incident.resolved_at) == ("not ours", returned.returned_at)
    await holding.assert_books_agree()


async def only_trade(scene: Scene) -> str:
    """The name of the unmatched trade in the wallet's book."""
    (trade,) = [name for name, trade in scene.wallet.trades.items() if trade.is_unasked]
    return trade


async def test_the_refund_is_committed_before_it_is_requested(holding: Scene) -> None:
    unmatched = await held(holding)
    await send_back(holding, unmatched)
    seen: list[UnmatchedState] = []

    async def look() -> None:
        seen.append((await holding.unmatched()).state)

    await watched(holding, refund=look).run_unmatched()
    assert seen == [UnmatchedState.RETURNING]


async def test_money_that_went_back_without_us_is_not_returned_by_decision(holding: Scene) -> None:
    unmatched = await held(holding, AFTER_A_REFUSAL)
    holding.wallet.trades[unmatched.subject_id].reversal = ReversalAction.REFUNDED
    await send_back(holding, unmatched, "not ours")
    await holding.run_jobs()

    states = {each.unmatched_id: each.state for each in await holding.all_unmatched()}
    assert states.pop(unmatched.unmatched_id) is UnmatchedState.VOIDED
    assert list(states.values()) == [UnmatchedState.REFUTED]
    assert holding.wallet.refunds_asked == []
    assert [incident.resolved_at for incident in await holding.incidents()] == [None, None]
    await holding.assert_books_agree()


async def test_a_return_by_decision_waits_for_a_reversal_in_progress(holding: Scene) -> None:
    unmatched = await held(holding, TWICE)
    await send_back(holding, unmatched)
    states: list[UnmatchedState] = []

    async def meanwhile() -> None:
        await holding.run_unmatched()
        states.append((await holding.unmatched()).state)

    payment = await only_payment(holding)
    await reverse(watched(holding, reverse=meanwhile).gateway, payment)
    assert (states, holding.wallet.refunds_asked) == ([UnmatchedState.APPROVED], [])
    await holding.run_jobs()

    assert (await holding.unmatched()).state is UnmatchedState.RETURNED
    assert holding.wallet.trades[payment.syssn].reversal is ReversalAction.REFUNDED
    assert holding.wallet.trades[SECOND_TRADE].back_minor == 100
    await holding.assert_books_agree()


async def test_a_return_that_is_not_confirmed_in_a_day_is_held_again(holding: Scene) -> None:
    unmatched = await held(holding)
    trades = dict(holding.wallet.trades)
    holding.wallet.trades.clear()  # it does not know the order
    await send_back(holding, unmatched, "not ours")
    for hours in (0, 23):
        holding.world.clock.at += timedelta(hours=hours)
        await holding.run_unmatched()
        assert (await holding.unmatched()).state is UnmatchedState.APPROVED
    holding.world.clock.at += timedelta(hours=2)
    await holding.run_unmatched()
    held_again = await holding.unmatched()
    assert (held_again.state, held_again.asked_at) == (UnmatchedState.HELD, None)
    assert len(await reminders(holding, 1)) == 1
    assert holding.wallet.refunds_asked == []
    assert (await holding.incident()).resolved_at is None

    holding.wallet.trades.update(trades)
    assert await send_back(holding, held_again) == ""
    await holding.run_jobs()
    assert (await holding.unmatched()).state is UnmatchedState.RETURNED
    await holding.assert_books_agree()


async def test_without_a_note_a_decided_return_leaves_the_incident_open(holding: Scene) -> None:
    assert await send_back(holding, await held(holding)) == ""
    await holding.run_jobs()
    assert (await holding.unmatched()).state is UnmatchedState.RETURNED
    assert (await holding.incident()).resolved_at is None


async def test_kept_money_is_never_returned_and_its_incident_is_resolved(holding: Scene) -> None:
    unmatched = await held(holding)
    assert await keep(holding, unmatched) == ""
    other = await with_policy(holding, UnmatchedPolicy.RETURN)
    await other.notify(unmatched.subject_id)
    await other.run_jobs()

    kept = await other.unmatched()
    assert (kept.state, kept.note, kept.check_at) == (UnmatchedState.KEPT, "the shop agreed", None)
    assert other.wallet.refunds_asked == []
    incident = await other.incident()
    assert (incident.resolution, incident.resolved_at) == ("the shop agreed", NOW)
    await other.assert_books_agree()


async def test_only_one_of_two_decisions_stands(holding: Scene) -> None:
    unmatched = await held(holding)
    assert await keep(holding, unmatched) == ""
    assert "KEPT" in await send_back(holding, unmatched)
    await holding.run_jobs()
    assert holding.wallet.refunds_asked == []
    assert "KEPT" in await keep(holding, unmatched, "again")
    assert (await holding.unmatched()).note == "the shop agreed"


async def test_one_of_many_decisions_at_once_stands(holding: Scene) -> None:
    unmatched = await held(holding)
    notes = [f"operator {number}" for number in range(4)]
    refusals = await asyncio.gather(
        *(keep(holding, unmatched, note) for note in notes),
        *(send_back(holding, unmatched, note) for note in notes),
    )
    assert refusals.count("") == 1
    decided = await holding.unmatched()
    winner = refusals.index("")
    state = UnmatchedState.KEPT if winner < len(notes) else UnmatchedState.APPROVED
    assert (decided.state, decided.note) == (state, notes[winner % len(notes)])
    assert decided.version == unmatched.version + 1


@pytest.mark.parametrize(
    ("decide", "state", "refunds"),
    [(keep, UnmatchedState.KEPT, 0), (send_back, UnmatchedState.RETURNED, 1)],
    ids=["keep", "return"],
)
async def test_a_decision_while_a_job_queries_the_wallet_stands(
    holding: Scene, decide: Decide, state: UnmatchedState, refunds: int
) -> None:
    unmatched = await held(holding)
    refusals: list[str] = []

    async def decide_once() -> None:
        if not refusals:
            refusals.append(await decide(holding, unmatched))

    holding.world.clock.at += timedelta(days=1)
    scene = watched(holding, query=decide_once)
    await scene.run_unmatched()
    assert refusals == [""]
    await holding.run_jobs()
    assert (await holding.unmatched()).state is state
    assert len(holding.wallet.refunds_asked) == refunds
    await holding.assert_books_agree()


async def test_a_decision_to_keep_is_too_late_once_the_return_is_approved(holding: Scene) -> None:
    unmatched = await held(holding)
    await send_back(holding, unmatched)
    refusals: list[str] = []

    async def decide() -> None:
        refusals.append(await keep(holding, unmatched))

    await watched(holding, query=decide, refund=decide).run_unmatched()
    assert refusals == ["it is APPROVED, not HELD or REFUSED", "it is RETURNING, not HELD or REFUSED"]
    assert (await holding.unmatched()).state is UnmatchedState.RETURNED


async def test_the_database_refuses_a_kept_one_without_a_note_and_a_long_note(holding: Scene) -> None:
    await held(holding)
    for change in ("state = 'KEPT'", "note = repeat('x', 501)"):
        with pytest.raises(asyncpg.CheckViolationError):
            await holding.store.database.execute(f"UPDATE unmatched_payment SET {change}")


async def test_a_payment_that_the_wallet_refuses_to_return_can_be_kept_after_a_day(holding: Scene) -> None:
    unmatched = await held(holding)
    holding.wallet.refusal = Refused(Refusal.WINDOW_OVER, "TRADE_OVERDUE")
    await send_back(holding, unmatched, "not ours")
    await holding.run_unmatched()
    assert (await holding.unmatched()).state is UnmatchedState.REFUSED
    assert "still being queried" in await keep(holding, unmatched)
    await holding.run_jobs()
    assert (await holding.incident()).resolved_at is None
    assert "REFUSED" in await send_back(holding, unmatched)
    assert await keep(holding, unmatched) == ""
    assert (await holding.unmatched()).state is UnmatchedState.KEPT
    assert (await holding.incident()).resolution == "the shop agreed"
    await holding.assert_books_agree()


async def test_a_returned_payment_is_not_decided_again(scene: Scene) -> None:
    await scene.receive(UNMATCHED_ORDER)
    await scene.run_jobs()
    returned = await scene.unmatched()
    assert "RETURNED" in await send_back(scene, returned)
    assert "RETURNED" in await keep(scene, returned)
    assert await scene.unmatched() == returned


# ---- the record of held money changes ----------------------------------------------------------------------------


async def test_a_false_amount_that_is_held_is_replaced_by_the_true_one(holding: Scene) -> None:
    payment = await pay(holding.gateway, ONLINE, "A")
    holding.wallet.confirm(payment.syssn)
    false_outcome = paid_with(101, payment)
    holding.wallet.false_records[payment.syssn] = false_outcome
    await holding.notify(payment.syssn, false_outcome)
    await holding.run_unmatched()
    assert (await holding.unmatched()).amount == Money(101, "HKD")
    holding.wallet.false_records.clear()
    await holding.run_jobs()

    amounts = {each.amount: each.state for each in await holding.all_unmatched()}
    assert amounts == {
        Money(101, "HKD"): UnmatchedState.VOIDED,
        Money(100, "HKD"): UnmatchedState.HELD,
    }
    assert {i.unmatched_id for i in await holding.incidents()} == {
        each.unmatched_id for each in await holding.all_unmatched()
    }
    await holding.assert_books_agree()


@pytest.mark.parametrize("case", [ANOTHER_AMOUNT, TWICE, UNMATCHED_ORDER], ids=str)
async def test_a_false_record_does_not_replace_true_money_for_good(
    holding: Scene, case: UnmatchedCase
) -> None:
    trade = await holding.receive(case)
    await holding.run_unmatched()
    order = holding.wallet.trades[trade].order
    false_outcome = replace(
        paid_with(98, await only_payment(holding)) if case is not UNMATCHED_ORDER else FALSE,
        wallet_ref=holding.wallet.trades[trade].wallet_ref,
    )
    for _ in range(2):  # the second time it contradicts what replaced the first
        holding.wallet.false_records[order.syssn] = false_outcome
        holding.world.clock.at += timedelta(days=1)
        await holding.run_unmatched()
        holding.wallet.false_records.clear()
        await holding.run_jobs()
        (now_held,) = [u for u in await holding.all_unmatched() if u.state is UnmatchedState.HELD]
        assert now_held.amount == case.amount
        await holding.assert_books_agree()
    states = [each.state for each in await holding.all_unmatched()]
    assert states.count(UnmatchedState.VOIDED) == 2
    assert holding.wallet.refunds_asked == []


async def test_held_money_that_went_back_without_us_is_booked_out(holding: Scene) -> None:
    """An operator refunded it in the wallet's own portal, for example."""
    unmatched = await held(holding, AFTER_A_REFUSAL)
    holding.wallet.trades[unmatched.subject_id].reversal = ReversalAction.REFUNDED
    await holding.run_jobs()

    states = {each.unmatched_id: each.state for each in await holding.all_unmatched()}
    assert states.pop(unmatched.unmatched_id) is UnmatchedState.VOIDED
    assert list(states.values()) == [UnmatchedState.REFUTED]
    await holding.assert_books_agree()


# ---- the figures -------------------------------------------------------------------------------------------------


async def test_the_figures_have_amount_and_age_of_what_is_held_by_currency(holding: Scene) -> None:
    for minutes, case in ((0, IN_ANOTHER_CURRENCY), (10, AFTER_A_REFUSAL), (20, UNMATCHED_ORDER)):
        holding.world.clock.at = NOW + timedelta(minutes=minutes)
        await holding.receive(case)
        await holding.run_unmatched()
    table = holding.store.unmatched_payments
    assert await table.figures() == [
        UnmatchedFigure(UnmatchedState.HELD, "HKD", 100 + 700, NOW + timedelta(minutes=10)),
        UnmatchedFigure(UnmatchedState.HELD, "USD", 100, NOW),
    ]
    _, middle, oldest = await table.newest(None, (UnmatchedState.HELD,), limit=10)
    await keep(holding, oldest)
    await send_back(holding, middle)
    assert await table.figures() == [
        UnmatchedFigure(UnmatchedState.APPROVED, "HKD", 100, NOW + timedelta(minutes=10)),
        UnmatchedFigure(UnmatchedState.HELD, "HKD", 700, NOW + timedelta(minutes=20)),
    ]


# ---- the daily reminder ------------------------------------------------------------------------------------------


async def reminders(scene: Scene, days: float) -> list[dict[str, object]]:
    """The reminders that are logged while the clock moves by so many days, in steps of six hours."""
    with structlog.testing.capture_logs() as logs:
        for _ in range(int(days * 4)):
            scene.world.clock.at += timedelta(hours=6)
            await scene.run_unmatched()
    return [dict(event) for event in logs if event["event"] == "unmatched.held"]


async def test_the_log_reminds_of_held_money_once_a_day(holding: Scene) -> None:
    unmatched = await held(holding, TWICE)
    found = await reminders(holding, 3)

    assert [event["age_s"] for event in found] == [86_400 * day for day in (1, 2, 3)]
    first = found[0]
    assert (first["log_level"], first["unmatched_id"]) == ("warning", unmatched.unmatched_id)
    assert (first["amount_minor"], first["currency"], first["mchid"]) == (100, "HKD", unmatched.mchid)
    assert unmatched.remind_at == NOW + REMINDER
    assert holding.wallet.trades[SECOND_TRADE].back_minor == 0


@pytest.mark.parametrize("decide", [keep, send_back])
async def test_after_the_decision_there_is_no_reminder(holding: Scene, decide: Decide) -> None:
    assert await decide(holding, await held(holding)) == ""
    assert await reminders(holding, 2) == []


async def test_a_reminder_does_not_depend_on_the_wallet(holding: Scene) -> None:
    unmatched = await held(holding)
    holding.wallet.trades.clear()  # it knows nothing of the order any more
    assert len(await reminders(holding, 2)) == 2
    assert (await holding.unmatched()).state is UnmatchedState.HELD
    assert unmatched.booked_at == NOW
