"""Late money is the merchant's; nobody's money is proven, booked and sent back once. The wallet's book judges."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Final

import pytest

from tael.clock import RealClock
from tael.domain.incident import Incident, IncidentKind, Stray
from tael.domain.money import Money
from tael.domain.outcome import Closed, Outcome, Paid, Refusal, Refused, ReversalAction
from tael.domain.payment import Payment, State, shown_respcd
from tael.domain.paytype import Wallet
from tael.jobs.runner import run_once
from tael.main import all_jobs
from tael.service.audit import audit_books
from tael.service.gateway import Gateway
from tael.service.notices import NoticeRefused, receive_notice
from tael.service.strays import follow_stray
from tael.store.store import Store
from tests.support.alipay import TestClock
from tests.support.crashing import Process
from tests.support.fake_wallet import FakeWallet, Payer
from tests.support.store import all_entries, current
from tests.support.stray_money import (
    AFTER_A_REFUSAL,
    ALIPAY_BARCODE,
    ANOTHER_AMOUNT,
    NOBODYS_ORDER,
    SECOND_TRADE,
    TWICE,
    WAYS,
    Way,
    order_of_a_stranger,
    take,
    wallets_book,
)
from tests.support.values import (
    BARCODE,
    MCHID,
    NOW,
    ONLINE,
    a_merchant,
    a_wechat_account,
    an_app,
)
from tests.support.world import World, close, pay, reverse

#: After a second without an answer, two, four and so on; far more than any way back takes.
LATER: Final = timedelta(hours=2)


@dataclass
class Scene:
    """One gateway that nothing crashes, and the wallet that it talks to."""

    world: World
    gateway: Gateway

    @property
    def store(self) -> Store:
        return self.world.watch

    @property
    def wallet(self) -> FakeWallet:
        return self.world.wallet

    async def come(self, way: Way) -> str:
        """Money comes in this way, and the wallet tells us; the name of the trade in its book."""
        self.wallet.payer = way.payer
        await way.come(self.world, self.gateway)
        (about,) = self.wallet.owed
        await self.world.send_notices(self.gateway)
        return about

    async def tell(self, about: str, lie: Outcome | None = None) -> None:
        """One notice, whatever is answered to it."""
        self.wallet.lies = {about: lie} if lie is not None else {}
        with suppress(NoticeRefused):
            await self.world.send_notice(self.gateway, about)
        self.wallet.lies = {}

    async def run_jobs(self) -> None:
        await self.world.run_jobs_until_idle(self.gateway, Process())

    async def run_strays(self, gateway: Gateway | None = None) -> None:
        """The job of stray money alone, once, with whatever is due now."""
        jobs = {job.name: job for job in all_jobs(gateway or self.gateway)}
        await run_once(jobs["settle.strays"], self.world.clock)

    async def forget(self) -> None:
        """Begin again."""
        for table in ("payment", "reference", "ledger_entry", "incident"):
            await self.store.database.execute(f"DELETE FROM {table}")
        self.wallet.trades.clear()
        self.wallet.refunds_asked.clear()

    async def incidents(self) -> list[Incident]:
        return await self.store.incidents.newest(None, with_resolved=True, most=100)

    async def incident(self) -> Incident:
        (found,) = await self.incidents()
        return found

    async def stray_entries(self) -> list[tuple[str, str, str, Money]]:
        found = [entry for entry in await all_entries(self.store) if entry.kind.value.startswith("stray")]
        return sorted((entry.kind.value, entry.debit, entry.credit, entry.amount) for entry in found)

    async def assert_books_agree(self) -> None:
        audit = await audit_books(self.store, wallets_book(self.wallet))
        assert audit.first is None, audit.first


def scene_of(store: Store, *, returns_stray_money: bool = True) -> Scene:
    clock = TestClock(NOW)
    world = World(store, clock, FakeWallet(clock, Payer.WAITS), returns_stray_money=returns_stray_money)
    return Scene(world, world.gateway(Process()))


@pytest.fixture
async def scene(store: Store) -> Scene:
    await store.database.execute("UPDATE app SET notify_url = 'http://shop'")
    return scene_of(store)


# ---- late money --------------------------------------------------------------------------------------------------


async def ended(scene: Scene, state: State) -> Payment:
    """An online order that nobody paid in time."""
    payment = await pay(scene.gateway, ONLINE, "A")
    if state is State.CLOSED:
        await close(scene.gateway, payment)
    else:
        scene.world.clock.at = payment.expires_at
        jobs = {job.name: job for job in all_jobs(scene.gateway)}
        await run_once(jobs["settle.payments"], scene.world.clock)
    found = await current(scene.store, payment)
    assert found.state is state
    return found


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
    assert (incident.kind, incident.cause) == (IncidentKind.LATE_MONEY, payment.syssn)
    assert (incident.amount, incident.stray) == (Money(100, "HKD"), Stray.NONE)
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


# ---- nobody's money ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("takes_asking", [False, True], ids=["at once", "done when asked about"])
@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_stray_money_is_proven_booked_and_sent_back(scene: Scene, way: Way, takes_asking: bool) -> None:
    scene.wallet.refund_takes_asking = takes_asking
    await scene.come(way)
    incident = await scene.incident()
    assert (incident.kind, incident.amount, incident.stray) == (way.kind, way.amount, Stray.SUSPECTED)
    assert await scene.stray_entries() == []  # a notice alone books and moves nothing
    assert scene.wallet.refunds_asked == []
    await scene.run_jobs()

    returned = await scene.incident()
    assert (returned.stray, returned.digest) == (Stray.RETURNED, incident.digest)
    assert len(returned.stray_syssn) == 24
    assert returned.return_ref == f"refund-{returned.stray_syssn}"
    assert returned.returned_at is not None
    assert returned.check_at is None
    assert scene.wallet.refund_book() == {returned.stray_syssn: way.amount.amount_minor}
    assert scene.wallet.refunds_asked == [returned.stray_syssn]
    owner = f"{way.amount.currency}:{returned.account_id}"
    assert await scene.stray_entries() == [
        ("stray_in", f"wallet:{owner}", f"stray:{owner}", way.amount),
        ("stray_out", f"stray:{owner}", f"wallet:{owner}", way.amount),
    ]
    await scene.assert_books_agree()


async def test_an_order_that_got_another_amount_has_failed_and_nobody_is_told(scene: Scene) -> None:
    await scene.come(ANOTHER_AMOUNT)
    await scene.run_jobs()

    payment = await only_payment(scene)
    assert (payment.state, shown_respcd(payment), payment.check_at) == (State.FAILED, "1126", None)
    assert scene.world.heard == []
    assert {entry.kind.value for entry in await all_entries(scene.store)} == {"stray_in", "stray_out"}


async def test_a_second_trade_leaves_the_first_one_paid(scene: Scene) -> None:
    await scene.come(TWICE)
    await scene.run_jobs()

    payment = await only_payment(scene)
    assert (payment.state, payment.refunded_minor) == (State.PAID, 0)
    assert scene.wallet.trades[payment.syssn].back_minor == 0
    assert scene.wallet.trades[SECOND_TRADE].back_minor == 100
    incident = await scene.incident()
    assert incident.wallet_ref == SECOND_TRADE


async def test_a_second_trade_at_alipay_is_left_to_a_person(scene: Scene) -> None:
    """Alipay sends back by the order's number, which may mean the first trade."""
    scene.wallet.payer = Payer.PAYS
    payment = await pay(scene.gateway, ALIPAY_BARCODE, "A")
    scene.wallet.take(await scene.gateway.order(payment), SECOND_TRADE)
    await scene.world.send_notices(scene.gateway)
    await scene.run_jobs()

    incident = await scene.incident()
    assert (incident.kind, incident.stray) == (IncidentKind.PAID_TWICE, Stray.NONE)
    assert scene.wallet.refunds_asked == []


