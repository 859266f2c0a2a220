"""A locked row delays only its own call, and only for a limited time; an abandoned session releases it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Final

import pytest

from tael.audit.store.snapshot import snapshot
from tael.db.cells import FIRST, schema_of
from tael.db.database import Database, Limits, RowLocked, StoreUnavailable
from tael.operations.store import Store, store_over
from tael.payments.domain.payment import Payment
from tael.payments.store.reservations import Reserved
from tests.integration.payments.test_reservations import asking
from tests.support.citus import needs_direct_connections
from tests.support.store import CIPHER, NODE, CellsOfUrl, being_paid, count_of, current, opened, paid
from tests.support.values import MCHID, a_payment

QUICK: Final = Limits(lock_s=0.5, batch_lock_s=0.05, idle_transaction_s=0.3)
PATIENCE_S: Final = 10.0


@pytest.fixture
async def quick(store: Store, database_url: str) -> AsyncIterator[Store]:
    """Another process's store, with short limits."""
    async with CellsOfUrl(database_url, QUICK) as cells:
        yield store_over(cells.directory, cells.databases.first, CIPHER, NODE)


@asynccontextmanager
async def locked(store: Store, payment: Payment) -> AsyncIterator[None]:
    """Another process holds the payment's row until the end of the block."""
    async with store.payments.locked(payment.mchid, payment.syssn):
        yield


@asynccontextmanager
async def named(store: Store, reference: str) -> AsyncIterator[None]:
    """Another process inserts a merchant's reference, and does not commit before the end of the block."""
    async with store.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO reference (mchid, reference, payment_syssn) VALUES ($1, $2, 'other')",
            MCHID,
            reference,
        )
        yield


