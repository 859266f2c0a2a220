"""A relay in front of PostgreSQL that can be cut, held, or made to swallow a response while it is in use.

It runs in its own thread: a busy test does not slow it down, and it may be cut from any thread or loop.
"""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

from tests.support.ports import HOST, bound

CALL_LIMIT_S: Final = 30.0
CHUNK_BYTES: Final = 1 << 16
#: PostgreSQL's ReadyForQuery, without its last byte, which is the transaction's state.
READY: Final = b"Z\0\0\0\5"
IN_NO_TRANSACTION: Final = READY + b"I"
COMMAND_COMPLETE: Final = b"C"
#: The kind of a message and its length, which does not count the kind.
HEAD_BYTES: Final = 5


@dataclass(slots=True)
class Line:
    """One client's connection. `is_marked`: it has sent the bytes whose commit is to be swallowed."""

    is_marked: bool = False


class Wire:
    """Listens on a free port while it is entered; `url` is the server's url through this wire."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._place = bound()
        self._listener: socket.socket | None = None
        self._flows = asyncio.Event()
        self._relays: set[asyncio.Task[None]] = set()
        self._marker = b""
        self._swallowing: asyncio.Task[None] | None = None
        self._has_swallowed = threading.Event()

    @property
    def url(self) -> str:
        login, _, _ = self._parts.netloc.rpartition("@")
        return self._parts._replace(netloc=f"{login}@{HOST}:{self._port}").geturl()

    @property
    def _port(self) -> int:
        port: int = self._place.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._join())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_LIMIT_S)
        self._loop.close()
        self._place.close()

    def cut(self) -> None:
        """End every connection at once and refuse new ones, until `join`."""
        self._run(self._cut())

    def hold(self) -> None:
        """Hold all bytes in both directions until `join`: nothing is lost and nothing arrives."""
        self._run(self._hold())

    def join(self) -> None:
        """Relay again, at the same port."""
        self._run(self._join())

    def swallow(self, marker: bytes) -> None:
        """Cut the wire right after the server has committed the next transaction whose bytes contain `marker`.

        The client never receives the commit's response. A rollback is swallowed in the same way.
        """
        self._has_swallowed.clear()
        self._run(self._arm(marker))

    def wait_until_swallowed(self, limit_s: float = CALL_LIMIT_S) -> bool:
        """Whether the commit that `swallow` waits for came within the limit; the wire is then cut."""
        return self._has_swallowed.wait(limit_s)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_LIMIT_S)

    async def _join(self) -> None:
        self._flows.set()
        if self._listener is None:
            self._listener = bound(self._port)
            self._listener.setblocking(False)
            self._listener.listen()
            self._loop.add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        """One connection. asyncio's server would lose those that it has accepted when it is closed."""
        with suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = listener.accept()
            client.setblocking(False)
            relay = self._loop.create_task(self._relay(client))
            self._relays.add(relay)
            relay.add_done_callback(self._relays.discard)
            relay.add_done_callback(lambda _: client.close())  # it may be cancelled before its first step

    async def _hold(self) -> None:
        self._flows.clear()

    async def _arm(self, marker: bytes) -> None:
        self._marker = marker

    async def _cut(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        relays = list(self._relays)
        for relay in relays:
            relay.cancel()
        await asyncio.gather(*relays, return_exceptions=True)

    async def _swallow(self) -> None:
        await self._cut()
        self._has_swallowed.set()

    async def _relay(self, client: socket.socket) -> None:
        writers: list[asyncio.StreamWriter] = []
        line = Line()
        try:
            reader, writer = await asyncio.open_connection(sock=client)
            writers.append(writer)
            await self._flows.wait()
            server_reader, server_writer = await asyncio.open_connection(
                self._parts.hostname, self._parts.port
            )
            writers.append(server_writer)
            pumps = [
                asyncio.ensure_future(self._relay_requests(reader, server_writer, line)),
                asyncio.ensure_future(self._relay_responses(server_reader, writer, line)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            return  # the wire was cut
        finally:
            for each in writers:
                each.transport.abort()

    async def _relay_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line
    ) -> None:
        """From the client to the server."""
        sent = b""
        with suppress(OSError):
            while taken := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                if self._marker:
                    sent += taken
                    if self._marker in sent:
                        line.is_marked, self._marker = True, b""
                    sent = sent[-len(self._marker) :]  # the marker may come in two pieces
                writer.write(taken)
                await writer.drain()

    async def _relay_responses(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line
    ) -> None:
        """From the server to the client; of a marked one, held while a command's end may still be the commit's."""
        answer = b""
        with suppress(OSError):
            while taken := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                answer += taken
                if line.is_marked and may_be_a_commit(answer):
                    continue
                if line.is_marked and answer.endswith(IN_NO_TRANSACTION):
                    self._swallowing = asyncio.create_task(self._swallow())
                    return
                writer.write(answer)
                answer = b""
                await writer.drain()


def may_be_a_commit(answer: bytes) -> bool:
    """Whether messages of the server end within one, or with a command whose ReadyForQuery is to come.

    The response to a prepared statement ends without ReadyForQuery, since the client asks for a flush.
    """
    kinds = b""
    while len(answer) >= HEAD_BYTES:
        length = 1 + int.from_bytes(answer[1:HEAD_BYTES])
        if len(answer) < length:
            return True
        kinds, answer = kinds + answer[:1], answer[length:]
    return bool(answer) or COMMAND_COMPLETE in kinds.rpartition(READY[:1])[2]
