"""Recording outcomes: decided on one version of the row, written once, with all consequences."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from tael.base.clock import Clock
from tael.base.reasons import Reason
from tael.channels.base import Channel
from tael.channels.outcomes import AwaitingPayer, Closed, Paid, Refusal, Refused, Unknown
from tael.db.tables import RowsMissing
from tael.merchants.credential_cache import CredentialCache
from tael.operations.store import Store
from tael.payments.context import InFlightRequests, PaymentContext
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import RefundRules
from tael.payments.outcomes import record_notice, record_outcome
from tael.payments.store.payments import Change
from tael.payments.store.reservations import Reservation, Reserved
from tael.payments.wallets import Wallets
from tests.support.alipay import TestClock
from tests.support.fake_wallet import FakeWallet
from tests.support.store import all_entries, being_paid, count_of, current, opened, paid
from tests.support.values import AMOUNT, NOW, PROTOCOLS, a_payment, a_refund

PAID = Paid(AMOUNT, "wallet-1", "payer-1", NOW)


def gateway_over(store: Store) -> PaymentContext:
    """A gateway with a fake wallet."""
    channels = dict.fromkeys(PROTOCOLS.values(), FakeWallet(TestClock(NOW)))
    credentials = CredentialCache(store.merchants, store.accounts, store.maintenance_windows)
    wallets = Wallets(channels, credentials, "http://127.0.0.1")
    return PaymentContext(store, wallets, TestClock(NOW), InFlightRequests())


def over_channels(
    gateway: PaymentContext, channels: Mapping[str, Channel], clock: Clock | None = None
) -> PaymentContext:
    """The same with other channels."""
    wallets = replace(gateway.wallets, channels=channels)
    return replace(gateway, wallets=wallets, clock=clock or gateway.clock)


@pytest.fixture
def gateway(store: Store) -> PaymentContext:
    return gateway_over(store)


@pytest.fixture
async def payment(store: Store) -> Payment:
    return await opened(store, a_payment())


async def test_a_decision_on_an_old_version_is_not_written(store: Store, payment: Payment) -> None:
    assert await store.payments.record(Change(payment.replace(checks=1)))
    assert not await store.payments.record(being_paid(payment))
    stands = await current(store, payment)
    assert (stands.state, stands.checks, stands.version) == (State.PENDING, 1, 2)
    assert await count_of(store, "ledger_entry") == await count_of(store, "webhook") == 0


async def test_of_two_decisions_in_one_batch_one_is_written_and_the_other_rejected(
    store: Store, payment: Payment
) -> None:
    others = [await opened(store, a_payment()) for _ in range(20)]
    failed = Change(payment.replace(state=State.FAILED, reason=Reason.PAYER_BALANCE))
    changes = [being_paid(payment), failed, *map(being_paid, others)]
    assert await asyncio.gather(*map(store.payments.record, changes)) == [True, False] + [True] * 20
    assert (await current(store, payment)).state is State.PAID
    assert len(await all_entries(store)) == await count_of(store, "webhook") == 21


async def test_a_decision_that_cannot_be_written_fails_alone(store: Store, payment: Payment) -> None:
    others = [await opened(store, a_payment()) for _ in range(5)]
    bad = Change(payment.replace(wallet_ref="\x00"))
    new = [a_payment() for _ in range(3)]
    answers = await asyncio.gather(
        *map(store.payments.record, [bad, *map(being_paid, others)]),
        *map(store.payments.open, new),
        return_exceptions=True,
    )
    assert isinstance(answers[0], Exception)
    assert answers[1:] == [True] * 8


async def test_no_outcome_is_written_without_its_entry(store: Store, payment: Payment) -> None:
    """Without the row of `cell`, an INSERT that joins it inserts nothing."""
    await store.database.execute("DELETE FROM cell")
    with pytest.raises(RowsMissing):
        await store.payments.record(being_paid(payment))
    assert (await current(store, payment)).state is State.PENDING


async def test_the_same_outcome_twice_is_one_entry_and_one_webhook(
    store: Store, gateway: PaymentContext, payment: Payment
) -> None:
    for record in (record_outcome, record_notice, record_outcome, record_notice):
        after = await record(payment, PAID, gateway)
        assert after.state is State.PAID
    (entry,) = await all_entries(store)
    assert (entry.cause, entry.amount) == (payment.syssn, AMOUNT)
    assert await count_of(store, "webhook") == 1


async def test_the_same_outcome_recorded_concurrently_is_one_entry_and_one_webhook(
    store: Store, other_store: Store, gateway: PaymentContext, payment: Payment
) -> None:
    gateways = (gateway, gateway_over(other_store))
    answers = await asyncio.gather(*(record_outcome(payment, PAID, gateways[n % 2]) for n in range(30)))
    assert {answer.state for answer in answers} == {State.PAID}
    assert len(await all_entries(store)) == await count_of(store, "webhook") == 1
    stands = await current(store, payment)
    assert (stands.wallet_ref, stands.payer_ref, stands.paid_at) == ("wallet-1", "payer-1", NOW)


async def test_the_loser_decides_again_under_the_lock(
    store: Store, gateway: PaymentContext, payment: Payment
) -> None:
    await record_outcome(payment, Closed(), gateway)
    assert (await current(store, payment)).state is State.EXPIRED
    after = await record_outcome(payment, PAID, gateway)  # decided on the previous version
    assert after.state is State.PAID
    assert after == await current(store, payment)
    assert len(await all_entries(store)) == 1


async def test_a_late_outcome_does_not_undo_a_decision(
    store: Store, gateway: PaymentContext, payment: Payment
) -> None:
    await record_outcome(payment, PAID, gateway)
    for late in (Closed(), Refused(Refusal.OTHER, "X"), Unknown("timeout"), AwaitingPayer()):
        after = await record_outcome(payment, late, gateway)
        assert (after.state, after) == (State.PAID, await current(store, payment))
    assert len(await all_entries(store)) == 1


async def test_concurrent_paid_and_refused_leave_one_state_that_agrees_with_the_ledger(
    store: Store, other_store: Store, gateway: PaymentContext
) -> None:
    payments = [await opened(store, a_payment()) for _ in range(20)]
    refused = Refused(Refusal.OTHER, "X")
    other = gateway_over(other_store)
    await asyncio.gather(
        *(record_outcome(p, PAID, gateway) for p in payments),
        *(record_outcome(p, refused, other) for p in payments),
    )
    states = {payment.syssn: (await current(store, payment)).state for payment in payments}
    assert set(states.values()) <= {State.PAID, State.FAILED}
    causes = {entry.cause for entry in await all_entries(store)}
    assert causes == {syssn for syssn, state in states.items() if state is State.PAID}


async def test_every_query_is_counted_with_any_response(
    store: Store, gateway: PaymentContext, payment: Payment
) -> None:
    after = await record_outcome(payment, Unknown("timeout"), gateway)
    assert after == await current(store, payment)
    assert (after.state, after.checks, after.has_initial_response, after.version) == (
        State.PENDING,
        1,
        True,
        2,
    )
    assert after.check_at is not None
    assert after.check_at > NOW


async def test_no_webhook_is_written_for_an_app_without_notifications(
    store: Store, gateway: PaymentContext
) -> None:
    payment = await opened(store, a_payment(notify_merchant=False))
    await record_outcome(payment, PAID, gateway)
    assert len(await all_entries(store)) == 1
    assert await count_of(store, "webhook") == 0


async def test_a_payment_with_another_amount_is_not_recorded(
    store: Store, gateway: PaymentContext, payment: Payment
) -> None:
    wrong = replace(PAID, amount=replace(AMOUNT, amount_minor=1))
    assert (await record_notice(payment, wrong, gateway)) == payment == await current(store, payment)
    assert await all_entries(store) == []


async def test_an_outcome_leaves_the_sums_of_refunds_alone(store: Store, gateway: PaymentContext) -> None:
    before = await paid(store, a_payment())
    await store.database.execute(
        "UPDATE payment SET refunded_minor = 30, reserved_minor = 20, refund_count = 2"
    )
    await record_outcome(before, Unknown("asked again"), gateway)
    stands = await current(store, before)
    assert (stands.refunded_minor, stands.reserved_minor, stands.refund_count) == (30, 20, 2)


async def test_a_refund_that_was_reserved_meanwhile_explains_a_closed_order(
    store: Store, gateway: PaymentContext
) -> None:
    """Alipay reports a fully refunded order as closed; reserving a refund does not change the payment's version."""
    before = await paid(store, a_payment())
    refund = a_refund(before, amount=AMOUNT)
    reservation = Reservation(refund, RefundRules(timedelta(days=90)), NOW)
    assert isinstance(await store.refunds.reserve(reservation), Reserved)
    await record_outcome(before, Closed(), gateway)
    assert await count_of(store, "incident") == 0


async def test_a_merchants_query_expedites_a_pending_payment_but_not_every_query_does(
    store: Store, gateway: PaymentContext, payment: Payment
) -> None:
    await store.payments.expedite(payment.mchid, [payment.syssn], NOW, NOW)
    assert (
        await current(store, payment)
    ).check_at == payment.check_at  # its initial request is still in flight
    asked = await record_outcome(payment, AwaitingPayer(), gateway)
    await store.payments.expedite(payment.mchid, [payment.syssn], NOW + timedelta(seconds=1), NOW)
    assert (await current(store, payment)).check_at == asked.check_at
    later = NOW + timedelta(seconds=3)
    await store.payments.expedite(payment.mchid, [payment.syssn], later, later - timedelta(seconds=1))
    expedited = (await current(store, payment)).check_at
    assert expedited is not None
    assert expedited <= later
