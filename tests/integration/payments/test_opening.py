"""Opening payments: one reference has one payment, also with concurrent requests and failing rows in the batch."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tael.base.money import Money
from tael.base.reasons import Reason
from tael.channels.outcomes import PayCode, PayLink, PayParams
from tael.operations.store import Store
from tael.payments.domain.payment import Payment, State
from tael.payments.store.payments import Change
from tests.support.store import being_paid, count_of, current, opened
from tests.support.values import ALIPAY_ONLINE, BARCODE, MCHID, ONLINE, a_payment, a_refund


async def test_two_hundred_at_once_with_doubles_are_one_payment_per_number(store: Store) -> None:
    payments = [a_payment(reference=f"order-{number % 120}") for number in range(200)]
    won = await asyncio.gather(*(store.payments.open(payment) for payment in payments))
    winners = [payment for payment, is_won in zip(payments, won, strict=True) if is_won]
    assert sorted(payment.reference for payment in winners) == sorted(f"order-{n}" for n in range(120))
    for payment in winners[:10]:
        assert await store.payments.by_reference(MCHID, payment.reference) == payment
    assert await count_of(store, "payment") == await count_of(store, "reference") == 120


async def test_two_processes_that_open_the_same_numbers_share_them(store: Store, other_store: Store) -> None:
    ours = [a_payment(reference=f"order-{number}") for number in range(100)]
    theirs = [a_payment(reference=f"order-{number}") for number in reversed(range(100))]
    won = await asyncio.gather(
        *(store.payments.open(payment) for payment in ours),
        *(other_store.payments.open(payment) for payment in theirs),
    )
    assert won.count(True) == 100
    assert [won[n] + won[199 - n] for n in range(100)] == [1] * 100


async def test_two_merchants_may_use_the_same_number(store: Store) -> None:
    assert await store.payments.open(a_payment(reference="A"))
    assert await store.payments.open(a_payment(reference="A", mchid="mch2"))


BAD: dict[str, dict[str, Any]] = {
    "amount": {"amount": Money(0, "HKD")},
    "amount too large": {"amount": Money(2**70, "HKD")},
    "nul": {"subject": "a\x00b"},
    "surrogate": {"subject": "a\ud800b"},
}


@pytest.mark.parametrize("bad", BAD)
async def test_a_row_that_cannot_be_written_does_not_fail_its_neighbours(store: Store, bad: str) -> None:
    payments = [a_payment() for _ in range(40)]
    payments[20] = payments[20].replace(**BAD[bad])
    answers = await asyncio.gather(*(store.payments.open(p) for p in payments), return_exceptions=True)
    assert isinstance(answers.pop(20), (asyncpg.PostgresError, asyncpg.InterfaceError))
    assert answers == [True] * 39
    assert await count_of(store, "payment") == 39


@pytest.mark.parametrize(
    "payment",
    [
        a_payment(ONLINE, subject="香港測試 '\"\\ %s {}", device="terminal", openid="o1"),
        a_payment(BARCODE, notify_merchant=False, is_subject_ours=True),
        a_payment(ALIPAY_ONLINE, amount=Money(10**11 - 1, "JPY")),
    ],
    ids=lambda payment: payment.pay_type.code,
)
async def test_a_payment_is_read_back_unchanged(store: Store, payment: Payment) -> None:
    assert await opened(store, payment) == await current(store, payment)
    assert await store.payments.by_syssn("another", payment.syssn) is None


@pytest.mark.parametrize(
    "pay", [PayLink("https://pay"), PayCode("weixin://pay"), PayParams({"appId": "wx"}), None]
)
async def test_the_payers_link_code_or_parameters_are_kept(
    store: Store, pay: PayLink | PayCode | PayParams | None
) -> None:
    payment = await opened(store, a_payment())
    assert await store.payments.record(Change(payment.replace(pay=pay)))
    assert (await current(store, payment)).pay == pay


async def test_a_new_attempt_takes_the_number_of_a_failed_one_once(store: Store, other_store: Store) -> None:
    failed = await opened(store, a_payment(reference="A"))
    assert await store.payments.record(Change(failed.replace(state=State.FAILED, reason=Reason.OTHER)))
    attempts = [a_payment(reference="A") for _ in range(10)]
    won = await asyncio.gather(
        *(
            (store, other_store)[n % 2].payments.open_again(attempt, failed.syssn)
            for n, attempt in enumerate(attempts)
        )
    )
    assert won.count(True) == 1
    assert await store.payments.by_reference(MCHID, "A") == attempts[won.index(True)]
    assert await count_of(store, "payment") == 2


async def test_a_number_that_a_refund_took_does_not_open_a_payment(store: Store) -> None:
    refund = a_refund(a_payment())
    await store.database.execute(
        "INSERT INTO reference (mchid, reference, refund_syssn) VALUES ($1, 'R', $2)", MCHID, refund.syssn
    )
    assert not await store.payments.open(a_payment(reference="R"))
    assert await store.payments.by_reference(MCHID, "R") is None


async def test_a_close_is_requested_once_and_only_of_a_pending_payment(store: Store) -> None:
    payment = await opened(store, a_payment())
    asked = await asyncio.gather(*(store.payments.request_close(payment, f"close-{n}") for n in range(5)))
    (intended,) = [answer for answer in asked if answer is not None]
    assert intended == await current(store, payment)
    assert intended.version == payment.version + 1
    paid = await opened(store, a_payment())
    assert await store.payments.record(being_paid(paid))
    assert await store.payments.request_close(paid, "close") is None


async def test_any_merchants_payment_is_found_by_its_number(store: Store) -> None:
    payment = await opened(store, a_payment())
    assert await store.payments.find_anywhere(payment.syssn) == payment
    assert await store.payments.find_anywhere("2026") is None
