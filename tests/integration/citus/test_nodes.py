"""What must hold at whichever node of Citus a process is connected, also at one that a cell was moved from."""

from collections.abc import AsyncIterator
from typing import Final

import pytest

from tael.db.database import Database, Limits, RowLocked
from tael.db.tables import RowsMissing, write_rows
from tael.ledger.domain.entries import Entry
from tael.ledger.store.digests import ALL_OLDER_ARE_OVER, BARRIER
from tael.ledger.store.entries import ENTRY, write_entries
from tael.merchants.store.merchants import AlreadyThere
from tael.operations.store import Store
from tael.payments.domain.entries import payment_entry
from tael.payments.store import volumes
from tests.support import citus
from tests.support.citus import CELLS, DIRECTORY, needs_citus
from tests.support.store import count_of, entered_store, paid
from tests.support.values import MCHID, NOW, ORIGIN, a_paid_payment, a_payment, a_wechat_account

pytestmark = needs_citus

PLACES: Final = ("node of the cell", "another worker", "coordinator")
QUICK: Final = Limits(lock_s=0.2)
#: The join is not needed, so PostgreSQL removes it. Citus 13.2 then finds no table to send the SELECT to, sends none,
#: and reports success.
DROPPED: Final = f"""
INSERT INTO ledger_entry ({ENTRY.select}) SELECT {ENTRY.select_from("w")}
FROM {ENTRY.unnest(ENTRY.columns)} LEFT JOIN daily_close AS s ON s.mchid = w.mchid
"""


def url_at(place: str) -> str:
    """Of the first cell, by way of this node."""
    of_cell, of_other = map(citus.node_of, CELLS)
    at = dict(zip(PLACES, (of_cell, of_other, citus.nodes()[0]), strict=True))
    return at[place].url(CELLS[0], DIRECTORY)


def an_entry() -> Entry:
    return payment_entry(a_paid_payment(), NOW)


@pytest.fixture
async def writing(store: Store, writer: str) -> AsyncIterator[Store]:
    async with entered_store(url_at(writer)) as entered:
        yield entered


@pytest.fixture
async def closing(store: Store, closer: str) -> AsyncIterator[Store]:
    async with entered_store(url_at(closer)) as entered:
        yield entered


@pytest.mark.parametrize("writer", PLACES)
@pytest.mark.parametrize("closer", PLACES)
async def test_the_daily_close_waits_for_an_entry_that_is_being_written(
    writing: Store, closing: Store
) -> None:
    async with writing.database.transaction() as connection:
        await write_entries(connection, [an_entry()])
        (row,) = await closing.database.fetch(BARRIER)
        (status,) = await closing.database.fetch(ALL_OLDER_ARE_OVER, row["barrier"])
        assert not status["are_over"]
    assert await closing.ledger_digests.close(MCHID, NOW)


@pytest.mark.parametrize("writer", PLACES)
async def test_the_lock_of_a_merchants_volume_excludes_processes_at_other_nodes(
    writing: Store,
) -> None:
    url = url_at("node of the cell")
    async with writing.database.transaction() as connection, Database(url, QUICK, CELLS[0]) as other:
        await connection.execute(volumes.LOCK, [MCHID])
        with pytest.raises(RowLocked):
            await other.execute(volumes.LOCK, [MCHID])


@pytest.mark.parametrize("writer", PLACES)
async def test_a_payment_is_opened_and_recorded(writing: Store, store: Store) -> None:
    payment = await paid(writing, a_payment())
    assert await store.payments.by_syssn(payment.mchid, payment.syssn) == payment
    assert [await count_of(store, table) for table in ("ledger_entry", "webhook")] == [1, 1]


async def test_an_insert_that_citus_drops_raises(store: Store) -> None:
    """Should this fail because the row is there, Citus has mended it. `CROSS JOIN cell` stays right."""
    with pytest.raises(RowsMissing):
        async with store.database.transaction() as connection:
            await write_rows(connection, DROPPED, 1, *ENTRY.arrays([an_entry()], ENTRY.columns))
    assert await count_of(store, "ledger_entry") == 0


async def test_a_violated_contract_is_named(store: Store) -> None:
    with pytest.raises(AlreadyThere, match="this wallet for this scene"):
        await store.accounts.add(a_wechat_account("another", sub_mch_id="1900000199"), ORIGIN)
