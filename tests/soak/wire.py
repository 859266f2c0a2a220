"""A relay in front of PostgreSQL that can be cut, held back or made to swallow, from any thread, while it is in use.

It runs in a thread of its own, so that a busy soak does not slow the wire down.
"""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, Self
from urllib.parse import urlsplit

HOST: Final = "127.0.0.1"
CALL_LIMIT_S: Final = 30.0
CHUNK_BYTES: Final = 1 << 16


class Wire:
    """Listens on a free port while it is entered; `url` is the server's, by this wire."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._port = 0
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._relays: set[asyncio.Task[None]] = set()
        self.times_cut = 0

    @property
    def url(self) -> str:
        login, _, _ = self._parts.netloc.rpartition("@")
        return self._parts._replace(netloc=f"{login}@{HOST}:{self._port}").geturl()

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._join())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_LIMIT_S)
        self._loop.close()

    def cut(self) -> None:
        """End every connection at once and refuse new ones, until `join`."""
        self.times_cut += 1
        self._do(self._cut())

    def hold(self) -> None:
        """Carry nothing in either direction, until `join`: what was said is neither lost nor heard."""
        self._do(self._hold())

    def join(self) -> None:
        """Let everything through again, at the same port."""
        self._do(self._join())

    def _do(self, act: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(act, self._loop).result(CALL_LIMIT_S)

    async def _join(self) -> None:
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._relay, HOST, self._port, reuse_address=True)
            self._port = self._server.sockets[0].getsockname()[1]

    async def _hold(self) -> None:
        self._flows.clear()

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        relays = list(self._relays)
        for relay in relays:
            relay.cancel()
        await asyncio.gather(*relays, return_exceptions=True)
        self._relays.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        writers = [writer]
        try:
            await self._flows.wait()
            far_reader, far_writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
            writers.append(far_writer)
            pumps = [
                asyncio.ensure_future(self._pump(reader, far_writer)),
                asyncio.ensure_future(self._pump(far_reader, writer)),
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

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while taken := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                writer.write(taken)
                await writer.drain()