async def test_an_order_of_another_account_is_left_to_a_person(scene: Scene) -> None:
    payment = await pay(scene.gateway, ONLINE, "A")
    await scene.store.merchants.add_app(an_app("app2"), NOW)
    await scene.store.merchants.add_merchant(a_merchant("mch2", "app2"), NOW)
    await scene.store.accounts.add(a_wechat_account("wechat2", "mch2", "1900000999"), NOW)
    scene.wallet.confirm(payment.syssn)
    with pytest.raises(NoticeRefused):
        await receive_notice(Wallet.WECHAT, "wechat2", {}, payment.syssn.encode(), scene.gateway)
    await scene.run_jobs()

    incident = await scene.incident()
    assert (incident.kind, incident.mchid, incident.cause) == (
        IncidentKind.ORDER_OF_ANOTHER_ACCOUNT,
        "mch2",
        payment.syssn,
    )
    assert (incident.account_id, incident.stray) == ("wechat2", Stray.NONE)
    assert scene.wallet.refunds_asked == []
    assert (await current(scene.store, payment)).state is State.PAID  # its own account was asked
    await scene.assert_books_agree()


# ---- once --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_the_same_news_again_and_again_is_one_incident_and_one_way_back(scene: Scene, way: Way) -> None:
    scene.wallet.payer = way.payer
    await way.come(scene.world, scene.gateway)
    (about,) = scene.wallet.owed
    await asyncio.gather(*(scene.tell(about) for _ in range(5)))
    await scene.run_strays()
    await scene.tell(about)
    await scene.run_jobs()
    before = await scene.incident()
    await asyncio.gather(*(scene.tell(about) for _ in range(5)))
    await scene.run_jobs()

    assert await scene.incident() == before
    assert before.stray is Stray.RETURNED
    assert len(scene.wallet.refunds_asked) == 1
    await scene.assert_books_agree()


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_workers_that_hold_the_same_row_send_it_back_under_one_number(
    scene: Scene, other_store: Store, way: Way
) -> None:
    await scene.come(way)
    gateways = [scene.gateway, replace(scene.world, watch=other_store).gateway(Process())]
    ended_lease = RealClock().now() - timedelta(days=1)
    held = [
        (await gateway.store.strays.claim_due(scene.world.clock.at, RealClock().now(), ended_lease, 9))[0]
        for gateway in gateways * 2
    ]
    await asyncio.gather(
        *(follow_stray(row, gateway) for row, gateway in zip(held, gateways * 2, strict=True))
    )
    await scene.run_jobs()

    returned = await scene.incident()
    assert returned.stray is Stray.RETURNED
    assert set(scene.wallet.refunds_asked) == {returned.stray_syssn}
    assert scene.wallet.refund_book() == {returned.stray_syssn: way.amount.amount_minor}
    assert [kind for kind, *_ in await scene.stray_entries()] == ["stray_in", "stray_out"]
    await scene.assert_books_agree()


