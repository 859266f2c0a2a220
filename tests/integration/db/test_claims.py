"""Due rows are the queue: each is given to one worker, and to another when its lease has ended."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tael.channels.outcomes import Unknown
from tael.db.due_queue import AccountLimits
from tael.merchants.domain.merchant import Style
from tael.operations.store import Store
from tael.payments.domain.refund import RefundRules
from tael.payments.outcomes import record_outcome
from tael.payments.store.payments import Change
from tael.payments.store.reservations import Reservation, Reserved
from tael.webhooks.domain.webhook import WebhookState
from tael.webhooks.store.queue import Attempt, Delivery, DueWebhook
from tests.integration.payments.test_recording import gateway_over
from tests.support.citus import needs_plain_postgres
from tests.support.store import current, opened, paid
from tests.support.values import (
    BARCODE,
    NOW,
    OF_ANY,
    ORIGIN,
    a_merchant,
    a_payment,
    a_refund,
    a_reversal,
    a_wechat_account,
    marked_for,
)

LEASE = timedelta(seconds=60)
DUE = NOW + timedelta(hours=1)
TABLES = ["payments", "refunds", "reversals", "webhooks"]
Claim = Callable[..., Awaitable[Sequence[Any]]]


async def with_due_rows(store: Store, table: str, count: int) -> None:
    """`count` due rows in `table`, and no other rows that a claim would take."""
    for _ in range(count):
        match table:
            case "payments":
                await opened(store, a_payment())
            case "refunds":
                payment = await paid(store, a_payment())
                ask = Reservation(a_refund(payment), RefundRules(timedelta(days=9)), NOW)
                assert isinstance(await store.refunds.reserve(ask), Reserved)
            case "reversals":
                payment = await opened(store, a_payment(BARCODE))
                reversal = a_reversal(payment)
                async with store.payments.locked(payment.mchid, payment.syssn) as (connection, row):
                    await store.reversals.insert(connection, reversal, Change(marked_for(row, reversal)))
            case _:
                await paid(store, a_payment())


def claim_of(store: Store, table: str) -> Claim:
    claim: Claim = getattr(store, table).due.claim
    return claim if table == "webhooks" else partial(claim, accounts=OF_ANY)


def name_of(row: Any) -> str:
    return str(row.cause if isinstance(row, DueWebhook) else row.syssn)


@pytest.mark.parametrize("table", TABLES)
async def test_many_claimers_never_get_the_same_row(store: Store, other_store: Store, table: str) -> None:
    await with_due_rows(store, table, 40)
    real_now = datetime.now(UTC)
    claimed = await asyncio.gather(
        *(claim_of((store, other_store)[n % 2], table)(DUE, real_now, real_now + LEASE, 5) for n in range(16))
    )
    names = [name_of(row) for rows in claimed for row in rows]
    assert len(names) == len(set(names))
    assert all(len(rows) <= 5 for rows in claimed)
    rest = await claim_of(store, table)(
        DUE, real_now, real_now + LEASE, 50
    )  # skipped while another claim had locked them
    assert len(names) + len(rest) == 40
    assert await claim_of(store, table)(DUE, real_now, real_now + LEASE, 50) == []


@pytest.mark.parametrize("table", TABLES)
async def test_a_row_whose_worker_died_is_given_again_when_its_lease_has_ended(
    store: Store, table: str
) -> None:
    await with_due_rows(store, table, 1)
    claim = claim_of(store, table)
    real_now = datetime.now(UTC)
    (first,) = await claim(DUE, real_now, real_now + LEASE, 50)
    assert await claim(DUE + timedelta(days=1), real_now + LEASE, real_now + 2 * LEASE, 50) == []
    after = real_now + LEASE + timedelta(microseconds=1)
    (again,) = await claim(DUE, after, after + LEASE, 50)
    assert again == first


@pytest.mark.parametrize("table", TABLES)
async def test_a_row_that_is_not_due_is_not_claimed(store: Store, table: str) -> None:
    await with_due_rows(store, table, 3)
    real_now = datetime.now(UTC)
    early = NOW - timedelta(microseconds=1)
    assert await claim_of(store, table)(early, real_now, real_now + LEASE, 50) == []


async def test_the_longest_overdue_come_first(store: Store) -> None:
    late = [await opened(store, a_payment(check_at=NOW + timedelta(seconds=n))) for n in (3, 1, 2)]
    real_now = datetime.now(UTC)
    claimed = await store.payments.due.claim(DUE, real_now, real_now + LEASE, 2, OF_ANY)
    assert {payment.syssn for payment in claimed} == {late[1].syssn, late[2].syssn}


async def test_a_payment_that_a_merchant_queried_comes_before_the_longest_overdue(store: Store) -> None:
    overdue = [await opened(store, a_payment(check_at=NOW - timedelta(hours=n))) for n in range(1, 6)]
    asked = [await opened(store, a_payment(check_at=NOW)) for _ in range(2)]
    for n, payment in enumerate([*asked, overdue[1]], 1):
        await record_outcome(payment, Unknown("timeout"), gateway_over(store))
        at = NOW + timedelta(seconds=n)
        await store.payments.expedite(payment.mchid, [payment.syssn], at, at)
    real_now = datetime.now(UTC)
    expected = [*asked, overdue[1], overdue[4], overdue[3], overdue[2], overdue[0]]
    claimed = [await store.payments.due.claim(DUE, real_now, real_now + LEASE, 1, OF_ANY) for _ in range(7)]
    assert [payment.syssn for (payment,) in claimed] == [payment.syssn for payment in expected]


async def test_an_overdue_payment_comes_first_once_a_merchant_queries_it(store: Store) -> None:
    days_old = NOW - timedelta(days=1)
    overdue = (a_payment(created_at=days_old, check_at=NOW - timedelta(hours=n)) for n in (2, 1))
    payments = [await opened(store, payment) for payment in overdue]
    await store.database.execute("UPDATE payment SET has_initial_response = true")
    await store.payments.expedite(payments[1].mchid, [payments[1].syssn], NOW, NOW)
    real_now = datetime.now(UTC)
    (first,) = await store.payments.due.claim(NOW, real_now, real_now + LEASE, 1, OF_ANY)
    assert first.syssn == payments[1].syssn
    assert first.check_at == NOW  # not the instant that puts it first


OF_BOTH_WALLETS = {"wechat1": 9, "wechat2": 3, "alipay-offline": 2}


async def with_due_rows_of(store: Store, table: str, account_id: str, count: int) -> None:
    """`count` due rows of this account; the longest queue is the oldest."""
    await with_due_rows(store, table, count)
    row = {"payments": "payment", "refunds": "refund", "reversals": "reversal"}[table]
    await store.database.execute(
        f"UPDATE {row} SET account_id = $1,"
        " protocol = CASE WHEN $1 LIKE 'alipay%' THEN 'alipay_mapi' ELSE 'wechat_v2' END,"
        " check_at = check_at - $2 * interval '1 second'"
        " WHERE account_id = 'wechat1'",
        account_id,
        count,
    )


@needs_plain_postgres
@pytest.mark.parametrize("table", ["payments", "refunds", "reversals"])
async def test_a_claim_takes_the_share_of_each_account(store: Store, table: str) -> None:
    await store.merchants.add_merchant(a_merchant("mch2"), ORIGIN)
    await store.accounts.add(a_wechat_account("wechat2", "mch2", "1900000111"), ORIGIN)
    for account_id in reversed(OF_BOTH_WALLETS):
        await with_due_rows_of(store, table, account_id, OF_BOTH_WALLETS[account_id])
    claim = getattr(store, table).due.claim
    real_now = datetime.now(UTC)

    async def claimed(limit: int, share: AccountLimits) -> Counter[str]:
        rows = await claim(DUE, real_now, real_now + LEASE, limit, share)
        return Counter(row.account_id for row in rows)

    assert await claimed(50, AccountLimits(("wechat_v2",), 4, {"wechat1": 0})) == {"wechat2": 3}
    assert await claimed(50, AccountLimits(("wechat_v2",), 4, {"wechat1": 2})) == {"wechat1": 2}
    assert await claimed(3, AccountLimits(("wechat_v2",), 4)) == {"wechat1": 3}
    assert await claimed(50, AccountLimits(("alipay_mapi",), 1)) == {"alipay-offline": 1}
    assert await claimed(50, OF_ANY) == {"wechat1": 4, "alipay-offline": 1}
    assert await claimed(50, OF_ANY) == {}


@needs_plain_postgres
async def test_a_long_queue_leaves_part_of_a_claim_to_others(store: Store) -> None:
    for account_id, count in (("alipay-offline", 2), ("wechat1", 40)):
        await with_due_rows_of(store, "payments", account_id, count)
    real_now = datetime.now(UTC)
    rows = await store.payments.due.claim(DUE, real_now, real_now + LEASE, 50, OF_ANY)
    assert Counter(row.account_id for row in rows) == {"wechat1": 40, "alipay-offline": 2}


async def test_recording_an_outcome_ends_the_lease(store: Store) -> None:
    payment = await opened(store, a_payment())
    real_now = datetime.now(UTC)
    (claimed,) = await store.payments.due.claim(DUE, real_now, real_now + LEASE, 50, OF_ANY)
    after = await record_outcome(claimed, Unknown("timeout"), gateway_over(store))
    assert after.check_at is not None
    (again,) = await store.payments.due.claim(after.check_at, real_now, real_now + LEASE, 50, OF_ANY)
    assert again == await current(store, payment)


async def test_a_webhook_is_due_until_it_is_delivered_and_keeps_its_bytes(store: Store) -> None:
    await paid(store, a_payment())
    real_now = datetime.now(UTC)
    (first,) = await store.webhooks.due.claim(DUE, real_now, real_now + LEASE, 50)
    for style, body in ((Style.OLD, b"first"), (Style.NEW, b"second")):
        (fixed,) = await store.webhooks.fix_bodies([replace(first, style=style)], [body])
        assert (fixed.style, fixed.body) == (Style.OLD, b"first")
    await store.webhooks.report(
        [Delivery(first, WebhookState.DUE, Attempt(NOW, 7, 500, "HTTP 500"), deliver_at=DUE)]
    )
    (again,) = await store.webhooks.due.claim(DUE, real_now, real_now + LEASE, 50)
    assert (again.style, again.body, again.attempts) == (Style.OLD, b"first", 1)
    attempt = Attempt(DUE, 7, 200, "acknowledged", b"success")
    await store.webhooks.report([Delivery(again, WebhookState.DELIVERED, attempt, delivered_at=DUE)])
    assert await store.webhooks.due.claim(DUE + timedelta(days=9), real_now, real_now + LEASE, 50) == []
    (webhook,) = await store.webhooks.of_causes(first.mchid, [first.cause])
    assert (webhook.state, webhook.attempts, webhook.last_result) == ("DELIVERED", 2, "acknowledged")
    assert (webhook.deliver_at, webhook.delivered_at) == (None, DUE)


@pytest.mark.parametrize("table", TABLES)
async def test_a_lease_is_extended_by_its_holder_and_only_while_it_is_held(store: Store, table: str) -> None:
    await with_due_rows(store, table, 2)
    claim, renew = claim_of(store, table), getattr(store, table).due.renew
    real_now = datetime.now(UTC)
    first_end, second_end = real_now + LEASE, real_now + 2 * LEASE
    rows = await claim(DUE, real_now, first_end, 50)
    assert await renew(rows, [first_end, real_now], second_end) == [True, False]
    late = first_end + timedelta(microseconds=1)
    (lost,) = await claim(DUE, late, late + LEASE, 50)  # the other worker's now
    assert lost == rows[1]
    assert await renew(rows, [first_end, first_end], second_end) == [False, False]
    assert await renew(rows, [second_end, first_end], late + 2 * LEASE) == [True, False]
    assert await claim(DUE, late + LEASE, late + 2 * LEASE, 50) == []


async def test_a_row_that_was_written_meanwhile_has_no_lease_to_extend(store: Store) -> None:
    await opened(store, a_payment())
    real_now = datetime.now(UTC)
    (claimed,) = await store.payments.due.claim(DUE, real_now, real_now + LEASE, 50, OF_ANY)
    await record_outcome(claimed, Unknown("timeout"), gateway_over(store))
    assert await store.payments.due.renew([claimed], [real_now + LEASE], real_now + 2 * LEASE) == [False]


async def test_a_row_that_is_being_written_does_not_delay_the_renewal_of_others(store: Store) -> None:
    await with_due_rows(store, "payments", 2)
    real_now = datetime.now(UTC)
    rows = await store.payments.due.claim(DUE, real_now, real_now + LEASE, 50, OF_ANY)
    held = [real_now + LEASE] * 2
    async with store.payments.locked(rows[0].mchid, rows[0].syssn):
        assert await store.payments.due.renew(rows, held, real_now + 2 * LEASE) == [False, True]
