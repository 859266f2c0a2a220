"""Transactions that are sent at once, from BEGIN to COMMIT, without a wait for any result.

Under load each wait is a turn of the event loop, in which other calls are served. asyncpg waits after every statement.
So it connects and logs in, and then its connection speaks the few messages of PostgreSQL's protocol that prepared
statements need: https://www.postgresql.org/docs/current/protocol-flow.html, "Pipelining". Parameters are arrays, as
texts; a result has one column of texts, or none.

The COMMIT is sent before it is known how many rows were written. A statement that must not have another number of rows
is made by `counted`: it fails, as one that violates a constraint, and nothing is committed.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec

from tael.db.array_text import array_texts

if TYPE_CHECKING:
    from tael.db.database import RawConnection

_INT16: Final = struct.Struct("!h")
_INT32: Final = struct.Struct("!i")
#: Execute of the unnamed portal, without a limit of rows; and the end of a pipeline.
_EXECUTE: Final = b"E" + _INT32.pack(9) + b"\0" + _INT32.pack(0)
_SYNC: Final = b"S" + _INT32.pack(4)
#: The kind of a message and its length, which does not count the kind.
_HEAD: Final = struct.Struct("!Bi")
_HEAD_BYTES: Final = 5
_BIND_COMPLETE, _COMMAND_COMPLETE, _DATA_ROW, _PARSE_COMPLETE, _ERROR, _READY = b"2CD1EZ"
#: Of a row with one column: how many there are, and the length of its text.
_ROW_HEAD_BYTES: Final = 6
#: SQL, and its parameters as they are sent.
_Encoded = tuple[str, bytes]
#: Of an error: severity, SQLSTATE, message and constraint.
_KEPT_FIELDS: Final = "SCMn"
#: Classes of SQLSTATEs after which a connection can be used again: a value (see `counted`), a constraint, a conflict, a
#: lock.
_HARMLESS: Final = ("22", "23", "40", "55")


class Statement(msgspec.Struct, frozen=True):
    """SQL whose parameters are arrays; the last one is `rows` if the SQL is made by `counted`."""

    sql: str
    arrays: Sequence[Sequence[object]] = ()
    rows: int | None = None


class StatementResult(msgspec.Struct, frozen=True):
    """What a statement has returned: a text for each row, and its command tag, `INSERT 0 1` for instance."""

    texts: list[str]
    tag: bytes


def counted(sql: str, arrays: int) -> str:
    """A SELECT, or UPDATE with RETURNING, which fails unless it has as many rows as its last parameter says.

    `arrays` is the number of its own parameters. SQL has no statement that only raises an error, so this one casts
    "3 rows, not 4" to an integer: asyncpg.InvalidTextRepresentationError.
    """
    wanted = f"${arrays + 1}::bigint"
    return f"""
