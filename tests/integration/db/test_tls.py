"""TLS to the database: every connection verifies the server, and a server that is not the right one is refused."""

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import psycopg
import pytest
import uvloop
from psycopg import sql
from typer.testing import CliRunner

from tael.cli.app import app
from tael.db.cells import FIRST, schema_of
from tael.db.database import Database, StoreUnavailable, as_probe, without_lock_waits
from tael.db.pipeline import Statement
from tests.end_to_end.rig import eventually
from tests.support.commands import clean_environment
from tests.support.operator import operator_of
from tests.support.ports import reserved_ports
from tests.support.tls_postgres import OTHER_NAME, TlsServer

DATABASE: Final = "over_tls"
CONNECTIONS: Final = """
SELECT s.ssl FROM pg_stat_activity JOIN pg_stat_ssl AS s USING (pid)
WHERE application_name = 'tael' AND datname = current_database()
"""
ADD: Final = Statement("INSERT INTO serial (node, next_sequence) SELECT unnest($1::integer[]), 0", ([7],))
START_LIMIT_S: Final = 30.0
#: Event loops of the commands, and of `serve` and `work`.
LOOPS: Final = (asyncio.run, uvloop.run)
Run = Callable[[Coroutine[Any, Any, Any]], Any]


#: asyncio may leave the transport of a refused handshake to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """So that no later test meets the warning."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def server(tls_postgres: TlsServer) -> Iterator[TlsServer]:
    """With a database that `tael migrate` has prepared over TLS."""
    tls_postgres.execute(sql.SQL(f"CREATE DATABASE {DATABASE} OWNER tael"))
    migrated = CliRunner().invoke(app, ["migrate"], env={"TAEL_DATABASE_URL": tls_postgres.url(DATABASE)})
    assert migrated.exit_code == 0, migrated.output
    yield tls_postgres
    tls_postgres.execute(sql.SQL(f"DROP DATABASE {DATABASE} WITH (FORCE)"))


@pytest.mark.parametrize("run", LOOPS, ids=["asyncio", "uvloop"])
def test_statements_probes_batches_and_pipelines_have_tls(server: TlsServer, run: Run) -> None:
    async def use_all() -> list[bool]:
        async with Database(server.url(DATABASE), schema=schema_of(FIRST)) as database:
            await database.execute("DELETE FROM serial")
            with without_lock_waits():
                assert await database.transact([ADD]) is not None
                assert await database.fetch("SELECT FROM serial WHERE node = 7")
            with as_probe():
                await database.execute("SELECT 1")
            return [row["ssl"] for row in await database.fetch(CONNECTIONS)]

    assert run(use_all()) == [True] * 4  # the rest, a pipeline, a batch, the probe


@pytest.mark.parametrize("run", LOOPS, ids=["asyncio", "uvloop"])
def test_a_pipeline_sends_and_receives_more_than_one_tls_record(server: TlsServer, run: Run) -> None:
    """A record has at most 16 KiB."""
    many = [*range(8, 100)] * 100
    statement = Statement("SELECT repeat('x', $1[1]) FROM unnest($1::integer[])", (many,))
    large = Statement("SELECT repeat('x', n) FROM unnest($1::integer[]) AS s (n)", ([100_000] * 3,))

    async def transact() -> bool:
        async with Database(server.url(DATABASE), schema=schema_of(FIRST)) as database:
            with without_lock_waits():
                results = await database.transact([statement, large])
        assert results is not None
        return [result.texts for result in results] == [["x" * 8] * len(many), ["x" * 100_000] * 3]

    assert run(transact())


@pytest.mark.parametrize("run", LOOPS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ("authority", "SSLCertVerificationError: self-signed certificate in certificate chain"),
        (
            "name",
            f"SSLCertVerificationError: Hostname mismatch, certificate is not valid for '{OTHER_NAME}'.",
        ),
        ("plain", "InvalidAuthorizationSpecificationError"),
    ],
)
def test_a_process_refuses_a_server_that_it_cannot_verify(
    server: TlsServer, run: Run, changed: str, reason: str
) -> None:
    async def transact(url: str) -> bool:
        async with Database(url, schema=schema_of(FIRST)) as database:
            with without_lock_waits():
                if await database.transact([ADD]) is None:
                    await database.execute("SELECT 1")  # what the caller does: one by one
        return True

    with pytest.raises(StoreUnavailable) as refused:
        run(transact(changed_url(server, changed)))
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("changed", "by_migrate", "by_list"),
    [
        ("authority", "certificate verify failed", "self-signed certificate"),
        ("name", f'does not match host name "{OTHER_NAME}"', "Hostname mismatch"),
        ("plain", "no encryption", "no encryption"),
    ],
)
def test_commands_name_the_reason_in_one_line(
    server: TlsServer, tmp_path: Path, changed: str, by_migrate: str, by_list: str
) -> None:
    operator = operator_of(changed_url(server, changed), tmp_path)
    assert by_migrate in operator.is_refused("migrate", code=2)
    assert by_list in operator.is_refused("app", "list", code=2)


def changed_url(server: TlsServer, changed: str) -> str:
    match changed:
        case "authority":
            return server.url(DATABASE, sslrootcert=server.other_ca)
        case "name":
            return server.url(DATABASE, host=OTHER_NAME)
        case _:
            return server.url(DATABASE, sslmode="disable")


def test_a_client_certificate_logs_in_without_a_password(server: TlsServer, tmp_path: Path) -> None:
    server.execute(sql.SQL("GRANT USAGE ON SCHEMA cell_00 TO certified"), DATABASE)
    server.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public, cell_00 TO certified"), DATABASE)
    url = server.url(DATABASE, "certified", sslcert=server.client_certificate, sslkey=server.client_key)
    operator = operator_of(url.replace("p%2Fw", ""), tmp_path)
    assert operator.run("migrate") == "the schema is up to date\n"
    assert operator.run_json("app", "list") == []
    assert "certificate" in operator_of(server.url(DATABASE, "certified"), tmp_path).is_refused(
        "app", "list", code=2
    )


@pytest.mark.parametrize("arguments", [("work",), ("serve", "--port")])
def test_a_process_connects_with_tls(server: TlsServer, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A worker looks for due rows, and an API process is asked whether it is ready."""
    environment = clean_environment() | operator_of(server.url(DATABASE), tmp_path).environment
    with reserved_ports(1) as (port,):
        command = [
            sys.executable,
            "-m",
            "tael.cli",
            *arguments,
            *([str(port)] if "--port" in arguments else []),
        ]
        process = subprocess.Popen([*command, "--demo"], env=environment, stdout=subprocess.DEVNULL)
        try:
            connections = eventually(lambda: connections_after_request(server, port), any, START_LIMIT_S)
            assert connections
            assert all(connections)
        finally:
            process.terminate()
            process.wait(START_LIMIT_S)


def connections_after_request(server: TlsServer, port: int) -> list[bool]:
    """Of each of the gateway's connections, whether it has TLS; after a request for `/readyz`, if a process listens."""
    with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/readyz", timeout=START_LIMIT_S):
        pass
    with psycopg.connect(server.url(DATABASE)) as connection:
        return [is_encrypted for (is_encrypted,) in connection.execute(CONNECTIONS).fetchall()]
