"""Connections: a small pool, transactions, and one word for "the database cannot be reached".

Few connections win (the hot statements are batches), and none is reset on release: nothing here sets session state.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Self

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]

#: More connections are slower: batches already carry many callers.
MOST_CONNECTIONS: Final = 8
CONNECT_TIMEOUT_S: Final = 5.0
STATEMENT_TIMEOUT_S: Final = 30.0

UNREACHABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class StoreUnavailable(Exception):
    """The database cannot be reached. What was being written may or may not be there; the rows will tell."""


class _Connection(asyncpg.Connection):
    """A connection that costs no round trip when it is given back."""

    def get_reset_query(self) -> str:
        return ""


class Database:
    """A pool that connects when it is first needed, so that a process may start before its database."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Pool | None = None

    async def __aenter__(self) -> Self:
        self._pool = asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=MOST_CONNECTIONS,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=STATEMENT_TIMEOUT_S,
            connection_class=_Connection,
            server_settings={"application_name": "tael", "timezone": "UTC"},
        )
        await self._pool
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection"]:
        """A connection outside a transaction. Raises StoreUnavailable."""
        if self._pool is None:
            raise RuntimeError("a Database is entered before it is used")
        try:
            async with self._pool.acquire() as connection:
                yield connection
        except UNREACHABLE as error:
            raise StoreUnavailable(type(error).__name__) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Connection"]:
        """A connection inside a transaction that commits at the end. Raises StoreUnavailable."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """The rows of one statement. Raises StoreUnavailable."""
        async with self.connection() as connection:
            return await connection.fetch(sql, *values)

    async def execute(self, sql: str, *values: Any) -> None:
        """One statement, for its effect. Raises StoreUnavailable."""
        async with self.connection() as connection:
            await connection.execute(sql, *values)