class Crowd(Process):
    """A process before whose n-th word another one writes down an attempt at the payment."""

    def __init__(self, store: Store, nth: int) -> None:
        super().__init__()
        self._store = store
        self._nth = nth

    @asynccontextmanager
    async def word(self) -> AsyncIterator[None]:
        async with super().word():
            if self.said == self._nth:
                await self._store.database.execute("UPDATE payment SET version = version + 1")
            yield


async def test_a_payment_that_is_written_meanwhile_delays_no_proof(scene: Scene) -> None:
    await scene.come(ANOTHER_AMOUNT)
    for nth in count(1):
        crowd = Crowd(scene.store, nth)
        await scene.run_strays(scene.world.gateway(crowd))
        returned = await scene.incident()
        assert returned.stray is Stray.RETURNED, nth
        assert set(scene.wallet.refunds_asked) == {returned.stray_syssn}
        if crowd.said < nth:
            break
        await scene.forget()
        await scene.come(ANOTHER_AMOUNT)
    assert nth > 8


async def test_a_row_that_is_leased_is_not_claimed_again(scene: Scene) -> None:
    await scene.come(NOBODYS_ORDER)
    real_now = RealClock().now()
    strays = scene.store.strays
    (row,) = await strays.claim_due(NOW, real_now, real_now + timedelta(seconds=15), 9)
    assert await strays.claim_due(NOW, real_now, real_now + timedelta(seconds=15), 9) == []
    until = real_now + timedelta(seconds=15)
    assert await strays.renew([row], [until], until + timedelta(seconds=5)) == [True]
    assert await strays.renew([row], [until], until + timedelta(seconds=5)) == [False]


async def test_two_kinds_of_news_of_one_trade_send_it_back_once(scene: Scene) -> None:
    await scene.come(ANOTHER_AMOUNT)
    await scene.run_jobs()
    payment = await only_payment(scene)
    # The order has failed meanwhile, and this notice does not say how much it was.
    await scene.tell(payment.syssn, Paid(None, f"trade-{payment.syssn}", "payer-1", NOW))
    await scene.run_jobs()

    strays = {incident.kind: incident.stray for incident in await scene.incidents()}
    assert strays == {
        IncidentKind.WRONG_AMOUNT: Stray.RETURNED,
        IncidentKind.PAID_AFTER_FAILED: Stray.DISPROVED,
    }
    assert len(scene.wallet.refunds_asked) == 1
    await scene.assert_books_agree()


async def test_the_end_of_an_order_whose_money_went_back_is_no_other_incident(scene: Scene) -> None:
    """Alipay tells that an order is closed once all of its money went back."""
    about = await scene.come(NOBODYS_ORDER)
    await scene.run_jobs()
    before = await scene.incident()
    await scene.tell(about, Closed())

    assert before.stray is Stray.RETURNED
    assert await scene.incident() == before


