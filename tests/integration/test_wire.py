"""The wire that tests put in front of PostgreSQL: each of its cuts is the one it says it is."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.support.wire import CHUNK_BYTES, Wire

BROKEN = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)
SAY = "INSERT INTO said (word) VALUES ($1)"
#: Round trips in which what a wire let through would have arrived many times over.
MANY = 200

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
def wire(database_url: str) -> Iterator[Wire]:
    with Wire(database_url) as joined:
        yield joined


@pytest.fixture
async def direct(database_url: str) -> AsyncIterator[Connection]:
    """Past the wire, with a table for words."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE said (word text)")
    yield connection
    await connection.close()


@pytest.fixture
async def far(wire: Wire, direct: Connection) -> AsyncIterator[Connection]:
    """By the wire."""
    connection = await asyncpg.connect(wire.url)
    yield connection
    connection.terminate()


async def words(direct: Connection) -> list[str]:
    return [row["word"] for row in await direct.fetch("SELECT word FROM said ORDER BY word")]


async def say_by_new_connection(wire: Wire, word: str) -> None:
    connection = await asyncpg.connect(wire.url, timeout=10)
    await connection.execute(SAY, word)
    await connection.close()


async def test_a_cut_wire_breaks_every_connection_and_refuses_new_ones(
    wire: Wire, far: Connection, direct: Connection
) -> None:
    other = await asyncpg.connect(wire.url)

    wire.cut()

    for connection in (far, other):
        with pytest.raises(BROKEN):
            await connection.execute(SAY, "broken")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(urlsplit(wire.url).hostname, urlsplit(wire.url).port)
    assert await words(direct) == []


async def test_a_cut_ends_a_statement_that_waits_for_its_answer(wire: Wire, far: Connection) -> None:
    waiting = asyncio.create_task(far.execute("SELECT pg_sleep(60)"))
    await asyncio.sleep(0)  # it is on its way

    wire.cut()

    with pytest.raises(BROKEN):
        await waiting


async def test_a_joined_wire_is_at_the_same_port(wire: Wire, direct: Connection) -> None:
    url = wire.url
    for number in range(3):
        wire.cut()
        wire.join()
        await say_by_new_connection(wire, str(number))

    assert wire.url == url
    assert await words(direct) == ["0", "1", "2"]


async def test_nobody_is_given_the_port_of_a_cut_wire(wire: Wire) -> None:
    port = urlsplit(wire.url).port

    wire.cut()

    with pytest.raises(OSError, match="in use"):
        await asyncio.start_server(lambda *_: None, "127.0.0.1", port, reuse_address=False)


async def test_a_held_wire_carries_nothing_and_loses_nothing(
    wire: Wire, far: Connection, direct: Connection
) -> None:
    wire.hold()
    saying = asyncio.create_task(far.execute(SAY, "held"))
    newcomer = asyncio.create_task(say_by_new_connection(wire, "late"))
    for _ in range(MANY):
        assert await words(direct) == []
    assert not saying.done()
    assert not newcomer.done()

    wire.join()

    assert await saying == "INSERT 0 1"
    await newcomer
    assert await words(direct) == ["held", "late"]


async def test_a_held_wire_that_is_cut_loses_what_was_said(
    wire: Wire, far: Connection, direct: Connection
) -> None:
    wire.hold()
    saying = asyncio.create_task(far.execute(SAY, "held"))
    await asyncio.sleep(0)  # it is on its way

    wire.cut()

    with pytest.raises(BROKEN):
        await saying
    wire.join()
    await say_by_new_connection(wire, "after")
    assert await words(direct) == ["after"]


async def test_what_is_swallowed_is_committed_and_the_client_sees_a_broken_connection(
    wire: Wire, far: Connection, direct: Connection
) -> None:
    wire.swallow(b"swallowed")
    await far.execute(SAY, "passed on")

    with pytest.raises(BROKEN):
        await far.execute(SAY, "swallowed")

    assert await asyncio.to_thread(wire.wait_until_swallowed)
    assert await words(direct) == ["passed on", "swallowed"]
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(wire.url)
    wire.join()
    await say_by_new_connection(wire, "swallowed")  # once only
    assert await words(direct) == ["passed on", "swallowed", "swallowed"]


async def test_in_a_transaction_it_is_the_answer_to_the_commit_that_is_swallowed(
    wire: Wire, far: Connection, direct: Connection
) -> None:
    wire.swallow(b"first")
    heard: list[str] = []

    async def say_two() -> None:
        async with far.transaction():
            heard.append(await far.execute(SAY, "first"))
            heard.append(await far.execute(SAY, "second"))

    with pytest.raises(BROKEN):
        await say_two()

    assert heard == ["INSERT 0 1", "INSERT 0 1"]
    assert await asyncio.to_thread(wire.wait_until_swallowed)
    assert await words(direct) == ["first", "second"]


async def test_words_that_come_in_pieces_are_swallowed_too(wire: Wire, far: Connection) -> None:
    longer_than_a_piece = "x" * (CHUNK_BYTES + 1)
    wire.swallow(longer_than_a_piece.encode())

    with pytest.raises(BROKEN):
        await far.fetch("SELECT length($1::text)", longer_than_a_piece)

    assert await asyncio.to_thread(wire.wait_until_swallowed)
