"""Connections: small pools, transactions, a limit for every wait, and one error for "cannot serve now".

Few connections are faster (the hot statements are batches), and none is reset on release, since nothing sets session
state. There are four pools: for batches, whose first attempt does not wait for locks; for those whose statements are
sent at once; for the probe (one connection); and for the rest. Every wait is limited: for a connection, a statement, a
lock, and for all of them within one call.
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import asyncpg

from tael.base.metrics import DATABASE_CONNECTIONS, DATABASE_IN_USE, DATABASE_MAX, DATABASE_WAITING
from tael.db.pipeline import Pipelines, Statement, StatementResult
from tael.db.servers import Servers

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
    Initialize = Callable[[Connection], Coroutine[Any, Any, None]]

Result = TypeVar("Result")

#: SQL files that `migrate` applies in order: a folder for the directory, and one for each cell.
MIGRATIONS: Final = Path(__file__).with_name("migrations")

#: The schema of the directory's tables. `cells.py` has those of cells.
DIRECTORY_SCHEMA: Final = "public"

#: Per process and cell: batches, pipelines, probe and the rest. More would be slower: each batch serves many callers.
MAX_CONNECTIONS: Final = 12
BATCH_CONNECTIONS: Final = 3
PIPELINES: Final = 2
PROBE_CONNECTIONS: Final = 1
#: All but those for the rest.
FIXED_CONNECTIONS: Final = BATCH_CONNECTIONS + PIPELINES + PROBE_CONNECTIONS
MIN_CONNECTIONS: Final = FIXED_CONNECTIONS + 1

#: How both sides detect that the other host is gone: after 10 s of silence, 3 keepalive probes in 15 s.
KEEPALIVE_IDLE_S: Final = 10
KEEPALIVE_INTERVAL_S: Final = 5
KEEPALIVE_COUNT: Final = 3
#: For a server's response to the end of a connection.
CLOSE_S: Final = 1.0
TCP_USER_TIMEOUT_MS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The connections of one process, and how long it waits, in seconds."""

    connections: int = MAX_CONNECTIONS
    call_s: float = 4.0  #: for all statements of one call, and for each block on a connection
    statement_s: float = 30.0  #: for one statement in a long block
    lock_s: float = 3.0  #: for a row that another transaction has locked
    batch_lock_s: float = 0.03  #: the same for a batch, where many rows would wait
    idle_transaction_s: float = 10.0  #: between two statements of a transaction; then the server ends it
    probe_s: float = 0.7  #: with one probe a second, a silent server is detected in less than 2 s
    reads_whole_tables: bool = False  #: without INDEX_PLANS


#: For operators' commands, for which no merchant waits: an audit reads everything.
PATIENT: Final = Limits(
    call_s=60.0, statement_s=600.0, lock_s=30.0, idle_transaction_s=600.0, reads_whole_tables=True
)


#: Settings of connections for requests and jobs. A connection keeps the plan of a statement. One that was made while a
#: table was small may read all of it, and still does so when the table has grown. For a large batch, PostgreSQL would
#: join with all rows of a table that has no statistics yet. Everything they read has an index, so without sequential
#: scans and such joins a plan is right for any size. Compiling a plan takes longer than each of their statements.
INDEX_PLANS: Final = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


#: Executed once by each connection for batches. A plan for any parameters expects ten rows, so PostgreSQL would plan
#: every smaller batch anew, which takes longer than to write it. Citus needs the parameters.
KEEP_PLANS: Final = """
SELECT set_config('plan_cache_mode', 'force_generic_plan', false)
WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')
"""


#: Otherwise Citus hides shards in each query of the catalog, and the ones that asyncpg sends for the first array of a
#: connection take seconds. A server without Citus accepts the setting, and ignores it.
CITUS: Final = {"citus.override_table_visibility": "off"}


class StoreUnavailable(Exception):
    """The database cannot serve now. The text is a short reason without any values of rows.

    A write in progress may or may not have been committed.
    """


class RowLocked(StoreUnavailable):
    """Another transaction has held a row for longer than `lock_s`. Nothing was written."""


class SchemaOutdated(StoreUnavailable):
    """Tables or columns are missing: `tael migrate` must be run."""


