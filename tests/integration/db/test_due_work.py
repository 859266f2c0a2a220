"""One statement finds the queues with due rows, so that an idle worker need not claim from each."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from tael.base.transport import Transport
from tael.main import all_jobs
from tael.operations.store import Store
from tests.integration.db.test_claims import DUE, LEASE, TABLES, claim_of, with_due_rows
from tests.integration.payments.test_recording import gateway_over, over_channels
from tests.support.services import services_of
from tests.support.store import paid
from tests.support.values import NOW, a_payment

#: No row is that old.
BEFORE_ALL = NOW - timedelta(days=1)


@pytest.mark.parametrize("table", TABLES)
async def test_a_queue_has_work_from_the_time_of_its_row_until_it_is_leased(store: Store, table: str) -> None:
    real_now = datetime.now(UTC)
    assert table not in await store.due_work.queues(DUE, real_now)
    await with_due_rows(store, table, 1)
    assert await store.due_work.queues(BEFORE_ALL, real_now) == set()
    assert table in await store.due_work.queues(DUE, real_now)
    assert len(await claim_of(store, table)(DUE, real_now, real_now + LEASE, 50)) == 1
    assert table not in await store.due_work.queues(DUE, real_now)
    assert table in await store.due_work.queues(DUE, real_now + LEASE + timedelta(seconds=1))


#: The queues whose rows are processed with calls to a wallet.
CALLING_WALLETS = (
    *("payments", "refunds", "reversals", "unmatched_payments"),
    *("statement_due", "reconciliation"),
)


async def test_the_daily_close_is_a_queue_too(store: Store) -> None:
    await paid(store, a_payment())
    real_now, later = datetime.now(UTC), NOW + timedelta(days=3)
    assert "daily_close" not in await store.due_work.queues(BEFORE_ALL, real_now)
    assert "daily_close" in await store.due_work.queues(later, real_now)
    assert len(await store.ledger_digests.due.claim(later, real_now, real_now + LEASE, 50)) == 1
    assert "daily_close" not in await store.due_work.queues(later, real_now)


async def test_every_job_is_woken_by_a_queue(store: Store) -> None:
    gateway = over_channels(gateway_over(store), {"alipay_mapi": cast(Any, None)})
    assert {job.queue for job in all_jobs(services_of(gateway, Transport()))} == store.due_work.names


async def test_what_calls_a_wallet_has_a_job_for_each_channel(store: Store) -> None:
    """So a hanging wallet cannot take the slots of another."""
    channels = {"alipay_mapi": cast(Any, None), "wechat_v2": cast(Any, None)}
    jobs = all_jobs(services_of(over_channels(gateway_over(store), channels), Transport()))
    for queue in CALLING_WALLETS:
        names = {job.name.rpartition(".")[2] for job in jobs if job.queue == queue}
        assert names == channels.keys(), queue


@pytest.mark.parametrize("table", TABLES)
async def test_the_oldest_due_row_of_a_queue_is_found_until_it_is_leased(store: Store, table: str) -> None:
    real_now = datetime.now(UTC)
    await with_due_rows(store, table, 3)
    column = getattr(store, table).due.due_column
    rows = await store.database.fetch(
        f"SELECT {column} AS at FROM {table.removesuffix('s')} WHERE {column} <= $1 ORDER BY {column}", DUE
    )
    assert (await store.due_work.oldest_due(BEFORE_ALL, real_now))[table] is None
    assert (await store.due_work.oldest_due(DUE, real_now))[table] == rows[0]["at"]
    await claim_of(store, table)(DUE, real_now, real_now + LEASE, 1)
    assert (await store.due_work.oldest_due(DUE, real_now))[table] == rows[1]["at"]
    await claim_of(store, table)(DUE, real_now, real_now + LEASE, 50)
    assert (await store.due_work.oldest_due(DUE, real_now))[table] is None


async def test_the_oldest_due_row_is_known_for_every_queue(store: Store) -> None:
    assert (await store.due_work.oldest_due(BEFORE_ALL, datetime.now(UTC))).keys() == store.due_work.names
