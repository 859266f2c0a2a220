"""A URL with several servers: the one that takes writes is found, and found again after a failover."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import pytest

from tael.db import servers
from tael.db.database import MIN_CONNECTIONS, Database, Limits, StoreUnavailable, without_lock_waits
from tael.db.grants import grant
from tael.db.migrate import migrate
from tael.db.pipeline import Statement
from tael.db.roles import owns_tables
from tael.db.servers import Servers, of_primary, servers_of
from tests.support.citus import needs_plain_postgres
from tests.support.ports import HOST, bound, reserved_ports
from tests.support.postgres import temporary_database
from tests.support.wire import Wire

pytestmark = needs_plain_postgres

#: ErrorResponse with severity, SQLSTATE and text, as a server sends it while it recovers.
STARTING: Final = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
#: Asks whether the server speaks TLS, which it answers with one byte.
SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
#: Each connection to the frozen server may take one.
MAX_TRIES: Final = 10
#: Long enough that several at once need as many connections.
BUSY: Final = "SELECT pg_sleep(0.1)"
ACTIVE: Final = """
SELECT FROM pg_stat_activity WHERE datname = current_database() AND query = $1 AND state = 'active'
"""

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def url_of(*urls: str) -> str:
    """One URL with the servers of all."""
    hosts = ",".join(urlsplit(url).netloc.rpartition("@")[2] for url in urls)
    parts = urlsplit(urls[0])
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{hosts}").geturl()


@pytest.fixture
def wires(database_url: str) -> Iterator[tuple[Wire, Wire]]:
    """Two ways to the server; they stand for two servers, one of which is always the other's standby."""
    with Wire(database_url) as first, Wire(database_url) as second:
        yield first, second


def login_of(url: str, servers_url: str) -> str:
    """The servers of one URL with user, password and database of another."""
    login, _, _ = urlsplit(url).netloc.rpartition("@")
    return (
        urlsplit(url)._replace(netloc=f"{login}@{urlsplit(servers_url).netloc.rpartition('@')[2]}").geturl()
    )


async def written(database: Database, sql: str = "SELECT 1") -> bool:
    """Whether a statement was committed through a pipeline."""
    with without_lock_waits():
        return await database.transact([Statement(sql)]) is not None


async def until_available(database: Database) -> None:
    for _ in range(MAX_TRIES):
        with suppress(StoreUnavailable):
            await database.fetch("SELECT 1")
            return
    raise AssertionError("the second server is not found")


@asynccontextmanager
async def other_server(kind: str, database_url: str) -> AsyncIterator[str]:
    if kind == "down":
        with reserved_ports(1) as (port,):
            yield f"postgresql://{HOST}:{port}"
    elif kind == "starting":
        async with answering(refuse_while_starting) as url:
            yield url
    elif kind == "frozen":
        async with answering(say_nothing) as url:
            yield url
    else:
        async with standby(database_url) as url:
            yield url


@asynccontextmanager
async def answering(answer: Answering) -> AsyncIterator[str]:
    tasks: list[asyncio.Task[None]] = []

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.create_task(run(reader, writer)))

    listener = bound()
    async with await asyncio.start_server(begin, sock=listener):
        yield f"postgresql://{HOST}:{listener.getsockname()[1]}"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def refuse_while_starting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1024)
    writer.write(b"E" + struct.pack("!i", len(STARTING) + 4) + STARTING)


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1024):
        pass


@asynccontextmanager
async def standby(database_url: str) -> AsyncIterator[str]:
    """A way to the server on which every session is read-only from its start."""
    async with answering(partial(relay_read_only, database_url)) as url:
        yield url


async def relay_read_only(
    database_url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    parts = urlsplit(database_url)
    server_reader, server_writer = await asyncio.open_connection(parts.hostname, parts.port)
    while message := await startup_message(reader):
        server_writer.write(message if message == SSL_REQUEST else read_only(message))
        if message != SSL_REQUEST:
            break
        writer.write(await server_reader.readexactly(1))
    try:
        await asyncio.gather(copy(reader, server_writer), copy(server_reader, writer))
    finally:
        server_writer.close()


async def startup_message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    return head + await reader.readexactly(int.from_bytes(head) - 4)


def read_only(startup: bytes) -> bytes:
    """The message with a setting more, before the zero byte at its end."""
    changed = startup[4:-1] + b"default_transaction_read_only\0on\0\0"
    return struct.pack("!i", len(changed) + 4) + changed


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while taken := await reader.read(1 << 16):
            writer.write(taken)
    writer.close()


def test_the_servers_of_a_url() -> None:
    url = "postgresql://tael:p%2Fw@[::1]:6000,db-1.example:5433,db-2.example/tael?sslmode=require"
    assert servers_of(url) == [("::1", 6000), ("db-1.example", 5433), ("db-2.example", 5432)]
    assert of_primary(url) == f"{url}&target_session_attrs=read-write"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://tael@db.example/tael",
        "postgresql:///tael",
        "postgresql://a.example,b.example/tael?target_session_attrs=primary",
    ],
)
def test_what_a_url_says_itself_stays(url: str) -> None:
    assert of_primary(url) == url


def test_parameters_of_a_url_stay_as_they_are() -> None:
    url = "postgresql://tael@a.example,b.example/tael?options=-c%20geqo%3Doff"
    assert of_primary(url) == f"{url}&target_session_attrs=read-write"


