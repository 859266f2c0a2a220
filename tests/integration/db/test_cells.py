"""The databases of a process: the directory and cells, each of which sees its own tables only."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from tael.db import cells as db_cells
from tael.db.cells import CellLocation, Cells, NoSuchCell, number_in
from tael.db.database import Database, Limits, SchemaOutdated, StoreUnavailable
from tael.db.migrate import migrate_cell
from tael.operations.cells import WrongServers, add_cell, change_cell
from tael.stores import Stores, stores_over
from tests.integration.payments.test_recording import gateway_over
from tests.support.citus import needs_plain_postgres
from tests.support.store import CIPHER, NODE, opened
from tests.support.values import MCHID, ORIGIN, a_merchant, a_payment, an_app
from tests.support.wire import Wire

pytestmark = needs_plain_postgres

if TYPE_CHECKING:
    import asyncpg

SECOND = CellLocation(1)
QUICK = Limits(call_s=0.5)
SESSION = "SELECT pg_backend_pid()"
MAX_TRIES = 15


class CountingDatabase(Database):
    """Counts its reads."""

    reads = 0

    async def fetch(self, sql: str, *values: object) -> "list[asyncpg.Record]":
        CountingDatabase.reads += 1
        return await super().fetch(sql, *values)


@pytest.fixture
async def stores(database_url: str) -> AsyncIterator[Stores]:
    """Two cells, and an app."""
    migrate_cell(database_url, SECOND)
    async with Cells(database_url) as cells:
        await add_cell(cells, SECOND, ORIGIN)
        found = stores_over(cells, CIPHER, NODE)
        await found.first.merchants.add_app(an_app(), ORIGIN)
        yield found


async def test_a_statement_reaches_the_tables_of_its_own_part_only(stores: Stores) -> None:
    first, second = [store.database for store in (await stores.of_cell.all()).values()]
    for database, own, others in (
        (stores.cells.directory, "merchant", ("payment", "cell_01.payment")),
        (first, "payment", ("merchant", "cell_location")),
        (second, "payment", ("merchant", "cell_location")),
    ):
        assert await database.fetch(f"SELECT FROM {own}") == []
        for other in others[:1]:
            with pytest.raises(SchemaOutdated):
                await database.fetch(f"SELECT FROM {other}")


async def test_each_cell_has_its_own_number(stores: Stores) -> None:
    numbers = {
        number: (await store.database.fetch("SELECT number FROM cell"))[0]["number"]
        for number, store in (await stores.of_cell.all()).items()
    }
    assert numbers == {0: 0, 1: 1}


async def test_numbers_name_their_cell_and_lead_to_it(stores: Stores) -> None:
    for number, store in (await stores.of_cell.all()).items():
        syssn = await store.serials.syssn(ORIGIN.at)
        assert syssn[10:12] == f"{number:02d}"
        assert await stores.of_syssn(syssn) is store


async def test_new_merchants_are_spread_evenly(stores: Stores) -> None:
    merchants = stores.first.merchants
    chosen = []
    for name in "abcd":
        chosen.append(await merchants.emptiest_cell())
        await merchants.add_merchant(a_merchant(name, cell=chosen[-1]), ORIGIN)
    assert chosen == [0, 1, 0, 1]
    for name, number in zip("abcd", chosen, strict=True):
        store = await stores.of_merchant(name)
        assert store.cell == number
        rows = await store.database.fetch("SELECT mchid FROM daily_close WHERE mchid = $1", name)
        assert len(rows) == 1


async def test_a_merchant_of_an_unknown_cell_is_not_added(stores: Stores) -> None:
    with pytest.raises(LookupError):
        await stores.first.merchants.add_merchant(a_merchant(cell=7), ORIGIN)
    assert await stores.first.merchants.all() == []


async def test_a_cell_that_was_added_elsewhere_is_found_at_its_first_use(
    stores: Stores, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_cells, "NEW_CELL_S", 0)
    third = CellLocation(2)
    async with Cells(database_url) as other:
        assert await other.numbers() == [0, 1]
        migrate_cell(database_url, third)
        await add_cell(stores.cells, third, ORIGIN)
        assert await (await other.of(2)).fetch("SELECT number FROM cell") != []


async def test_made_up_numbers_do_not_make_every_call_read_the_directory(
    stores: Stores, database_url: str
) -> None:
    async with Cells(database_url, database_class=CountingDatabase) as other:
        await other.numbers()
        before = CountingDatabase.reads
        for number in range(50, 100):
            with pytest.raises(NoSuchCell):
                await other.of(number)
        assert CountingDatabase.reads == before


async def test_known_cells_are_used_while_the_directory_is_down(
    stores: Stores, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_cells, "LOCATIONS_S", 0)
    with Wire(database_url) as wire:
        async with Cells(wire.url, QUICK, CountingDatabase) as cells:
            assert await cells.numbers() == [0, 1]
            wire.cut()
            assert await cells.numbers() == [0, 1]
            reads = CountingDatabase.reads
            assert await cells.numbers() == [0, 1]
            assert CountingDatabase.reads == reads  # not every caller waits
        async with Cells(wire.url, QUICK) as begun_meanwhile:
            with pytest.raises(StoreUnavailable):
                await begun_meanwhile.numbers()


async def test_an_order_of_another_cell_is_known_to_be_ours(stores: Stores) -> None:
    """As that of another merchant of the same cell: a notice about it is no unknown order."""
    await stores.first.merchants.add_merchant(a_merchant(cell=1), ORIGIN)
    second = await stores.of_merchant(MCHID)
    syssn = await second.serials.syssn(ORIGIN.at)
    await opened(second, a_payment(syssn=syssn))
    payments = stores.of_cell.map(lambda store: store.payments)
    context = replace(gateway_over(stores.first), of_cell=payments.of)
    assert await context.is_ours(syssn)
    assert not await context.is_ours(f"{syssn[:10]}00{syssn[12:]}")
    assert not await context.is_ours(f"{syssn[:10]}57{syssn[12:]}")


async def test_a_cell_that_is_down_is_looked_for_at_once(
    stores: Stores, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_cells, "RETRY_S", 0)
    with Wire(database_url) as first, Wire(database_url) as second:
        await stores.cells.change(at(first), write_nothing)
        async with Cells(database_url, QUICK) as cells, cells.following():
            database = await cells.of(1)
            assert await number_in(database) == 1
            first.cut()
            await stores.cells.change(at(second), write_nothing)
            await until(lambda: number_in(database))


async def test_a_cell_that_has_moved_is_followed_although_its_last_server_still_serves(
    stores: Stores, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_cells, "RETRY_S", 0)
    monkeypatch.setattr(db_cells, "LOCATIONS_S", 0.05)
    with Wire(database_url) as wire:
        async with Cells(database_url, QUICK) as cells, cells.following():
            database = await cells.of(1)
            ((before,),) = await database.fetch(SESSION)
            await stores.cells.change(at(wire), write_nothing)

            async def is_on_another_connection() -> bool:
                ((now,),) = await database.fetch(SESSION)
                return bool(now != before)

            await until(is_on_another_connection)


async def test_following_goes_on_after_an_unexpected_error(
    stores: Stores, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_cells, "RETRY_S", 0)
    monkeypatch.setattr(db_cells, "LOCATIONS_S", 0.05)
    monkeypatch.setattr(db_cells, "READ_LOCATIONS", "SELECT 1 / 0")
    async with Cells(database_url, database_class=CountingDatabase) as cells:
        with capture_logs() as logged:
            before = CountingDatabase.reads
            async with cells.following():
                await until(lambda: read_again(before + 2))
    assert {line["event"] for line in logged} == {"cells.not_followed"}


async def read_again(wanted: int) -> bool:
    return CountingDatabase.reads >= wanted


async def test_the_first_cell_stays_on_the_servers_of_the_directory(stores: Stores) -> None:
    """It is opened before the directory has been read."""
    with pytest.raises(WrongServers, match="TAEL_DATABASE_URL"):
        await change_cell(stores.cells, CellLocation(0, "db.example:5432"), ORIGIN)


def at(wire: Wire) -> CellLocation:
    return CellLocation(1, urlsplit(wire.url).netloc.rpartition("@")[2])


async def write_nothing(_: object) -> None:
    pass


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    """Ask again after each failure, a limited number of times."""
    for _ in range(MAX_TRIES):
        with suppress(StoreUnavailable):
            if await holds():
                return
        await asyncio.sleep(0.05)
    raise AssertionError("the connections have not followed the cell")
