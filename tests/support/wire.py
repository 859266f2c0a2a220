"""A relay in front of PostgreSQL that can be cut, held back or made to swallow an answer, while it is in use.

It runs in a thread of its own: a busy test does not slow the wire down, and it may be cut from any thread or loop.
"""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

HOST: Final = "127.0.0.1"
CALL_LIMIT_S: Final = 30.0
CHUNK_BYTES: Final = 1 << 16
#: PostgreSQL's ReadyForQuery, without its last byte, which tells of the transaction.
READY: Final = b"Z\0\0\0\5"
IN_NO_TRANSACTION: Final = READY + b"I"


def bound(port: int = 0) -> socket.socket:
    """While this is open the kernel gives the port to nobody else, and refuses who connects until somebody listens."""
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind((HOST, port))
    return place


@dataclass(slots=True)
class Line:
    """One client's connection. `is_marked`: it has said the words whose commit is to be swallowed."""

    is_marked: bool = False


class Wire:
    """Listens on a free port while it is entered; `url` is the server's, by this wire."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._place = bound()
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._relays: set[asyncio.Task[None]] = set()
        self._words = b""
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
        self._do(self._join())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_LIMIT_S)
        self._loop.close()
        self._place.close()

    def cut(self) -> None:
        """End every connection at once and refuse new ones, until `join`."""
        self._do(self._cut())

    def hold(self) -> None:
        """Carry nothing in either direction, until `join`: what was said is neither lost nor heard."""
        self._do(self._hold())

    def join(self) -> None:
        """Let everything through again, at the same port."""
        self._do(self._join())

    def swallow(self, words: bytes) -> None:
        """Cut the wire by itself, the moment after the server has committed what is next said with `words` in it.

        The client that said them never hears that it was committed. What was rolled back is swallowed in the same way.
        """
        self._has_swallowed.clear()
        self._do(self._lie_in_wait(words))

    def wait_until_swallowed(self, limit_s: float = CALL_LIMIT_S) -> bool:
        """Whether what `swallow` waits for has happened, within the limit; then the wire is cut."""
        return self._has_swallowed.wait(limit_s)

    def _do(self, act: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(act, self._loop).result(CALL_LIMIT_S)

    async def _join(self) -> None:
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._relay, HOST, self._port, reuse_address=True)

    async def _hold(self) -> None:
        self._flows.clear()

    async def _lie_in_wait(self, words: bytes) -> None:
        self._words = words

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        relays = list(self._relays)
        for relay in relays:
            relay.cancel()
        await asyncio.gather(*relays, return_exceptions=True)
        self._relays.clear()

    async def _swallow(self) -> None:
        await self._cut()
        self._has_swallowed.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        writers = [writer]
        line = Line()
        try:
            await self._flows.wait()
            far_reader, far_writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
            writers.append(far_writer)
            pumps = [
                asyncio.ensure_future(self._carry_words(reader, far_writer, line)),
                asyncio.ensure_future(self._carry_answers(far_reader, writer, line)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            return  # a connection that was cut ends; nobody waits for how it ended
        finally:
            self._relays.discard(task)
            for each in writers:
                each.transport.abort()

    async def _carry_words(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line
    ) -> None:
        """From a client to the server."""
        said = b""
        with suppress(OSError):
            while taken := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                if self._words:
                    said += taken
                    if self._words in said:
                        line.is_marked, self._words = True, b""
                    said = said[-len(self._words) :]  # the words may come in two pieces
                writer.write(taken)
                await writer.drain()

    async def _carry_answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line
    ) -> None:
        """From the server to a client; a marked one's are kept until they say whether a transaction is open."""
        answer = b""
        with suppress(OSError):
            while taken := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                answer += taken
                if line.is_marked and not answer[:-1].endswith(READY):
                    continue
                if line.is_marked and answer.endswith(IN_NO_TRANSACTION):
                    self._swallowing = asyncio.create_task(self._swallow())
                    return
                writer.write(answer)
                answer = b""
                await writer.drain()