async def test_a_search_in_vain_leaves_the_open_connections() -> None:
    """A server with as many connections as it may have refuses one more, and serves the others."""
    forgotten: list[bool] = []

    async def forget() -> None:
        forgotten.append(True)

    async with answering(refuse_while_starting) as first, answering(refuse_while_starting) as second:
        among = Servers(login_of("postgresql://tael@x/tael", url_of(first, second)), forget)
        among.search()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
    assert not forgotten


@pytest.mark.parametrize("kind", ["down", "starting", "frozen", "standby"])
async def test_a_server_that_takes_no_writes_is_passed_over(
    kind: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "SERVER_S", 0.5)
    async with other_server(kind, database_url) as other:
        for url in (url_of(database_url, other), url_of(other, database_url)):
            async with Database(login_of(database_url, url)) as database:
                await database.execute("CREATE TABLE IF NOT EXISTS written ()")


async def test_if_no_server_takes_writes_the_last_one_says_why(database_url: str) -> None:
    with reserved_ports(1) as (port,):
        async with standby(database_url) as other:
            url = login_of(database_url, url_of(f"postgresql://{HOST}:{port}", other))
            async with Database(url) as database:
                with pytest.raises(StoreUnavailable, match="TargetServerAttributeNotMatched"):
                    await database.fetch("SELECT 1")


async def test_after_a_failover_no_connection_to_the_last_primary_is_used(
    wires: tuple[Wire, Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one is frozen: what is sent to it gets no response, and its connections stay open."""
    monkeypatch.setattr(servers, "SERVER_S", 0.2)
    first, second = wires
    async with Database(url_of(first.url, second.url), Limits(call_s=0.5)) as database:
        await asyncio.gather(*(database.fetch(BUSY) for _ in range(4)), written(database), written(database))
        first.hold()
        await until_available(database)
        for _ in range(4):
            assert await database.fetch("SELECT 1")
            assert await written(database)


async def test_a_connection_that_was_in_use_at_a_failover_is_not_used_again(
    wires: tuple[Wire, Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "SERVER_S", 0.2)
    first, second = wires
    async with Database(url_of(first.url, second.url), Limits(call_s=5)) as database:
        async with database.connection() as old:
            assert await old.fetch("SELECT 1")
            first.hold()
            assert await database.fetch("SELECT 1"), "of the second server"
            first.join()
            assert await old.fetch("SELECT 1")
        first.hold()
        for _ in range(4):
            assert await database.fetch("SELECT 1")


async def test_a_pipeline_that_was_in_use_at_a_failover_is_not_used_again(
    wires: tuple[Wire, Wire], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "SERVER_S", 0.2)
    first, second = wires
    async with Database(url_of(first.url, second.url), Limits(call_s=5)) as database:
        old = asyncio.create_task(written(database, BUSY))
        async with Database(database_url) as watching:
            while not await watching.fetch(ACTIVE, BUSY):
                pass
        first.hold()
        assert await database.fetch("SELECT 1"), "of the second server"
        first.join()
        assert await old
        first.hold()
        assert await written(database)


async def test_a_connection_that_takes_no_writes_any_more_is_replaced(database_url: str) -> None:
    async with Database(database_url, Limits(connections=MIN_CONNECTIONS)) as database:
        await database.execute("CREATE TABLE written ()")
        await database.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        with pytest.raises(StoreUnavailable, match="ReadOnlySQLTransactionError"):
            await database.execute("INSERT INTO written DEFAULT VALUES")
        await database.execute("INSERT INTO written DEFAULT VALUES")


def test_a_database_of_several_servers_is_migrated(postgres_server: str) -> None:
    with temporary_database(postgres_server, "template1") as empty, reserved_ports(1) as (port,):
        url = login_of(empty, url_of(f"postgresql://{HOST}:{port}", empty))
        assert migrate(url) > 0
        grant(url, "tael")
        assert not owns_tables(url)


async def test_after_a_move_no_connection_to_the_last_servers_is_used(wires: tuple[Wire, Wire]) -> None:
    first, second = wires
    async with Database(first.url, Limits(call_s=5)) as database:
        await asyncio.gather(*(database.fetch(BUSY) for _ in range(4)), written(database), written(database))
        await database.move_to(second.url)
        first.hold()
        for _ in range(4):
            assert await database.fetch("SELECT 1")
            assert await written(database)


async def test_a_connection_that_was_in_use_at_a_move_ends_its_statements_where_it_is(
    wires: tuple[Wire, Wire],
) -> None:
    first, second = wires
    async with Database(first.url, Limits(call_s=5)) as database:
        async with database.transaction() as old:
            await old.execute("CREATE TABLE written ()")
            await database.move_to(second.url)
        first.hold()
        assert await database.fetch("SELECT FROM written") == []


async def test_a_connection_that_is_being_made_at_a_move_is_not_used(database_url: str) -> None:
    """Its server may still take writes, although the cell is there no more."""
    is_connecting, may_connect = asyncio.Event(), asyncio.Event()

    async def connect_later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_connecting.set()
        await may_connect.wait()
        await relay_read_only(database_url, reader, writer)

    async with answering(connect_later) as url, Database(login_of(database_url, url)) as database:
        shown = asyncio.create_task(database.fetch("SHOW default_transaction_read_only"))
        await is_connecting.wait()
        await database.move_to(database_url)
        may_connect.set()
        ((is_read_only,),) = await shown
    assert is_read_only == "off"
