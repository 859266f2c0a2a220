"""Limits of a merchant's volume: exact with concurrent requests in several processes, by the day and month in UTC+8."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tael.base.admission import Admission
from tael.base.errors import AmountRefused
from tael.base.money import Money
from tael.base.reasons import Reason
from tael.merchants.domain.merchant import VolumeLimits
from tael.operations.store import Store
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.volume import Volume, period_of
from tael.payments.store.payments import Change
from tael.payments.store.volumes import LOCK
from tests.integration.payments.test_recording import gateway_over
from tests.support.store import being_paid, count_of, current, opened
from tests.support.values import MCHID, NOW, ONLINE, ORIGIN, a_link, a_payment
from tests.support.world import pay

#: 2026-01-02 in UTC+8 ends at 16:00 UTC.
LAST_OF_DAY = datetime(2026, 1, 2, 15, 59, 59, 999999, tzinfo=UTC)
FIRST_OF_NEXT = LAST_OF_DAY + timedelta.resolution
#: 2026-01-31 in UTC+8 ends the month.
LAST_OF_MONTH = datetime(2026, 1, 31, 15, 59, 59, tzinfo=UTC)


def of_1(at: datetime = NOW, **changes: Any) -> Payment:
    """A payment of 1.00."""
    return a_payment(amount=Money(100, "HKD"), created_at=at, **changes)


async def refusal(store: Store, payment: Payment, limits: VolumeLimits) -> str:
    """Why it is not opened; "" if it is."""
    try:
        assert await store.payments.open(payment, limits)
    except AmountRefused as error:
        return str(error)
    return ""


async def test_requests_at_once_in_two_processes_never_pass_the_limit(
    store: Store, other_store: Store
) -> None:
    limits = VolumeLimits(daily_minor=5_000)
    payments = [of_1(reference=f"order-{n}") for n in range(160)]
    others = [of_1(mchid="mch2", reference=f"order-{n}") for n in range(40)]
    results = await asyncio.gather(
        *((store, other_store)[n % 2].payments.open(each, limits) for n, each in enumerate(payments)),
        *(store.payments.open(each) for each in others),
        return_exceptions=True,
    )
    assert results.count(True) == 50 + len(others)
    assert len([each for each in results if isinstance(each, AmountRefused)]) == 110
    assert await store.payments.volume(period_of(MCHID, NOW)) == Volume(5_000, 5_000)
    assert await count_of(store, "reference") == await count_of(store, "payment") == 50 + len(others)


async def test_a_refused_number_may_be_used_again_and_a_repeat_is_no_second_payment(store: Store) -> None:
    limits = VolumeLimits(daily_minor=100)
    first, second = of_1(reference="A"), of_1(reference="B")
    assert await refusal(store, first, limits) == ""
    assert not await store.payments.open(of_1(reference="A"), limits)  # a repeat, not an amount
    assert "at most 100 in a day" in await refusal(store, second, limits)
    assert await refusal(store, second, VolumeLimits(daily_minor=200)) == ""


@pytest.mark.parametrize(
    ("times", "limits", "refused"),
    [
        ([LAST_OF_DAY, LAST_OF_DAY], VolumeLimits(daily_minor=100), "at most 100 in a day"),
        ([LAST_OF_DAY, FIRST_OF_NEXT], VolumeLimits(daily_minor=100), ""),
        ([FIRST_OF_NEXT, LAST_OF_DAY], VolumeLimits(daily_minor=100), ""),
        ([LAST_OF_DAY, LAST_OF_MONTH], VolumeLimits(monthly_minor=100), "at most 100 in a month"),
        ([LAST_OF_MONTH, LAST_OF_MONTH + timedelta(seconds=1)], VolumeLimits(monthly_minor=100), ""),
        ([LAST_OF_DAY, LAST_OF_MONTH], VolumeLimits(daily_minor=100, monthly_minor=200), ""),
    ],
)
async def test_days_and_months_are_those_of_utc_8(
    store: Store, times: Sequence[datetime], limits: VolumeLimits, refused: str
) -> None:
    first, second = times
    assert await refusal(store, of_1(first), limits) == ""
    result = await refusal(store, of_1(second), limits)
    assert refused in result
    assert bool(result) is bool(refused)


@pytest.mark.parametrize(
    ("state", "makes_room"),
    [
        (State.PENDING, False),
        (State.PAID, False),
        (State.FAILED, True),
        (State.CLOSED, True),
        (State.EXPIRED, True),
    ],
)
async def test_what_ends_unpaid_makes_room(store: Store, state: State, makes_room: bool) -> None:
    payment = await opened(store, of_1())
    if state is State.PAID:
        assert await store.payments.record(being_paid(payment))
    elif state is not State.PENDING:
        reason = Reason.OTHER if state is State.FAILED else None
        assert await store.payments.record(Change(payment.replace(state=state, reason=reason)))
    assert (await refusal(store, of_1(), VolumeLimits(daily_minor=100)) == "") is makes_room


async def test_a_new_attempt_above_the_limit_leaves_the_failed_one(store: Store) -> None:
    failed = await opened(store, of_1(reference="A"))
    assert await store.payments.record(Change(failed.replace(state=State.FAILED, reason=Reason.OTHER)))
    with pytest.raises(AmountRefused):
        await store.payments.open_again(of_1(reference="A"), failed.syssn, VolumeLimits(monthly_minor=99))
    assert await store.payments.by_reference(MCHID, "A") == await current(store, failed)


async def test_an_order_of_a_link_above_the_limit_is_not_opened(store: Store) -> None:
    link = a_link(reference="L")
    await store.checkouts.add(link)
    with pytest.raises(AmountRefused):
        await store.checkouts.open_order(link, of_1(reference="L"), VolumeLimits(daily_minor=99))
    assert await store.checkouts.by_reference(MCHID, "L") == link
    assert await count_of(store, "payment") == 0


async def test_the_merchants_limit_holds_for_its_requests(store: Store) -> None:
    await store.merchants.change_merchant(MCHID, partial(replace, max_daily_minor=1), ORIGIN)
    with pytest.raises(AmountRefused):
        await pay(gateway_over(store), ONLINE, "A")
    assert await count_of(store, "payment") == 0


async def test_openings_that_wait_for_their_merchants_turn_have_no_place(
    store: Store, other_store: Store
) -> None:
    limits, admission = VolumeLimits(daily_minor=100), Admission(1)

    async def open_limited() -> bool:
        with await admission.take("a"):
            return await store.payments.open(of_1(), limits)

    async with other_store.database.transaction() as connection:
        await connection.execute(LOCK, [MCHID])
        slow = [asyncio.create_task(open_limited()) for _ in range(3)]
        await asyncio.sleep(0)
        with await admission.take("b"):
            assert admission.in_progress == 1
    results = await asyncio.gather(*slow, return_exceptions=True)
    assert results.count(True) == 1


async def test_a_merchant_whose_openings_wait_delays_no_other(store: Store, other_store: Store) -> None:
    limits = VolumeLimits(daily_minor=100)
    async with other_store.database.transaction() as connection:
        await connection.execute(LOCK, [MCHID])
        slow = [asyncio.create_task(store.payments.open(of_1(), limits)) for _ in range(9)]
        assert await store.payments.open(of_1(mchid="mch2"), limits)
        assert (
            await asyncio.gather(*(store.payments.open(of_1(mchid="mch3")) for _ in range(50))) == [True] * 50
        )
        assert not any(task.done() for task in slow)
    results = await asyncio.gather(*slow, return_exceptions=True)
    assert results.count(True) == 1
