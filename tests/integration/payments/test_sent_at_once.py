"""Batches of payments as they are sent at once: who wins, what is written, and when they are made step by step."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from tael.db.database import Database
from tael.db.tables import RowsMissing
from tael.operations.store import Store
from tael.payments.domain.payment import Payment
from tael.payments.store.payments import Change, Payments
from tests.support.citus import needs_plain_postgres
from tests.support.store import all_entries, being_paid, count_of
from tests.support.values import a_payment

if TYPE_CHECKING:
    from tael.db.database import Connection

#: A server that executes an INSERT without its rows, and without an error.
SKIP: Final = """
CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER skip BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION skip();
"""


class CountingDatabase(Database):
    """Counts the transactions that were made step by step."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.step_by_step = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Connection"]:
        self.step_by_step += 1
        async with super().transaction() as connection:
            yield connection


@pytest.fixture
async def database(store: Store, database_url: str) -> AsyncIterator[CountingDatabase]:
    async with CountingDatabase(database_url, schema=store.database.schema) as entered:
        yield entered


@pytest.fixture
def payments(database: CountingDatabase) -> Payments:
    return Payments(database)


async def open_all(payments: Payments, *new: Payment) -> list[bool]:
    return list(await asyncio.gather(*map(payments.open, new)))


async def test_a_taken_reference_delays_no_other(
    store: Store, payments: Payments, database: CountingDatabase
) -> None:
    first, other, third = a_payment(), a_payment(), a_payment()
    assert await open_all(payments, first) == [True]
    repeated = a_payment(reference=first.reference)
    assert await open_all(payments, other, repeated, third) == [True, False, True]
    assert database.step_by_step == 0
    assert await store.payments.by_syssn(repeated.mchid, repeated.syssn) is None
    assert await store.payments.by_syssn(third.mchid, third.syssn) == third
    assert await count_of(store, "payment") == await count_of(store, "reference") == 3


async def test_of_two_payments_under_one_reference_one_is_opened(
    store: Store, payments: Payments, database: CountingDatabase
) -> None:
    first = a_payment()
    new = [first, a_payment(reference=first.reference), a_payment()]
    opened = await open_all(payments, *new)
    assert sorted(opened[:2]) == [False, True]
    assert opened[2]
    assert database.step_by_step == 0
    kept = await store.payments.by_reference(first.mchid, first.reference)
    assert kept == new[opened.index(True)]
    assert await count_of(store, "payment") == await count_of(store, "reference") == 2


async def test_outcomes_are_recorded_at_once(
    store: Store, payments: Payments, database: CountingDatabase
) -> None:
    new = [a_payment() for _ in range(5)]
    await open_all(payments, *new)
    changes = [being_paid(each) for each in new]
    assert await asyncio.gather(*map(payments.record, changes)) == [True] * 5
    assert database.step_by_step == 0
    assert {entry.cause for entry in await all_entries(store)} == {each.syssn for each in new}
    assert await count_of(store, "webhook") == 5


async def test_openings_and_outcomes_are_one_transaction(
    store: Store, payments: Payments, database: CountingDatabase
) -> None:
    before, new = [a_payment() for _ in range(3)], [a_payment() for _ in range(3)]
    await open_all(payments, *before)
    written = await asyncio.gather(*map(payments.record, map(being_paid, before)), *map(payments.open, new))
    assert written == [True] * 6
    assert database.step_by_step == 0
    (row,) = await store.database.fetch("SELECT count(DISTINCT xmin::text), count(*) FROM payment")
    assert tuple(row) == (1, 6)


async def test_a_changed_version_makes_its_batch_step_by_step(
    store: Store, payments: Payments, database: CountingDatabase
) -> None:
    new = [a_payment() for _ in range(5)]
    await open_all(payments, *new)
    assert await store.payments.record(Change(new[2].replace(checks=1)))
    opened, taken = a_payment(), a_payment(reference=new[0].reference)
    recorded = await asyncio.gather(
        *map(payments.record, map(being_paid, new)), payments.open(opened), payments.open(taken)
    )
    assert recorded == [True, True, False, True, True, True, False]
    assert database.step_by_step == 1
    assert len(await all_entries(store)) == await count_of(store, "webhook") == 4
    assert await store.payments.by_syssn(opened.mchid, opened.syssn) == opened


async def test_one_changed_version_alone_writes_nothing(store: Store, payments: Payments) -> None:
    (payment,) = new = [a_payment()]
    await open_all(payments, *new)
    assert await store.payments.record(Change(payment.replace(checks=1)))
    assert not await payments.record(being_paid(payment))
    assert await all_entries(store) == []
    assert await count_of(store, "webhook") == 0


@needs_plain_postgres
async def test_a_payment_that_the_server_did_not_insert_is_not_opened(
    store: Store, payments: Payments
) -> None:
    await store.database.execute(SKIP.format("payment"))
    with pytest.raises(RowsMissing):
        await payments.open(a_payment())
    assert await count_of(store, "reference") == 0


@needs_plain_postgres
async def test_an_entry_that_the_server_did_not_insert_is_no_outcome(
    store: Store, payments: Payments
) -> None:
    (payment,) = new = [a_payment()]
    await open_all(payments, *new)
    await store.database.execute(SKIP.format("ledger_entry"))
    with pytest.raises(RowsMissing):
        await payments.record(being_paid(payment))
    assert await store.payments.by_syssn(payment.mchid, payment.syssn) == payment
