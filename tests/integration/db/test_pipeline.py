"""Statements that are sent at once: committed together or not at all, on few connections, which outlast any refusal."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final

import asyncpg
import pytest
import uvloop

from tael.db.database import PIPELINES, Database, Limits, RowLocked, StoreUnavailable, without_lock_waits
from tael.db.pipeline import Statement, counted
from tests.support.citus import needs_plain_postgres
from tests.support.wire import Wire

pytestmark = needs_plain_postgres

APPEND: Final = counted(
    "INSERT INTO item (number, note) SELECT * FROM unnest($1::bigint[], $2::text[]) RETURNING 1", 2
)
RENAME: Final = counted(
    """
    UPDATE item AS i SET note = w.note FROM unnest($1::bigint[], $2::text[]) AS w (number, note)
    WHERE i.number = w.number RETURNING 1
    """,
    2,
)
SLEEP: Final = Statement("SELECT pg_sleep(30)")
QUICK: Final = Limits(batch_lock_s=0.05, call_s=2.0)
#: Bytes that fill the buffers between the processes several times.
LARGE: Final = "x" * 20_000


@pytest.fixture(autouse=True)
async def table(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE item (number bigint PRIMARY KEY CHECK (number > 0), note text)")
    await connection.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, QUICK) as entered:
        yield entered


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, QUICK) as entered:
        yield entered


@pytest.fixture
def wire(database_url: str) -> Iterator[Wire]:
    with Wire(database_url) as joined:
        yield joined


def append(*numbers: int, note: str = "new", rows: int | None = None) -> Statement:
    wanted = len(numbers) if rows is None else rows
    return Statement(APPEND, (list(numbers), [note] * len(numbers)), wanted)


def rename(*numbers: int, note: str = "renamed") -> Statement:
    return Statement(RENAME, (list(numbers), [note] * len(numbers)), len(numbers))


async def transact(database: Database, *statements: Statement) -> bool:
    """Whether they were committed."""
    with without_lock_waits():
        return await database.transact(statements) is not None


async def items(database: Database) -> dict[int, str]:
    rows = await database.fetch("SELECT number, note FROM item ORDER BY number")
    return {row["number"]: row["note"] for row in rows}


async def backends(database: Database) -> list[int]:
    """The server's processes that serve pipelines: other connections end a transaction with a semicolon."""
    ended = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query IN ('COMMIT', 'ROLLBACK')"
    return [row["pid"] for row in await database.fetch(f"{ended} ORDER BY pid")]


async def test_statements_that_meet_their_rows_are_committed_together(database: Database) -> None:
    assert await transact(database, append(1, 2), rename(2), append(3))
    assert await transact(database, rename(1, 3, note="again"))
    assert await items(database) == {1: "again", 2: "renamed", 3: "again"}


@pytest.mark.parametrize(
    "statements",
    [
        [append(2), rename(1, 9)],
        [append(2, rows=2)],
        [append(2), append(1)],
        [append(2), append(-1)],
        [append(2, note="a NUL: \0")],
        [append(2, note="half a character: \ud800")],
    ],
    ids=["missing row", "too few rows", "duplicate", "check", "NUL", "surrogate"],
)
async def test_otherwise_nothing_is_written_and_the_next_one_is(
    database: Database, statements: list[Statement]
) -> None:
    assert await transact(database, append(1))
    serving = await backends(database)
    assert not await transact(database, *statements)
    assert await items(database) == {1: "new"}
    assert await transact(database, append(2))
    assert await backends(database) == serving


async def test_a_statement_after_one_that_failed_is_prepared_later(database: Database) -> None:
    assert not await transact(database, append(-1), rename(1))
    assert await transact(database, append(1), rename(1))
    assert await items(database) == {1: "renamed"}


async def test_a_locked_row_is_not_waited_for_and_the_connection_serves_on(
    database: Database, other: Database
) -> None:
    assert await transact(database, append(1))
    serving = await backends(database)
    async with other.transaction() as connection:
        await connection.execute("SELECT FROM item WHERE number = 1 FOR UPDATE")
        with pytest.raises(RowLocked):
            await transact(database, append(2), rename(1))
    assert await transact(database, rename(1))
    assert await items(database) == {1: "renamed"}
    assert await backends(database) == serving


async def test_a_caller_that_waits_for_locks_sends_its_statements_itself(database: Database) -> None:
    assert await database.transact([append(1)]) is None
    assert await items(database) == {}


async def test_many_at_once_share_few_connections(database: Database) -> None:
    done = await asyncio.gather(*(transact(database, append(number)) for number in range(1, 41)))
    assert done == [True] * 40
    assert len(await items(database)) == 40
    assert len(await backends(database)) <= PIPELINES


async def test_parameters_may_be_larger_than_any_buffer(database: Database) -> None:
    numbers = range(1, 257)
    assert await transact(database, append(*numbers, note=LARGE), rename(*numbers, note=LARGE))
    assert set((await items(database)).values()) == {LARGE}


async def test_a_connection_that_the_server_ended_is_replaced(database: Database, other: Database) -> None:
    assert await transact(database, append(1))
    (serving,) = await backends(database)
    await other.execute("SELECT pg_terminate_backend($1, 5000)", serving)
    assert await transact(database, append(2))
    assert await backends(database) != [serving]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_connection_that_was_lost_while_idle_costs_no_transaction(
    database_url: str, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    """uvloop, unlike asyncio, raises at a write to a closed connection."""

    async def lose_connections() -> None:
        async with Database(database_url, QUICK) as database, Database(database_url, QUICK) as other:
            for number in range(1, 4):
                assert await transact(database, append(number))
                (serving,) = await backends(database)
                await other.execute("SELECT pg_terminate_backend($1, 5000)", serving)
            assert list(await items(other)) == [1, 2, 3]

    run(lose_connections())


async def test_a_server_that_goes_away_meanwhile_is_unavailable(database: Database, other: Database) -> None:
    waiting = asyncio.create_task(transact(database, append(1), SLEEP))
    ended: list[asyncpg.Record] = []
    while not ended:
        ended = await other.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query = $1", SLEEP.sql
        )
    with pytest.raises(StoreUnavailable, match="AdminShutdownError"):
        await waiting
    assert await items(database) == {}
    assert await transact(database, append(1))


async def test_a_caller_that_is_cancelled_or_out_of_time_leaves_nothing_behind(
    database_url: str, other: Database
) -> None:
    async with Database(database_url, Limits(call_s=0.2, batch_lock_s=0.2)) as database:
        with pytest.raises(StoreUnavailable, match="TimeoutError"):
            await transact(database, append(1), SLEEP)
        waiting = asyncio.create_task(transact(database, append(1), SLEEP))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await transact(database, append(2))
    assert await items(other) == {2: "new"}


async def test_a_cut_wire_is_unavailable_and_afterwards_all_work(wire: Wire, other: Database) -> None:
    async with Database(wire.url, QUICK) as database:
        assert await transact(database, append(1))
        wire.cut()
        with pytest.raises(StoreUnavailable):
            await transact(database, append(2))
        wire.join()
        assert await transact(database, append(3))
    assert await items(other) == {1: "new", 3: "new"}