WITH counted AS ({sql})
SELECT CASE WHEN count(*) = {wanted} THEN 0 ELSE (count(*) || ' rows, not ' || {wanted})::integer END FROM counted
"""


def _encoded(statement: Statement) -> _Encoded:
    """Raises ValueError for a text that PostgreSQL cannot store."""
    texts = array_texts(statement.arrays)
    if statement.rows is not None:
        texts.append(b"%d" % statement.rows)
    lengths = map(_INT32.pack, map(len, texts))
    parts = chain.from_iterable(zip(lengths, texts, strict=True))
    return statement.sql, _INT16.pack(len(texts)) + b"".join(parts)


BEGIN: Final = Statement("BEGIN")
COMMIT: Final = Statement("COMMIT")
_BEGIN, _COMMIT, _ROLLBACK = map(_encoded, (BEGIN, COMMIT, Statement("ROLLBACK")))


class Pipeline(asyncio.Protocol):
    """One connection, used by one task at a time."""

    def __init__(self, connection: "RawConnection") -> None:
        self._connection = connection
        self._transport = connection.transport
        self._replaced = self._transport.get_protocol()  #: asyncpg's
        self._transport.set_protocol(self)
        self._received = b""  #: the beginning of a message
        self._names: dict[str, bytes] = {}
        self._named = 0
        self._parsing: deque[tuple[str, bytes]] = deque()  #: being prepared, in order
        self._results: list[StatementResult] = []
        self._texts: list[str] = []  #: of the statement that is being executed
        self._error: Exception | None = None
        self._end: asyncio.Future[None] | None = None
        self.is_closed = False

    async def run(self, *statements: _Encoded) -> Sequence[StatementResult]:
        """The result of each statement.

        Raises the error of the first that failed; those after it were not executed. After a cancellation the
        connection must be closed.
        """
        if self.is_closed:
            raise ConnectionResetError
        message = b"".join([part for each in statements for part in self._parts(*each)])
        self._end = asyncio.get_running_loop().create_future()
        self._results, self._texts, self._error = [], [], None
        self._transport.write(message + _SYNC)
        await self._end
        self._parsing.clear()
        if self._error is not None:
            raise self._error
        return self._results

    def close(self) -> None:
        self.is_closed = True
        self._transport.abort()
        self._connection.terminate()

    def _parts(self, sql: str, parameters: bytes) -> Sequence[bytes]:
        """Messages that prepare the statement, if this connection has not done so, and execute it."""
        name, parse = self._names.get(sql), b""
        if name is None:
            self._named += 1
            name = b"tael_%d\0" % self._named
            self._parsing.append((sql, name))
            parse = _message(b"P", name + sql.encode() + b"\0" + _INT16.pack(0))
        # Portal, statement; formats of the parameters, the parameters, formats of the result: text if there are none.
        bind = _message(b"B", b"\0" + name + _INT16.pack(0) + parameters + _INT16.pack(0))
        return parse, bind, _EXECUTE

    # ---- called by the transport -------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        start, size = 0, len(received)
        while (body := start + _HEAD_BYTES) <= size:
            kind, length = _HEAD.unpack_from(received, start)
            end = start + 1 + length
            if size < end:
                break
            if kind == _BIND_COMPLETE:
                pass
            elif kind == _COMMAND_COMPLETE:
                self._results.append(StatementResult(self._texts, received[body : end - 1]))
                self._texts = []
            elif kind == _DATA_ROW:
                self._texts.append(received[body + _ROW_HEAD_BYTES : end].decode())
            elif kind == _PARSE_COMPLETE:
                sql, name = self._parsing.popleft()
                self._names[sql] = name
            elif kind == _ERROR:
                self._error = _error_of(received[body:end])
            elif kind == _READY and self._end is not None and not self._end.done():
                self._end.set_result(None)
            start = end
        self._received = received[start:]

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self._replaced.connection_lost(exc)  # or it would write to the closed transport when it is terminated
        if self._end is not None and not self._end.done():
            self._error = self._error or exc or ConnectionResetError()
            self._end.set_result(None)


class Pipelines:
    """At most `limit` connections, made when they are needed by `connect`."""

    def __init__(self, connect: Callable[[], Awaitable["RawConnection"]], limit: int) -> None:
        self._connect = connect
        self._places = asyncio.Semaphore(limit)
        self._idle: list[Pipeline] = []
        self._used: set[Pipeline] = set()
        self._users = 0  #: tasks with a connection, and those that wait for one

    @property
    def in_use(self) -> int:
        return len(self._used)

    @property
    def size(self) -> int:
        return len(self._idle) + len(self._used)

    @property
    def waiting(self) -> int:
        return self._users - len(self._used)

    async def transact(self, statements: Sequence[Statement]) -> Sequence[StatementResult]:
        """Commit `statements`; the result of each. Raises asyncpg's errors, after which nothing was written.

        Raises OSError if the connection is lost: they may be committed. Raises ValueError for a text that PostgreSQL
        cannot store, before anything is sent.
        """
        encoded = [_encoded(statement) for statement in statements]
        self._users += 1
        try:
            async with self._places:
                return await self._transact(encoded)
        finally:
            self._users -= 1

    async def _transact(self, encoded: Sequence[_Encoded]) -> Sequence[StatementResult]:
        pipeline = await self._take()
        is_usable = False
        try:
            _, *results, end = await pipeline.run(_BEGIN, *encoded, _COMMIT)
            is_usable = end.tag == b"COMMIT"
        except asyncpg.PostgresError as error:
            if str(error.sqlstate).startswith(_HARMLESS):
                await pipeline.run(_ROLLBACK)
                is_usable = True
            raise
        finally:
            if is_usable and pipeline in self._used:
                self._idle.append(pipeline)
            else:
                pipeline.close()
            self._used.discard(pipeline)
        if not is_usable:
            raise ConnectionResetError
        return results

    def close(self) -> None:
        for pipeline in (*self._idle, *self._used):
            pipeline.close()
        self._idle.clear()

    def forget(self) -> None:
        """Use none of the connections again. Those in use are closed by their users."""
        for pipeline in self._idle:
            pipeline.close()
        self._idle.clear()
        self._used.clear()

    async def _take(self) -> Pipeline:
        while self._idle:
            pipeline = self._idle.pop()
            if not pipeline.is_closed:
                break
            pipeline.close()
        else:
            pipeline = Pipeline(await self._connect())
        self._used.add(pipeline)
        return pipeline


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + _INT32.pack(len(body) + 4) + body


def _error_of(body: bytes) -> Exception:
    """asyncpg's exception for the fields of an error, without those that may hold values of rows."""
    fields = {part[:1].decode(): part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}
    return asyncpg.PostgresError.new({name: text for name, text in fields.items() if name in _KEPT_FIELDS})
