"""Readiness means that this version's writes succeed; one probe writes for all concurrent requests."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
import pytest

from tael.base.transport import Transport
from tael.db import cells as db_cells
from tael.db import readiness as readiness_module
from tael.db.cells import FIRST, only, schema_of
from tael.db.database import Database, Limits, StoreUnavailable
from tael.db.migrate import migrate
from tael.db.readiness import Probed, Readiness
from tael.main import application
from tael.operations.store import Store
from tael_demo.embedded.server import EmbeddedPostgres
from tests.integration.db.test_database_down import got
from tests.integration.payments.test_recording import gateway_over
from tests.support.citus import needs_plain_postgres
from tests.support.postgres import temporary_database
from tests.support.services import services_of
from tests.support.store import CellsOfUrl
from tests.support.wire import Wire

QUICK = Limits(call_s=0.5, probe_s=0.3)
PATIENCE_S = 10.0
SMALL_DISK = "size=200m"


async def reason_of(url: str, limits: Limits = QUICK) -> str:
    async with CellsOfUrl(url, limits) as cells:
        return (await Readiness(cells.directory, cells.databases).probed()).reason


async def test_a_migrated_database_is_ready(store: Store) -> None:
    assert await got(application(services_of(gateway_over(store), Transport())), "/readyz") == (
        200,
        '{"status":"ready"}',
    )


@needs_plain_postgres
async def test_a_read_only_server_is_not_ready(database_url: str) -> None:
    execute(database_url, "ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert await reason_of(database_url) == "ReadOnlySQLTransactionError"


async def test_an_empty_database_is_not_ready(postgres_server: str) -> None:
    with temporary_database(postgres_server, "template1") as url:
        assert await reason_of(url) == "UndefinedTableError"


@needs_plain_postgres
async def test_an_older_schema_is_not_ready(store: Store) -> None:
    await store.database.execute(
        "DELETE FROM _yoyo_migration WHERE migration_id = (SELECT max(migration_id) FROM _yoyo_migration)"
    )
    status, text = await got(application(services_of(gateway_over(store), Transport())), "/readyz")
    assert status == 503
    assert "MigrationMissing" in text


def test_a_full_disk_is_not_ready(tmp_path: Path) -> None:
    with small_disk(tmp_path) as folder, EmbeddedPostgres(folder) as postgres:
        migrate(postgres.url)
        assert asyncio.run(reason_of(postgres.url, Limits())) == ""
        fill(folder / "filler")
        assert asyncio.run(reason_of(postgres.url, Limits())) == "DiskFullError"
        (folder / "filler").unlink()
        assert asyncio.run(reason_of(postgres.url, Limits())) == ""


@needs_plain_postgres
async def test_a_hanging_server_is_not_ready_until_it_answers(database_url: str) -> None:
    with Wire(database_url) as wire:
        async with CellsOfUrl(wire.url, QUICK) as cells:
            readiness = Readiness(cells.directory, cells.databases, interval_s=0.0)
            assert await readiness.probed() == Probed()
            wire.hold()
            for _ in range(2):  # its open connection, and a new one
                probed = await asyncio.wait_for(readiness.probed(), PATIENCE_S)
                assert probed == Probed("TimeoutError", {0: "TimeoutError"}, "TimeoutError")
            wire.join()
            assert await readiness.probed() == Probed()


@needs_plain_postgres
async def test_reading_where_cells_are_does_not_delay_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server hangs, and a call may wait for long."""
    monkeypatch.setattr(db_cells, "LOCATIONS_S", 0)
    with Wire(database_url) as wire:
        async with CellsOfUrl(wire.url, Limits(call_s=60, probe_s=0.3)) as cells:
            readiness = Readiness(cells.directory, cells.databases, interval_s=0.0)
            assert await readiness.probed() == Probed()
            wire.hold()
            probed = await asyncio.wait_for(readiness.probed(), PATIENCE_S)
            assert probed == Probed("TimeoutError", {0: "TimeoutError"}, "TimeoutError")


@asynccontextmanager
async def apart(directory_url: str, cell_url: str) -> AsyncIterator[Readiness]:
    """The directory and the cell on servers of their own."""
    directory = Database(directory_url, QUICK)
    async with directory, Database(cell_url, QUICK, schema_of(FIRST)) as cell:
        yield Readiness(directory, only(cell), interval_s=0.0)


async def test_it_is_ready_while_what_was_read_from_the_directory_may_be_used(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Wire(database_url) as wire:
        async with apart(wire.url, database_url) as readiness:
            assert await readiness.probed() == Probed()
            wire.cut()
            probed = await readiness.probed()
            assert (probed.reason, probed.directory != "") == ("", True)
            monkeypatch.setattr(readiness_module, "STALE_S", 0)
            probed = await readiness.probed()
            assert probed.reason == probed.directory != ""
            wire.join()
            assert await readiness.probed() == Probed()


async def test_a_process_that_has_never_read_the_directory_is_not_ready(database_url: str) -> None:
    with Wire(database_url) as wire:
        wire.cut()
        async with apart(wire.url, database_url) as readiness:
            probed = await readiness.probed()
            assert probed.reason == probed.directory != ""


@needs_plain_postgres
async def test_a_directory_of_an_older_version_makes_it_not_ready_at_once(database_url: str) -> None:
    async with apart(database_url, database_url) as readiness:
        assert await readiness.probed() == Probed()
        async with Database(database_url) as directory:
            await directory.execute("DELETE FROM _yoyo_migration")
        assert await readiness.probed() == Probed("MigrationMissing", directory="MigrationMissing")


async def test_it_is_ready_although_all_connections_are_in_use(database_url: str) -> None:
    async with CellsOfUrl(database_url, QUICK) as cells:
        database = cells.databases.first
        sleeping = [asyncio.create_task(database.execute("SELECT pg_sleep(1)")) for _ in range(50)]
        await asyncio.sleep(0)
        assert await Readiness(cells.directory, cells.databases).probed() == Probed()
        ended = await asyncio.gather(*sleeping, return_exceptions=True)
        assert {type(end) for end in ended} == {StoreUnavailable}


async def test_concurrent_requests_are_one_probe(store: Store) -> None:
    app = application(services_of(gateway_over(store), Transport()))
    answers = await asyncio.gather(*(got(app, "/readyz") for _ in range(50)))
    assert {status for status, _ in answers} == {200}
    rows = await store.database.fetch("SELECT probes FROM readiness")
    assert [row["probes"] for row in rows] == [1]


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.format(name=connection.info.dbname).encode())


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A folder on its own small disk, if the system allows the mount."""
    place = folder / "disk"
    place.mkdir()
    for each in (place, *folder.parents[:3], folder):
        if each.stat().st_uid == os.getuid():
            each.chmod(0o755)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL_DISK, "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                continue
        except OSError:
            return