async def until_one_waits(store: Store) -> None:
    """Until a session waits for a lock."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await store.database.fetch("SELECT FROM pg_locks WHERE NOT granted"):
                return
            await asyncio.sleep(0.01)


async def in_time(awaited: Awaitable[object]) -> object:
    return await asyncio.wait_for(asyncio.ensure_future(awaited), PATIENCE_S)


@needs_direct_connections
async def test_a_batch_with_a_locked_payment_refunds_the_others_at_once(store: Store, quick: Store) -> None:
    payments = [await paid(store, a_payment()) for _ in range(5)]
    async with locked(store, payments[2]):
        asked = [asyncio.create_task(quick.refunds.reserve(asking(payment))) for payment in payments]
        await in_time(asyncio.wait([asked[0], asked[1], asked[3], asked[4]]))
        assert not asked[2].done()
        assert isinstance(await quick.refunds.reserve(asking(payments[0], 1)), Reserved)  # and the next batch
        assert not asked[2].done()
    answers = await asyncio.gather(*asked)
    assert {type(answer) for answer in answers} == {Reserved}
    assert [(await current(store, payment)).reserved_minor for payment in payments] == [41, 40, 40, 40, 40]


@needs_direct_connections
async def test_a_lasting_lock_is_out_of_service_for_its_own_payment_only(store: Store, quick: Store) -> None:
    payments = [await paid(store, a_payment()) for _ in range(3)]
    async with locked(store, payments[0]):
        answers = await asyncio.gather(
            *(quick.refunds.reserve(asking(payment)) for payment in payments), return_exceptions=True
        )
    assert [type(answer) for answer in answers] == [RowLocked, Reserved, Reserved]
    assert (await current(store, payments[0])).reserved_minor == 0


@needs_direct_connections
async def test_a_reference_that_another_process_is_inserting_delays_no_other(
    store: Store, quick: Store
) -> None:
    async with named(store, "A"):
        waiting = asyncio.create_task(quick.payments.open(a_payment(reference="A")))
        others = [quick.payments.open(a_payment()) for _ in range(20)]
        assert await in_time(asyncio.gather(*others)) == [True] * 20
        assert not waiting.done()
    assert not await waiting  # the other process has it
    assert await count_of(store, "payment") == 20


@needs_direct_connections
async def test_a_payment_that_another_process_has_locked_delays_no_opening(
    store: Store, quick: Store
) -> None:
    payment = await opened(store, a_payment())
    async with locked(store, payment):
        waiting = asyncio.create_task(quick.payments.record(being_paid(payment)))
        others = [quick.payments.open(a_payment()) for _ in range(20)]
        assert await in_time(asyncio.gather(*others)) == [True] * 20
        assert await in_time(quick.payments.open(a_payment()))  # and the next batch
        assert not waiting.done()
    assert await waiting


@needs_direct_connections
async def test_a_batch_locks_payments_before_references_as_refunds_do(
    store: Store, database_url: str
) -> None:
    payment = await opened(store, a_payment())
    async with CellsOfUrl(database_url, Limits(batch_lock_s=PATIENCE_S)) as cells:
        patient = store_over(cells.directory, cells.databases.first, CIPHER, NODE)
        async with store.payments.locked(payment.mchid, payment.syssn) as (connection, _):
            writing = asyncio.gather(
                patient.payments.record(being_paid(payment)), patient.payments.open(a_payment(reference="A"))
            )
            await until_one_waits(store)
            await connection.execute("SET LOCAL lock_timeout = '300ms'")
            await connection.execute(
                "INSERT INTO reference (mchid, reference, payment_syssn) VALUES ($1, 'A', 'other')", MCHID
            )
        assert await in_time(writing) == [True, False]


async def test_many_locked_rows_leave_connections_for_others(store: Store, quick: Store) -> None:
    payments = [await paid(store, a_payment()) for _ in range(30)]
    other = await opened(store, a_payment())
    async with store.database.transaction() as connection:
        await connection.execute("SELECT 1 FROM payment WHERE state = 'PAID' FOR UPDATE")
        asked = [asyncio.create_task(quick.refunds.reserve(asking(payment))) for payment in payments]
        assert await in_time(quick.payments.by_syssn(other.mchid, other.syssn)) == other
        assert await in_time(quick.payments.record(being_paid(other)))
        assert not any(one.done() for one in asked)
    assert {type(answer) for answer in await asyncio.gather(*asked)} == {Reserved}


@needs_direct_connections
async def test_a_row_alone_waits_for_its_lock_too(store: Store, quick: Store) -> None:
    payment = await opened(store, a_payment())
    async with locked(store, payment):
        with pytest.raises(RowLocked):
            async with quick.payments.locked(payment.mchid, payment.syssn):
                pass
        with pytest.raises(RowLocked):
            await quick.payments.record(being_paid(payment))
        written = asyncio.create_task(quick.payments.record(being_paid(payment)))
        await asyncio.sleep(0.1)
    assert await in_time(written)


async def test_a_process_frozen_inside_a_transaction_is_ended_by_the_server(
    store: Store, quick: Store
) -> None:
    payment = await paid(store, a_payment())
    is_frozen, goes_on = asyncio.Event(), asyncio.Event()

    async def frozen() -> None:
        async with quick.payments.locked(payment.mchid, payment.syssn) as (connection, before):
            is_frozen.set()
            await goes_on.wait()
            await quick.payments.write(connection, being_paid(before))

    freezing = asyncio.create_task(frozen())
    await is_frozen.wait()
    assert isinstance(await in_time(store.refunds.reserve(asking(payment))), Reserved)
    goes_on.set()
    with pytest.raises(StoreUnavailable):
        await freezing


async def test_a_caller_that_was_cancelled_before_its_batch_has_written_nothing(
    store: Store, quick: Store
) -> None:
    first, second = a_payment(), a_payment()
    async with store.database.transaction() as connection:
        await connection.execute("LOCK TABLE payment IN ACCESS EXCLUSIVE MODE")
        asked = asyncio.create_task(quick.payments.open(first))
        await asyncio.sleep(0)
        late = asyncio.create_task(quick.payments.open(second))
        await asyncio.sleep(0)
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
    assert await in_time(asked)
    assert await store.payments.by_syssn(second.mchid, second.syssn) is None


async def test_an_audit_may_take_longer_than_any_call(store: Store, database_url: str) -> None:
    for _ in range(3):
        await paid(store, a_payment())
    async with (
        Database(database_url, Limits(call_s=0.2), schema_of(FIRST)) as database,
        snapshot(database) as books,
    ):
        orders = []
        async for order, _ in books.orders():
            await asyncio.sleep(0.1)
            orders.append(order)
    assert len(orders) == 3
