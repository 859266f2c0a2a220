"""The rows of a query: payments and refunds together, newest first, with every filter and page."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from tael.base.pay_types import PAY_TYPES
from tael.base.reasons import Reason
from tael.operations.store import Store
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import Refund, RefundRules, RefundState
from tael.payments.store.payments import Change
from tael.payments.store.refunds import RefundChange
from tael.payments.store.reservations import Reservation, Reserved
from tael.payments.store.transactions import Filter, RefundTransaction, Transaction
from tael.qfpay import codes
from tael.qfpay.shown import shown_respcd, states_showing
from tests.support.store import current, opened, paid
from tests.support.values import BARCODE, MCHID, NOW, ONLINE, a_payment, a_refund

EVERYTHING = Filter(MCHID, None, None, None, None, None, None, page=1, page_size=100)


def numbers_of(transactions: Sequence[Transaction]) -> list[str]:
    return [
        trade.refund.syssn if isinstance(trade, RefundTransaction) else trade.syssn for trade in transactions
    ]


async def refunded(store: Store, payment: Payment, **changes: object) -> Refund:
    refund = a_refund(payment, **changes)
    ask = Reservation(refund, RefundRules(timedelta(days=9)), NOW)
    answer = await store.refunds.reserve(ask)
    assert isinstance(answer, Reserved)
    return answer.refund


async def in_state(store: Store, payment: Payment, state: State, reason: Reason | None = None) -> Payment:
    await opened(store, payment)
    assert await store.payments.record(Change(payment.replace(state=state, reason=reason)))
    return await current(store, payment)


async def test_payments_and_refunds_are_listed_newest_first(store: Store) -> None:
    first = await paid(store, a_payment(created_at=NOW))
    last = await opened(store, a_payment(created_at=NOW + timedelta(seconds=2)))
    refund = await refunded(store, first, created_at=NOW + timedelta(seconds=1))
    transactions = await store.transactions.list(EVERYTHING)
    assert transactions == [
        last,
        RefundTransaction(refund, await current(store, first)),
        await current(store, first),
    ]


async def test_another_merchants_rows_are_never_listed(store: Store) -> None:
    payment = await opened(store, a_payment(mchid="mch2", reference="A"))
    assert await store.transactions.list(EVERYTHING) == []
    assert await store.transactions.list(replace(EVERYTHING, syssns=[payment.syssn])) == []
    assert await store.transactions.list(replace(EVERYTHING, references=["A"])) == []


async def test_the_start_is_included_and_the_end_is_not(store: Store) -> None:
    payments = [await opened(store, a_payment(created_at=NOW + timedelta(seconds=n))) for n in range(4)]
    some = await store.transactions.list(
        replace(EVERYTHING, start=NOW + timedelta(seconds=1), end=NOW + timedelta(seconds=3))
    )
    assert some == [payments[2], payments[1]]


async def test_several_numbers_are_queried_at_once(store: Store) -> None:
    payments = [await paid(store, a_payment(BARCODE, reference=f"order-{n}")) for n in range(5)]
    refund = await refunded(store, payments[0], reference="order-0")
    by_syssn = await store.transactions.list(replace(EVERYTHING, syssns=[payments[1].syssn, refund.syssn]))
    assert set(numbers_of(by_syssn)) == {payments[1].syssn, refund.syssn}
    by_reference = await store.transactions.list(
        replace(EVERYTHING, references=["order-0", "order-3", "none"])
    )
    assert set(numbers_of(by_reference)) == {payments[0].syssn, payments[3].syssn, refund.syssn}


async def test_one_number_finds_a_payment_or_a_refund(store: Store) -> None:
    payment = await paid(store, a_payment(reference="order"))
    refund = await refunded(store, payment, reference="refund")
    for syssn, asked in (
        (payment.syssn, replace(EVERYTHING, syssns=[payment.syssn])),
        (refund.syssn, replace(EVERYTHING, syssns=[refund.syssn])),
        (payment.syssn, replace(EVERYTHING, references=["order"])),
        (refund.syssn, replace(EVERYTHING, references=["refund"])),
    ):
        assert numbers_of(await store.transactions.list(asked)) == [syssn]
        assert await store.transactions.list(replace(asked, page=2)) == []


async def test_every_attempt_under_a_number_is_listed(store: Store) -> None:
    failed = await in_state(store, a_payment(reference="A"), State.FAILED, Reason.PAYER_BALANCE)
    again = a_payment(reference="A")
    assert await store.payments.open_again(again, failed.syssn)
    assert numbers_of(await store.transactions.list(replace(EVERYTHING, references=["A"]))) == [
        again.syssn,
        failed.syssn,
    ]


async def test_a_refund_is_of_its_payments_pay_type(store: Store) -> None:
    offline = await paid(store, a_payment(BARCODE))
    refund = await refunded(store, offline)
    await opened(store, a_payment(ONLINE))
    listed = await store.transactions.list(replace(EVERYTHING, pay_types=[BARCODE.code, "800108"]))
    assert set(numbers_of(listed)) == {offline.syssn, refund.syssn}


@pytest.mark.parametrize("state", State)
async def test_a_filter_by_code_finds_the_rows_that_show_it(store: Store, state: State) -> None:
    reason = Reason.PAYER_BALANCE if state is State.FAILED else None
    payment = (
        await paid(store, a_payment())
        if state is State.PAID
        else await in_state(store, a_payment(), state, reason)
    )
    for other in {codes.OK, codes.PENDING, codes.BALANCE, codes.CLOSED, codes.EXPIRED}:
        found = await store.transactions.list(replace(EVERYTHING, states=states_showing(other)))
        assert numbers_of(found) == ([payment.syssn] if other == shown_respcd(payment) else [])


async def test_an_undecided_refund_shows_its_code(store: Store) -> None:
    payment = await paid(store, a_payment())
    refund = await refunded(store, payment)
    pending = await store.transactions.list(replace(EVERYTHING, states=states_showing(codes.REFUND_PENDING)))
    assert numbers_of(pending) == [refund.syssn]
    done = replace(refund, state=RefundState.DONE, check_at=None)
    assert await store.refunds.record(RefundChange(done, is_decided=True))
    moved = await store.transactions.list(replace(EVERYTHING, states=states_showing(codes.OK)))
    assert set(numbers_of(moved)) == {payment.syssn, refund.syssn}


async def test_a_failed_refund_is_found_by_the_code_of_its_reason(store: Store) -> None:
    refund = await refunded(store, await paid(store, a_payment()))
    failed = replace(
        refund,
        state=RefundState.FAILED,
        reason=Reason.MERCHANT_BALANCE,
        wallet_code="NOTENOUGH",
        check_at=None,
    )
    assert await store.refunds.record(RefundChange(failed, is_decided=True))
    (found,) = await store.transactions.list(
        replace(EVERYTHING, states=states_showing(codes.MERCHANT_BALANCE))
    )
    assert isinstance(found, RefundTransaction)
    assert (found.refund.reason, found.refund.wallet_code) == (Reason.MERCHANT_BALANCE, "NOTENOUGH")
    assert await store.transactions.list(replace(EVERYTHING, states=states_showing(codes.RISK))) == []


@pytest.mark.parametrize("size", [1, 3, 10, 100])
async def test_pages_together_are_the_whole_list(store: Store, size: int) -> None:
    for n in range(10):
        await opened(store, a_payment(created_at=NOW + timedelta(seconds=n // 3)))
    whole = await store.transactions.list(EVERYTHING)
    pages = [
        await store.transactions.list(replace(EVERYTHING, page=page, page_size=size)) for page in range(1, 12)
    ]
    assert [trade for page in pages for trade in page] == whole
    assert len(whole) == 10


async def test_filters_are_combined_with_and(store: Store) -> None:
    payment = await opened(store, a_payment(reference="A"))
    asked = replace(EVERYTHING, syssns=[payment.syssn], references=["A"], pay_types=[ONLINE.code])
    assert numbers_of(await store.transactions.list(asked)) == [payment.syssn]
    assert await store.transactions.list(replace(asked, references=["B"])) == []
    assert (
        await store.transactions.list(replace(asked, pay_types=list(PAY_TYPES.keys() - {ONLINE.code}))) == []
    )


async def test_each_way_of_asking_has_the_same_rows_and_pages(store: Store) -> None:
    """By time alone and by numbers alone are statements of their own. The last one here is the general statement."""
    payments = [
        await paid(store, a_payment(created_at=NOW + timedelta(seconds=2 * number))) for number in range(4)
    ]
    for number, payment in enumerate(payments[:3]):
        await refunded(store, payment, created_at=NOW + timedelta(seconds=2 * number + 1))
    expected = numbers_of(await store.transactions.list(EVERYTHING))
    assert len(expected) == 7
    time = {"start": NOW, "end": NOW + timedelta(seconds=60)}
    refunds = [number for number in expected if number not in {payment.syssn for payment in payments}]
    every = [payment.reference for payment in payments] + [f"refund-{number}" for number in refunds]
    for asked in (time, {"syssns": expected}, {"references": every}, {**time, "pay_types": [ONLINE.code]}):
        pages = [
            numbers_of(await store.transactions.list(replace(EVERYTHING, **asked, page=page, page_size=3)))
            for page in (1, 2, 3, 4)
        ]
        assert [len(page) for page in pages] == [3, 3, 1, 0], asked
        assert [number for page in pages for number in page] == expected, asked
    later = replace(EVERYTHING, start=NOW + timedelta(seconds=3), end=NOW + timedelta(seconds=6))
    assert numbers_of(await store.transactions.list(later)) == expected[1:4]