OUTDATED: Final = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InvalidSchemaNameError)
UNREACHABLE: Final = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
#: Statements that were sent at once and met one of these are sent one by one.
NOT_AT_ONCE: Final = (
    ValueError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.InvalidTextRepresentationError,
)
#: SQLSTATEs, or their first two characters, of errors that any other call would meet as well.
CANNOT_SERVE: Final = (
    "08",  # connection
    "25006",  # read only
    "25P03",  # idle-in-transaction timeout
    "25P04",  # transaction timeout
    "28",  # login
    "3D",  # no such database
    "42501",  # no privilege
    "53",  # disk, memory or connections are full
    "57",  # cancelled by a timeout, shutting down, starting up
    "58",  # I/O error
)


def unavailable(error: BaseException) -> StoreUnavailable | None:
    """`error` as a StoreUnavailable if it means that the database cannot serve now; None for any other error."""
    reason = _reason(error)
    if isinstance(error, asyncpg.LockNotAvailableError):
        return RowLocked(reason)
    if isinstance(error, OUTDATED):
        return SchemaOutdated(reason)
    sqlstate = str(getattr(error, "sqlstate", None) or "")
    if isinstance(error, UNREACHABLE) or sqlstate.startswith(CANNOT_SERVE):
        return StoreUnavailable(reason)
    return None


def _reason(error: BaseException) -> str:
    """The error's name; of a server's certificate that is not accepted, also why."""
    name = type(error).__name__
    return f"{name}: {error.verify_message}" if isinstance(error, ssl.SSLCertVerificationError) else name


class _Use(StrEnum):
    """The purpose of a connection; each has its own pool."""

    BATCH = "batch"
    PROBE = "probe"
    REST = "rest"


_use: ContextVar[_Use] = ContextVar("use", default=_Use.REST)


@contextmanager
def without_lock_waits() -> Iterator[None]:
    """Statements in this block give up on a locked row after `batch_lock_s`, with RowLocked."""
    token = _use.set(_Use.BATCH)
    try:
        yield
    finally:
        _use.reset(token)


@contextmanager
def as_probe() -> Iterator[None]:
    """Statements in this block do not queue behind others for a connection."""
    token = _use.set(_Use.PROBE)
    try:
        yield
    finally:
        _use.reset(token)


class _Budget:
    """The remaining time that one call may spend on the database, not counting calls to wallets."""

    __slots__ = ("_token", "is_running", "remaining_s")

    def __init__(self, remaining_s: float) -> None:
        self.remaining_s = remaining_s
        self.is_running = False

    def __enter__(self) -> None:
        self._token: Token[_Budget | None] = _budget.set(self)

    def __exit__(self, *_: object) -> None:
        _budget.reset(self._token)


_budget: ContextVar[_Budget | None] = ContextVar("budget", default=None)


def budget(seconds: float) -> AbstractContextManager[None]:
    """All waits for the database in this block take at most `seconds` together; then StoreUnavailable."""
    return _Budget(seconds)


async def result_within(future: "asyncio.Future[Result]", seconds: float) -> Result:
    """The result of `future`, within the same limits as in `within`, and for less. Raises StoreUnavailable."""
    shared = _budget.get()
    mine = None if shared is None or shared.is_running else shared
    loop = future.get_loop()
    began = loop.time()
    timer = loop.call_later(seconds if mine is None else min(seconds, mine.remaining_s), _time_out, future)
    if mine is not None:
        mine.is_running = True
    try:
        return await future
    finally:
        timer.cancel()
        if mine is not None:
            mine.remaining_s -= loop.time() - began
            mine.is_running = False