async def test_a_strangers_order_that_was_never_paid_is_one_incident(scene: Scene) -> None:
    order = await order_of_a_stranger(scene.gateway, "wechat1", ONLINE)
    await scene.wallet.open(order)
    for _ in range(2):
        await scene.tell(order.syssn, Closed())
    await scene.run_jobs()

    incident = await scene.incident()
    assert (incident.kind, incident.amount, incident.stray) == (IncidentKind.UNKNOWN_ORDER, None, Stray.NONE)
    await assert_nothing_moved(scene)


async def test_a_notice_that_it_went_back_ends_the_waiting(scene: Scene) -> None:
    scene.wallet.refund_takes_asking = True
    await scene.come(TWICE)
    await scene.run_strays()
    assert (await scene.incident()).stray is Stray.RETURNING
    (number,) = scene.wallet.refund_book()
    for _ in range(3):
        await receive_notice(Wallet.WECHAT, "wechat1", {}, number.encode(), scene.gateway)

    assert (await scene.incident()).stray is Stray.RETURNED
    assert [kind for kind, *_ in await scene.stray_entries()] == ["stray_in", "stray_out"]
    assert scene.wallet.refunds_asked == [number]
    await scene.assert_books_agree()


# ---- switched off ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_switched_off_it_is_booked_and_kept(store: Store, way: Way) -> None:
    scene = scene_of(store, returns_stray_money=False)
    about = await scene.come(way)
    await scene.run_jobs()
    scene.world.clock.at += LATER
    await scene.tell(about)
    await scene.run_jobs()

    kept = await scene.incident()
    assert (kept.stray, kept.amount, kept.asked_at, kept.check_at) == (Stray.KEPT, way.amount, None, None)
    assert [(kind, amount) for kind, _, _, amount in await scene.stray_entries()] == [
        ("stray_in", way.amount)
    ]
    assert scene.wallet.refunds_asked == []
    await scene.assert_books_agree()


async def test_what_was_kept_is_not_sent_back_when_the_rule_is_switched_on(store: Store) -> None:
    off = scene_of(store, returns_stray_money=False)
    about = await off.come(NOBODYS_ORDER)
    await off.run_jobs()
    world = replace(off.world, returns_stray_money=True)
    on = Scene(world, world.gateway(Process()))
    await on.tell(about)
    await on.run_jobs()

    assert (await on.incident()).stray is Stray.KEPT
    assert on.wallet.refunds_asked == []


# ---- the wallet's record says otherwise --------------------------------------------------------------------------


async def test_an_order_that_was_paid_with_its_price_after_all_is_paid(scene: Scene) -> None:
    """The notice lied about the amount; the record, asked for proof, is news of the payment as well."""
    payment = await pay(scene.gateway, ONLINE, "A")
    scene.wallet.confirm(payment.syssn)
    await scene.tell(payment.syssn, paid_with(101, payment))
    assert (await scene.incident()).kind is IncidentKind.WRONG_AMOUNT
    await scene.run_strays()

    incident = await scene.incident()
    assert (incident.stray, incident.check_at, incident.stray_syssn) == (Stray.DISPROVED, None, "")
    assert "disproved" in incident.detail
    assert (await current(scene.store, payment)).state is State.PAID
    await assert_nothing_moved(scene)


async def test_a_false_amount_does_not_hide_true_money_for_a_failed_attempt(scene: Scene) -> None:
    scene.wallet.payer = Payer.HAS_NO_MONEY
    payment = await pay(scene.gateway, BARCODE, "A")
    scene.wallet.take(await scene.gateway.order(payment))
    await scene.tell(payment.syssn, paid_with(101, payment))
    await scene.run_jobs()

    strays = {incident.kind: incident.stray for incident in await scene.incidents()}
    assert strays == {
        IncidentKind.WRONG_AMOUNT: Stray.DISPROVED,
        IncidentKind.PAID_AFTER_FAILED: Stray.RETURNED,
    }
    assert list(scene.wallet.refund_book().values()) == [100]
    await scene.assert_books_agree()


@pytest.mark.parametrize("way", [TWICE, NOBODYS_ORDER], ids=str)
async def test_of_a_trade_that_is_nobodys_the_record_says_how_much_it_is(scene: Scene, way: Way) -> None:
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
    assert (incident.kind, incident.stray, incident.amount) == (way.kind, Stray.RETURNED, way.amount)
    assert list(scene.wallet.refund_book().values()) == [way.amount.amount_minor]
    await scene.assert_books_agree()


