"""Reserving refunds: never above the remainder, one number once, and spaced as the wallet requires."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from tael.base.errors import (
    AlreadyRefunded,
    NotAllowed,
    NotFound,
    OverRefund,
    ReferenceReused,
    TaelError,
    WindowOver,
)
from tael.base.money import Money
from tael.base.reasons import Reason
from tael.operations.store import Store
from tael.payments.domain.entries import refund_entry
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import Refund, RefundRules, RefundState
from tael.payments.store.refunds import RefundChange
from tael.payments.store.reservations import (
    Repeated,
    Reservation,
    ReservationResult,
    Reserved,
)
from tests.support.citus import needs_direct_connections
from tests.support.store import all_entries, count_of, current, opened, paid
from tests.support.values import ALIPAY_ONLINE, BARCODE, MCHID, NOW, a_payment, a_refund

WINDOW = timedelta(days=365)
MAX_REFUNDS = 50
RULES = RefundRules(WINDOW, max_refunds=MAX_REFUNDS)
GAP = timedelta(seconds=3)


def asking(
    payment: Payment, amount_minor: int = 40, *, is_spaced: bool = False, **changes: object
) -> Reservation:
    refund = a_refund(payment, amount=Money(amount_minor, payment.amount.currency), **changes)
    return Reservation(refund, RULES, NOW, GAP if is_spaced else timedelta(0))


def kinds(answers: list[ReservationResult]) -> Counter[str]:
    return Counter(type(answer).__name__ for answer in answers)


async def reserved(store: Store, reservation: Reservation) -> Refund:
    answer = await store.refunds.reserve(reservation)
    assert isinstance(answer, Reserved), answer
    return answer.refund


def decided(refund: Refund, state: RefundState) -> RefundChange:
    reason = Reason.OTHER if state is RefundState.FAILED else None
    return RefundChange(replace(refund, state=state, reason=reason, check_at=None), is_decided=True)


# ---- sums --------------------------------------------------------------------------------------------------------


async def test_concurrent_reservations_in_two_processes_never_exceed_the_payment(
    store: Store, other_store: Store
) -> None:
    payment = await paid(store, a_payment(ALIPAY_ONLINE, amount=Money(40, "HKD")))
    answers = await asyncio.gather(
        *((store, other_store)[n % 2].refunds.reserve(asking(payment, 1)) for n in range(200))
    )
    counted = kinds(answers)
    assert counted["Reserved"] == 40
    assert counted["AlreadyRefunded"] + counted["OverRefund"] == 160
    stands = await current(store, payment)
    assert (stands.reserved_minor, stands.refunded_minor, stands.refund_count) == (40, 0, 40)
    assert await count_of(store, "refund") == 40
    names = await store.database.fetch("SELECT 1 FROM reference WHERE refund_syssn IS NOT NULL")
    assert len(names) == 40


async def test_reservations_of_one_batch_are_accepted_in_order(store: Store) -> None:
    payment = await paid(store, a_payment())
    answers = await asyncio.gather(*(store.refunds.reserve(asking(payment, a)) for a in (60, 50, 40, 1)))
    assert [type(answer) for answer in answers] == [Reserved, OverRefund, Reserved, AlreadyRefunded]


async def test_one_batch_serves_many_payments(store: Store) -> None:
    payments = [await paid(store, a_payment()) for _ in range(20)]
    answers = await asyncio.gather(*(store.refunds.reserve(asking(p, 70)) for p in payments * 2))
    assert kinds(answers[:20]) == {"Reserved": 20}
    assert kinds(answers[20:]) == {"OverRefund": 20}
    assert {(await current(store, p)).reserved_minor for p in payments} == {70}


async def test_wechat_takes_fifty_refunds_of_one_order(store: Store) -> None:
    payment = await paid(store, a_payment())
    answers = await asyncio.gather(*(store.refunds.reserve(asking(payment, 1)) for _ in range(60)))
    assert kinds(answers) == {"Reserved": MAX_REFUNDS, "NotAllowed": 10}


async def test_a_refused_refund_no_longer_counts_among_the_fifty(store: Store) -> None:
    payment = await paid(store, a_payment())
    answers = await asyncio.gather(*(store.refunds.reserve(asking(payment, 1)) for _ in range(50)))
    first = answers[0]
    assert isinstance(first, Reserved)
    assert isinstance(await store.refunds.reserve(asking(payment, 1)), NotAllowed)
    assert await store.refunds.record(decided(first.refund, RefundState.FAILED))
    assert isinstance(await store.refunds.reserve(asking(payment, 1)), Reserved)


async def test_a_refused_refund_may_be_followed_by_another(store: Store) -> None:
    payment = await paid(store, a_payment())
    refund = await reserved(store, asking(payment, 100))
    assert isinstance(await store.refunds.reserve(asking(payment, 1)), AlreadyRefunded)
    assert await store.refunds.record(decided(refund, RefundState.FAILED))
    stands = await current(store, payment)
    assert (stands.reserved_minor, stands.refunded_minor, stands.refund_count) == (0, 0, 0)
    assert isinstance(await store.refunds.reserve(asking(payment, 100)), Reserved)


@pytest.mark.parametrize("error", [NotFound, NotAllowed, WindowOver])
async def test_an_impossible_refund_is_refused(store: Store, error: type[TaelError]) -> None:
    if error is NotFound:
        payment = a_payment()
    elif error is NotAllowed:
        payment = await opened(store, a_payment())
    else:
        payment = await paid(store, a_payment())
    ask = asking(payment)
    late = replace(ask, now=NOW + WINDOW + timedelta(seconds=1)) if error is WindowOver else ask
    assert type(await store.refunds.reserve(late)) is error
    assert await count_of(store, "refund") == 0


async def test_another_merchants_payment_is_not_found(store: Store) -> None:
    payment = await paid(store, a_payment())
    theirs = asking(payment.replace(mchid="mch2"))
    assert isinstance(await store.refunds.reserve(theirs), NotFound)
    assert (await current(store, payment)).reserved_minor == 0


# ---- numbers -----------------------------------------------------------------------------------------------------


async def test_a_refund_of_an_online_payment_needs_its_own_reference(store: Store) -> None:
    payment = await paid(store, a_payment(reference="A"))
    assert isinstance(await store.refunds.reserve(asking(payment, reference="A")), ReferenceReused)
    assert (await current(store, payment)).reserved_minor == 0


async def test_a_refund_of_a_barcode_payment_may_have_its_payments_reference_once(store: Store) -> None:
    payment = await paid(store, a_payment(BARCODE, reference="A"))
    first = await reserved(store, asking(payment, reference="A"))
    again = await store.refunds.reserve(asking(payment, reference="A"))
    assert again == Repeated(first)
    assert (await store.payments.by_reference(MCHID, "A")) == await current(store, payment)


async def test_another_payments_reference_is_refused(store: Store) -> None:
    await opened(store, a_payment(reference="B"))
    payment = await paid(store, a_payment(reference="A"))
    assert isinstance(await store.refunds.reserve(asking(payment, reference="B")), ReferenceReused)


async def test_a_repeat_is_recognized_with_any_remainder(store: Store) -> None:
    payment = await paid(store, a_payment())
    first = await reserved(store, asking(payment, 100, reference="R"))
    assert await store.refunds.reserve(asking(payment, 100, reference="R")) == Repeated(first)
    assert await store.refunds.record(decided(first, RefundState.DONE))
    repeated = await store.refunds.reserve(asking(payment, 100, reference="R"))
    assert isinstance(repeated, Repeated)
    assert repeated.refund.state is RefundState.DONE
    assert (await current(store, payment)).refunded_minor == 100


async def test_the_reference_of_a_failed_refund_may_be_used_again(store: Store) -> None:
    payment = await paid(store, a_payment())
    first = await reserved(store, asking(payment, reference="R"))
    assert await store.refunds.record(decided(first, RefundState.FAILED))
    second = await reserved(store, asking(payment, reference="R"))
    assert second.syssn != first.syssn
    assert await store.refunds.reserve(asking(payment, reference="R")) == Repeated(second)


async def test_concurrent_copies_of_one_refund_reserve_once(store: Store, other_store: Store) -> None:
    payment = await paid(store, a_payment())
    answers = await asyncio.gather(
        *((store, other_store)[n % 2].refunds.reserve(asking(payment, reference="R")) for n in range(20))
    )
    (first,) = [answer.refund for answer in answers if isinstance(answer, Reserved)]
    assert (await current(store, payment)).reserved_minor == 40
    assert [answer for answer in answers if not isinstance(answer, Reserved)] == [Repeated(first)] * 19


@needs_direct_connections
async def test_a_reference_that_a_payment_took_meanwhile_is_refused_for_a_refund(
    store: Store, other_store: Store
) -> None:
    payment = await paid(store, a_payment(reference="A"))
    rival = a_payment(reference="B")
    async with other_store.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO reference (mchid, reference, payment_syssn) VALUES ($1, 'B', $2)", MCHID, rival.syssn
        )
        reserving = asyncio.create_task(store.refunds.reserve(asking(payment, reference="B")))
        while not await waits_for_a_lock(other_store):
            assert not reserving.done()
    assert isinstance(await reserving, ReferenceReused)
    (row,) = await store.database.fetch("SELECT * FROM reference WHERE reference = 'B'")
    assert (row["payment_syssn"], row["refund_syssn"]) == (rival.syssn, None)
    assert (await current(store, payment)).reserved_minor == 0


async def waits_for_a_lock(store: Store) -> bool:
    rows = await store.database.fetch(
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    return bool(rows)


# ---- turns -------------------------------------------------------------------------------------------------------


async def test_refunds_of_a_spaced_account_take_turns_over_two_processes(
    store: Store, other_store: Store
) -> None:
    account_id = "alipay-online"
    payments = [await paid(store, a_payment(ALIPAY_ONLINE, account_id=account_id)) for _ in range(30)]
    answers = await asyncio.gather(
        *(
            (store, other_store)[n % 2].refunds.reserve(asking(payment, is_spaced=True))
            for n, payment in enumerate(payments)
        )
    )
    refunds = [answer.refund for answer in answers if isinstance(answer, Reserved)]
    assert len(refunds) == 30
    turns = sorted(refund.check_at for refund in refunds if refund.check_at is not None)
    assert [later - earlier for earlier, later in pairwise(turns)] == [GAP] * 29
    assert [a.is_sent_now for a in answers if isinstance(a, Reserved)].count(True) == 1
    for refund in refunds:
        assert await store.refunds.by_syssn(MCHID, refund.syssn) == refund


async def test_an_old_turn_delays_no_refund(store: Store) -> None:
    payment = await paid(store, a_payment(ALIPAY_ONLINE, account_id="alipay-online"))
    await reserved(store, asking(payment, 1, is_spaced=True))
    later = replace(asking(payment, 1, is_spaced=True), now=NOW + timedelta(minutes=1))
    answer = await store.refunds.reserve(later)
    assert isinstance(answer, Reserved)
    assert answer.is_sent_now


async def test_accounts_do_not_wait_for_each_other(store: Store) -> None:
    for account_id in ("alipay-online", "alipay-offline"):
        payment = await paid(store, a_payment(ALIPAY_ONLINE, account_id=account_id))
        answer = await store.refunds.reserve(asking(payment, is_spaced=True))
        assert isinstance(answer, Reserved)
        assert answer.is_sent_now


# ---- recording ---------------------------------------------------------------------------------------------------


async def test_a_refund_is_decided_once_with_its_sums_and_its_entry(store: Store, other_store: Store) -> None:
    payment = await paid(store, a_payment())
    refund = await reserved(store, asking(payment))
    done = decided(refund, RefundState.DONE)
    with_entry = replace(done, entries=(refund_entry(payment, refund, NOW),))
    won = await asyncio.gather(
        *((store, other_store)[n % 2].refunds.record(replace(with_entry)) for n in range(10)),
        store.refunds.record(decided(refund, RefundState.FAILED)),
    )
    assert won.count(True) == 1
    stands = await current(store, payment)
    expected = (0, 0) if won[-1] else (40, 1)
    assert (stands.refunded_minor, stands.reserved_minor, stands.refund_count) == (
        expected[0],
        0,
        expected[1],
    )
    back = [entry for entry in await all_entries(store) if entry.cause == refund.syssn]
    assert len(back) == expected[1]


async def test_many_refunds_of_one_payment_are_decided_in_one_batch(store: Store) -> None:
    payment = await paid(store, a_payment())
    refunds = [await reserved(store, asking(payment, 10)) for _ in range(10)]
    changes = [decided(r, RefundState.DONE if n % 2 else RefundState.FAILED) for n, r in enumerate(refunds)]
    assert await asyncio.gather(*map(store.refunds.record, changes)) == [True] * 10
    stands = await current(store, payment)
    assert (stands.refunded_minor, stands.reserved_minor, stands.refund_count) == (50, 0, 5)
    assert [r.state for r in await store.refunds.of_payment(MCHID, payment.syssn)].count(
        RefundState.DONE
    ) == 5


async def test_a_query_of_a_refund_moves_no_money(store: Store) -> None:
    payment = await paid(store, a_payment())
    refund = await reserved(store, asking(payment))
    assert await store.refunds.record(RefundChange(replace(refund, checks=1), is_decided=False))
    stands = await current(store, payment)
    assert (stands.refunded_minor, stands.reserved_minor, stands.refund_count) == (0, 40, 1)
