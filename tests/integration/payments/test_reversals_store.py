"""Reversals in the store: both rows in one commit, under the payment's lock."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from tael.base.reasons import Reason
from tael.channels.outcomes import ReversalAction, Reversed
from tael.operations.store import Store
from tael.payments.domain.entries import reversal_entry
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.reversal import Reversal, ReversalState, apply_reversal_outcome
from tael.payments.store.payments import Change
from tests.support.store import all_entries, current, opened, paid
from tests.support.values import BARCODE, MCHID, NOW, a_payment, a_reversal, marked_for


async def intended(store: Store, payment: Payment, **changes: object) -> Reversal:
    """Insert a reversal of `payment`."""
    async with store.payments.locked(payment.mchid, payment.syssn) as (connection, now_there):
        reversal = a_reversal(now_there, **changes)
        await store.reversals.insert(connection, reversal, Change(marked_for(now_there, reversal)))
    return reversal


async def test_a_new_reversal_marks_its_payment_and_reserves_the_paid_amount(store: Store) -> None:
    payment = await paid(store, a_payment(BARCODE))
    reversal = await intended(store, payment)
    stands = await current(store, payment)
    assert (stands.reversal_syssn, stands.reserved_minor, stands.is_reversed) == (reversal.syssn, 100, False)
    assert await store.reversals.by_syssn(MCHID, reversal.syssn) == reversal
    assert await store.reversals.of_payment(MCHID, payment.syssn) == [reversal]
    assert await store.reversals.by_syssn(MCHID, "nothing") is None


async def test_a_reversal_of_our_own_keeps_why_its_payment_will_fail(store: Store) -> None:
    payment = await opened(store, a_payment(BARCODE))
    reversal = await intended(store, payment, fails_with=Reason.SWIPE_FAILED)
    async with store.reversals.locked(MCHID, payment.syssn, reversal.syssn) as locked:
        assert locked.reversal.fails_with is Reason.SWIPE_FAILED
        closed = Reversed(ReversalAction.CLOSED)
        done, after = apply_reversal_outcome(locked.reversal, locked.payment, closed, at=NOW)
        await store.reversals.write(locked.connection, done, Change(after))
    assert (await store.reversals.by_syssn(MCHID, reversal.syssn)) == replace(done, version=2)
    stands = await current(store, payment)
    assert (stands.state, stands.reason) == (State.FAILED, Reason.SWIPE_FAILED)


@pytest.mark.parametrize("is_paid", [True, False])
async def test_a_decision_is_written_into_both_rows_with_its_entry(store: Store, is_paid: bool) -> None:
    payment = await (paid if is_paid else opened)(store, a_payment(BARCODE))
    reversal = await intended(store, payment)
    action = ReversalAction.REFUNDED if is_paid else ReversalAction.CLOSED
    async with store.reversals.locked(MCHID, payment.syssn, reversal.syssn) as locked:
        done, after = apply_reversal_outcome(locked.reversal, locked.payment, Reversed(action), at=NOW)
        entries = (reversal_entry(after, done.syssn, NOW),) if is_paid else ()
        await store.reversals.write(locked.connection, done, Change(after, entries))
    assert await store.reversals.by_syssn(MCHID, reversal.syssn) == replace(done, version=2)
    stands = await current(store, payment)
    assert stands == after.replace(version=after.version + 1)
    assert stands.state is (State.PAID if is_paid else State.CLOSED)
    assert (stands.refunded_minor, stands.reserved_minor) == ((100, 0) if is_paid else (0, 0))
    assert len(await all_entries(store)) == (2 if is_paid else 0)


async def test_nothing_is_written_if_the_transaction_fails(store: Store) -> None:
    payment = await paid(store, a_payment(BARCODE))
    reversal = a_reversal(payment)

    async def fail_halfway() -> None:
        async with store.payments.locked(MCHID, payment.syssn) as (connection, now_there):
            await store.reversals.insert(connection, reversal, Change(marked_for(now_there, reversal)))
            raise LookupError

    with pytest.raises(LookupError):
        await fail_halfway()
    assert await current(store, payment) == payment
    assert await store.reversals.of_payment(MCHID, payment.syssn) == []


async def test_two_concurrent_reversals_are_one(store: Store, other_store: Store) -> None:
    payment = await paid(store, a_payment(BARCODE))

    async def try_it(where: Store) -> str:
        async with where.payments.locked(MCHID, payment.syssn) as (connection, now_there):
            if now_there.reversal_syssn:
                return now_there.reversal_syssn
            reversal = a_reversal(now_there)
            await where.reversals.insert(connection, reversal, Change(marked_for(now_there, reversal)))
            return reversal.syssn

    answers = await asyncio.gather(*(try_it((store, other_store)[n % 2]) for n in range(10)))
    assert len(set(answers)) == 1
    assert len(await store.reversals.of_payment(MCHID, payment.syssn)) == 1


async def test_the_table_refuses_a_second_live_reversal_but_allows_one_after_a_failure(
    store: Store,
) -> None:
    payment = await opened(store, a_payment(BARCODE))
    first = await intended(store, payment)
    with pytest.raises(asyncpg.UniqueViolationError):
        await intended(store, payment)
    async with store.reversals.locked(MCHID, payment.syssn, first.syssn) as locked:
        failed = replace(locked.reversal, state=ReversalState.FAILED, reason=Reason.OTHER, check_at=None)
        await store.reversals.write(
            locked.connection, failed, Change(locked.payment.replace(reversal_syssn=""))
        )
    second = await intended(store, payment)
    states = [reversal.state for reversal in await store.reversals.of_payment(MCHID, payment.syssn)]
    assert states == [ReversalState.FAILED, ReversalState.PENDING]
    assert (await current(store, payment)).reversal_syssn == second.syssn