async def test_another_trade_in_the_record_disproves_the_news(scene: Scene) -> None:
    payment = await pay(scene.gateway, ONLINE, "A")
    scene.wallet.confirm(payment.syssn)
    await scene.tell(payment.syssn, Paid(Money(99, "HKD"), "trade-of-nobody", "payer-1", NOW))
    await scene.run_strays()

    assert (await scene.incident()).stray is Stray.DISPROVED
    await assert_nothing_moved(scene)


async def test_an_order_that_is_closed_and_unpaid_disproves_the_news(scene: Scene) -> None:
    payment = await ended(scene, State.CLOSED)
    await scene.tell(payment.syssn, paid_with(99, payment))
    await scene.run_strays()

    assert (await scene.incident()).stray is Stray.DISPROVED
    assert (await current(scene.store, payment)).state is State.CLOSED
    await assert_nothing_moved(scene)


async def test_what_the_record_does_not_confirm_in_a_day_is_left_to_a_person(scene: Scene) -> None:
    order = await order_of_a_stranger(scene.gateway, "wechat1", ONLINE)
    await scene.wallet.open(order)
    await scene.tell(order.syssn, Paid(order.amount, "trade-nobodys-1", "payer-1", NOW))
    await scene.run_jobs()

    incident = await scene.incident()
    assert (incident.stray, incident.check_at, incident.resolved_at) == (Stray.SUSPECTED, None, None)
    assert scene.world.clock.at > NOW + timedelta(days=1)
    assert incident.checks > 1
    await assert_nothing_moved(scene)


async def assert_nothing_moved(scene: Scene) -> None:
    assert await scene.stray_entries() == []
    assert scene.wallet.refunds_asked == []
    await scene.assert_books_agree()


# ---- the way back is barred --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [AFTER_A_REFUSAL, ANOTHER_AMOUNT, TWICE, NOBODYS_ORDER], ids=str)
async def test_money_that_the_wallet_will_not_send_back_stays_booked_for_a_person(
    scene: Scene, way: Way
) -> None:
    scene.wallet.refusal = Refused(Refusal.WINDOW_OVER, "TRADE_OVERDUE")
    about = await scene.come(way)
    await scene.run_jobs()
    scene.wallet.refusal = None
    scene.world.clock.at += LATER
    await scene.tell(about)
    await scene.run_jobs()

    refused = await scene.incident()
    assert (refused.stray, refused.wallet_code) == (Stray.REFUSED, "TRADE_OVERDUE")
    assert (refused.check_at, refused.returned_at) == (None, None)
    assert [kind for kind, *_ in await scene.stray_entries()] == ["stray_in"]
    assert scene.wallet.refund_book() == {}
    await scene.assert_books_agree()


async def test_what_cannot_go_back_now_goes_back_later_under_the_same_number(scene: Scene) -> None:
    scene.wallet.refusal = Refused(Refusal.MERCHANT_BALANCE, "NOTENOUGH")
    await scene.come(NOBODYS_ORDER)
    for _ in range(4):
        await scene.run_strays()
        scene.world.clock.at += timedelta(minutes=5)
    waiting = await scene.incident()
    assert (waiting.stray, waiting.wallet_code) == (Stray.RETURNING, "NOTENOUGH")
    scene.wallet.refusal = None
    await scene.run_jobs()

    returned = await scene.incident()
    assert returned.stray is Stray.RETURNED
    assert len(scene.wallet.refunds_asked) >= 4
    assert set(scene.wallet.refunds_asked) == {waiting.stray_syssn} == {returned.stray_syssn}
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
    await scene.run_strays()
    assert (await scene.incident()).stray is Stray.SUSPECTED
    await scene.run_jobs()

    assert (await scene.incident()).stray is Stray.DISPROVED
    assert scene.wallet.trades[payment.syssn].reversal is ReversalAction.REFUNDED
    await assert_nothing_moved(scene)


def paid_with(amount_minor: int, payment: Payment) -> Paid:
    return Paid(Money(amount_minor, "HKD"), f"trade-{payment.syssn}", "payer-1", NOW)


async def only_payment(scene: Scene) -> Payment:
    (row,) = await scene.store.database.fetch("SELECT syssn FROM payment")
    found = await scene.store.payments.by_syssn(MCHID, row["syssn"])
    assert found is not None
    return found