def _time_out(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_exception(StoreUnavailable("TimeoutError"))


@asynccontextmanager
async def within(seconds: float | None) -> AsyncIterator[None]:
    """Limit a wait for the database to `seconds` and to the call's budget. Raises StoreUnavailable."""
    shared = _budget.get()
    if shared is None or shared.is_running:
        limit_s, mine = seconds, None
    else:
        limit_s, mine = shared.remaining_s if seconds is None else min(seconds, shared.remaining_s), shared
        mine.is_running = True
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(limit_s) as timer:
            yield
    except Exception as error:
        # If the connection is dropped meanwhile, its own error arrives instead of the timeout's.
        if timer.expired() or isinstance(error, TimeoutError):
            raise StoreUnavailable("TimeoutError") from error
        raise
    finally:
        if mine is not None:
            mine.remaining_s -= loop.time() - began
            mine.is_running = False


class RawConnection(asyncpg.Connection):
    """A connection that needs no round trip on release, and is dropped when a statement is cancelled."""

    def __init__(self, protocol: Any, transport: asyncio.Transport, *others: Any) -> None:
        super().__init__(protocol, transport, *others)
        self.transport = transport
        _keep_alive(transport)

    def get_reset_query(self) -> str:
        return ""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's parameter
        """Close the connection; a server that does not respond is not waited for."""
        await super().close(timeout=CLOSE_S if timeout is None else timeout)

    def _cancel_current_command(self, waiter: Any, cancel_waiter: Any = None) -> None:
        # asyncpg would send a cancel request over a second connection and wait for both, 30 s if the server is frozen.
        # The server ends the statement with its own `statement_timeout`.
        asyncio.get_running_loop().call_soon(self.terminate)


async def _keep_plans(connection: "Connection") -> None:
    await connection.execute(KEEP_PLANS)


def _keep_alive(transport: asyncio.Transport) -> None:
    """Set the client's keepalives as `_server_settings` sets the server's, as far as this system supports it."""
    endpoint = transport.get_extra_info("socket")
    if endpoint is None or endpoint.family not in (socket.AF_INET, socket.AF_INET6):
        return
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
        ("TCP_USER_TIMEOUT", TCP_USER_TIMEOUT_MS),
    ):
        if hasattr(socket, name):
            endpoint.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Database:
    """Connection pools that connect lazily, so that a process may start before its database.

    Statements see the tables of one schema: those of the directory, or of a cell. `on_failure` is called when the
    database cannot serve one.
    """

    def __init__(
        self,
        url: str,
        limits: Limits = Limits(),
        schema: str = DIRECTORY_SCHEMA,
        on_failure: Callable[[], None] | None = None,
    ) -> None:
        self.schema: Final = schema
        self._servers = Servers(url, self._forget_connections)
        self._on_failure = on_failure
        self._pools: dict[_Use, Pool] = {}
        self._pipelines = Pipelines(self._connect_pipeline, PIPELINES)
        self._users = Counter[_Use]()  #: tasks with a connection, and those that wait for one
        self.limits = limits

    async def __aenter__(self) -> Self:
        rest = max(1, self.limits.connections - FIXED_CONNECTIONS)
        self._pools = {
            _Use.REST: await self._new_pool(rest, self.limits.lock_s),
            _Use.BATCH: await self._new_pool(BATCH_CONNECTIONS, self.limits.batch_lock_s, _keep_plans),
            _Use.PROBE: await self._new_pool(PROBE_CONNECTIONS, self.limits.probe_s),
        }
        self._watch_pools()
        return self

    async def __aexit__(self, *_: object) -> None:
        for pool in self._pools.values():
            pool.terminate()
        self._pipelines.close()
        self._servers.close()

    async def move_to(self, url: str) -> None:
        """Use the servers of this URL from now on. Statements that are being executed end where they are."""
        await self._servers.move_to(url)

    async def _new_pool(self, size: int, lock_s: float, init: "Initialize | None" = None) -> "Pool":
        return await asyncpg.create_pool(
            connect=self._servers.connect,
            min_size=0,
            max_size=size,
            timeout=self.limits.call_s,
            command_timeout=self.limits.statement_s,
            connection_class=RawConnection,
            server_settings=_server_settings(self.limits, lock_s, self.schema),
            init=init,
        )

    async def _connect_pipeline(self) -> RawConnection:
        connection: RawConnection = await self._servers.connect(
            timeout=self.limits.call_s,
            connection_class=RawConnection,
            server_settings=_server_settings(self.limits, self.limits.batch_lock_s, self.schema),
        )
        try:
            await _keep_plans(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _forget_connections(self) -> None:
        """Use none of those that are open again: their server takes no writes any more."""
        self._pipelines.forget()
        for pool in self._pools.values():
            await pool.expire_connections()

    async def _unavailable(self, error: Exception) -> StoreUnavailable | None:
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            await self._forget_connections()
        found = unavailable(error)
        if found is not None and not isinstance(found, RowLocked):
            self._servers.search()
            if self._on_failure is not None:
                self._on_failure()
        return found

    def _watch_pools(self) -> None:
        schema = self.schema
        for use, pool in self._pools.items():
            DATABASE_CONNECTIONS.watch(pool.get_size, schema, use)
            DATABASE_IN_USE.watch(partial(_in_use, pool), schema, use)
            DATABASE_MAX.watch(pool.get_max_size, schema, use)
            DATABASE_WAITING.watch(partial(self._waiting, use), schema, use)
        pipelines = self._pipelines
        DATABASE_CONNECTIONS.watch(lambda: pipelines.size, schema, "pipeline")
        DATABASE_IN_USE.watch(lambda: pipelines.in_use, schema, "pipeline")
        DATABASE_MAX.watch(lambda: PIPELINES, schema, "pipeline")
        DATABASE_WAITING.watch(lambda: pipelines.waiting, schema, "pipeline")

    def _waiting(self, use: _Use) -> int:
        return max(0, self._users[use] - _in_use(self._pools[use]))

    @asynccontextmanager
    async def connection(self, *, is_long: bool = False) -> AsyncIterator["Connection"]:
        """A connection without a transaction, for at most `call_s` including the wait for it. Raises StoreUnavailable.

        `is_long`: it may be held longer; only each of its statements is limited.
        """
        if not self._pools:
            raise RuntimeError("enter the Database before using it")
        use = _use.get()
        pool = self._pools[use]
        self._users[use] += 1
        try:
            async with (
                within(None if is_long else self.limits.call_s),
                pool.acquire(timeout=self.limits.call_s if is_long else None) as connection,
            ):
                yield connection
        except Exception as error:
            store_error = await self._unavailable(error)
            if store_error is None:
                raise
            raise store_error from error
        finally:
            self._users[use] -= 1

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Connection"]:
        """A connection inside a transaction that commits at the end. Raises StoreUnavailable."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def transact(self, statements: Sequence[Statement]) -> Sequence[StatementResult] | None:
        """Send statements at once and commit them together; the result of each. Raises StoreUnavailable.

        None if nothing was written: one has another number of rows than it must, a constraint is violated, a text
        cannot be stored, or the caller waits for locks. Then they must be sent one by one.
        """
        if _use.get() is not _Use.BATCH:
            return None
        if not self._pools:
            raise RuntimeError("enter the Database before using it")
        try:
            async with within(self.limits.call_s):
                return await self._pipelines.transact(statements)
        except NOT_AT_ONCE:
            return None
        except Exception as error:
            store_error = await self._unavailable(error)
            if store_error is None:
                raise
            raise store_error from error

    async def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """The rows of one statement. Raises StoreUnavailable."""
        async with self.connection() as connection:
            return await connection.fetch(sql, *values)

    async def execute(self, sql: str, *values: Any) -> None:
        """Execute one statement. Raises StoreUnavailable."""
        async with self.connection() as connection:
            await connection.execute(sql, *values)


def _in_use(pool: "Pool") -> int:
    return pool.get_size() - pool.get_idle_size()


def _server_settings(limits: Limits, lock_s: float, schema: str) -> dict[str, str]:
    planner = CITUS if limits.reads_whole_tables else CITUS | INDEX_PLANS
    return planner | {
        "application_name": "tael",
        "search_path": schema,
        "timezone": "UTC",
        "lock_timeout": _ms(lock_s),
        "statement_timeout": _ms(limits.statement_s),
        "idle_in_transaction_session_timeout": _ms(limits.idle_transaction_s),
        "tcp_keepalives_idle": str(KEEPALIVE_IDLE_S),
        "tcp_keepalives_interval": str(KEEPALIVE_INTERVAL_S),
        "tcp_keepalives_count": str(KEEPALIVE_COUNT),
        "tcp_user_timeout": str(TCP_USER_TIMEOUT_MS),
    }


def _ms(seconds: float) -> str:
    return str(int(seconds * 1000))
