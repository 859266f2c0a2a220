"""The wire in front of PostgreSQL: each kind of cut does what its name states."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.support.citus import needs_plain_postgres
from tests.support.wire import CHUNK_BYTES, Wire

pytestmark = needs_plain_postgres

BROKEN = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)
INSERT = "INSERT INTO sent (value) VALUES ($1)"
#: Round trips enough for bytes to arrive many times over if the wire let them through.
MANY = 200

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
def wire(database_url: str) -> Iterator[Wire]:
    with Wire(database_url) as joined:
        yield joined


@pytest.fixture
async def direct(database_url: str) -> AsyncIterator[Connection]:
    """A connection that bypasses the wire, and a table."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE sent (value text)")
    yield connection
    await connection.close()


@pytest.fixture
async def wired(wire: Wire, direct: Connection) -> AsyncIterator[Connection]:
    """A connection through the wire."""
    connection = await asyncpg.connect(wire.url)
    yield connection
    connection.terminate()


async def values(direct: Connection) -> list[str]:
    return [row["value"] for row in await direct.fetch("SELECT value FROM sent ORDER BY value")]


async def insert_with_new_connection(wire: Wire, value: str) -> None:
    connection = await asyncpg.connect(wire.url, timeout=10)
    await connection.execute(INSERT, value)
    await connection.close()


async def test_a_cut_wire_breaks_every_connection_and_refuses_new_ones(
    wire: Wire, wired: Connection, direct: Connection
) -> None:
    other = await asyncpg.connect(wire.url)

    wire.cut()

    for connection in (wired, other):
        with pytest.raises(BROKEN):
            await connection.execute(INSERT, "broken")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(urlsplit(wire.url).hostname, urlsplit(wire.url).port)
    assert await values(direct) == []


async def test_a_cut_ends_a_waiting_statement(wire: Wire, wired: Connection) -> None:
    waiting = asyncio.create_task(wired.execute("SELECT pg_sleep(60)"))
    await asyncio.sleep(0)  # it is in flight

    wire.cut()

    with pytest.raises(BROKEN):
        await waiting


async def test_a_joined_wire_is_at_the_same_port(wire: Wire, direct: Connection) -> None:
    url = wire.url
    for number in range(3):
        wire.cut()
        wire.join()
        await insert_with_new_connection(wire, str(number))

    assert wire.url == url
    assert await values(direct) == ["0", "1", "2"]


async def test_the_port_of_a_cut_wire_stays_reserved(wire: Wire) -> None:
    port = urlsplit(wire.url).port

    wire.cut()

    with pytest.raises(OSError, match="in use"):
        await asyncio.start_server(lambda *_: None, "127.0.0.1", port, reuse_address=False)


def test_no_connection_outlives_the_wire_however_new_it_is(database_url: str) -> None:
    for _ in range(20):
        with ExitStack() as clients:
            with Wire(database_url) as wire:
                place = urlsplit(wire.url).hostname, urlsplit(wire.url).port
                made = [clients.enter_context(socket.create_connection(place, timeout=1)) for _ in range(5)]
            for client in made:
                with suppress(ConnectionResetError):
                    assert client.recv(1) == b""


async def test_a_held_wire_carries_nothing_and_loses_nothing(
    wire: Wire, wired: Connection, direct: Connection
) -> None:
    wire.hold()
    insert = asyncio.create_task(wired.execute(INSERT, "held"))
    newcomer = asyncio.create_task(insert_with_new_connection(wire, "late"))
    for _ in range(MANY):
        assert await values(direct) == []
    assert not insert.done()
    assert not newcomer.done()

    wire.join()

    assert await insert == "INSERT 0 1"
    await newcomer
    assert await values(direct) == ["held", "late"]


async def test_a_held_wire_that_is_cut_loses_what_was_sent(
    wire: Wire, wired: Connection, direct: Connection
) -> None:
    wire.hold()
    insert = asyncio.create_task(wired.execute(INSERT, "held"))
    await asyncio.sleep(0)  # it is in flight

    wire.cut()

    with pytest.raises(BROKEN):
        await insert
    wire.join()
    await insert_with_new_connection(wire, "after")
    assert await values(direct) == ["after"]


async def test_a_swallowed_statement_is_committed_and_the_client_sees_a_broken_connection(
    wire: Wire, wired: Connection, direct: Connection
) -> None:
    wire.swallow(b"swallowed")
    await wired.execute(INSERT, "passed on")

    with pytest.raises(BROKEN):
        await wired.execute(INSERT, "swallowed")

    assert await asyncio.to_thread(wire.wait_until_swallowed)
    assert await values(direct) == ["passed on", "swallowed"]
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(wire.url)
    wire.join()
    await insert_with_new_connection(wire, "swallowed")  # once only
    assert await values(direct) == ["passed on", "swallowed", "swallowed"]


async def test_in_a_transaction_the_response_to_the_commit_is_swallowed(
    wire: Wire, wired: Connection, direct: Connection
) -> None:
    wire.swallow(b"first")
    results: list[str] = []

    async def insert_two() -> None:
        async with wired.transaction():
            results.append(await wired.execute(INSERT, "first"))
            # A new statement: the response to its Parse ends without ReadyForQuery.
            results.append(await wired.execute(f"{INSERT} RETURNING 1", "second"))

    with pytest.raises(BROKEN):
        await insert_two()

    assert results == ["INSERT 0 1", "INSERT 0 1"]
    assert await asyncio.to_thread(wire.wait_until_swallowed)
    assert await values(direct) == ["first", "second"]


async def test_a_marker_that_comes_in_pieces_is_found(wire: Wire, wired: Connection) -> None:
    longer_than_a_piece = "x" * (CHUNK_BYTES + 1)
    wire.swallow(longer_than_a_piece.encode())

    with pytest.raises(BROKEN):
        await wired.fetch("SELECT length($1::text)", longer_than_a_piece)

    assert await asyncio.to_thread(wire.wait_until_swallowed)
