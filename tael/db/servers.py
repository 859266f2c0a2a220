"""The servers that a database URL names, of which one takes writes: a primary and its standbys.

asyncpg goes through them in their order for every connection. It would wait for a frozen one each time, and give up at
one that is still starting. Here the server of the last connection is tried first, each has a short time, and once
another one takes writes, the connections to the last one are used no longer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

import asyncpg

#: Of several servers, each has this long to connect and to say whether it takes writes.
SERVER_S: Final = 1.0
DEFAULT_PORT: Final = 5432
TARGET: Final = "target_session_attrs"
WRITES: Final = "read-write"


def servers_of(url: str) -> list[tuple[str, int]]:
    """Host and port of each server that `url` names; a host is "" for a local socket."""
    _, _, hosts = urlsplit(url).netloc.rpartition("@")
    parsed = [urlsplit(f"//{host}") for host in hosts.split(",")]
    return [(each.hostname or "", each.port or DEFAULT_PORT) for each in parsed]


def address(host: str, port: int) -> str:
    """Host and port as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def of_primary(url: str) -> str:
    """`url`, which among several servers selects the one that takes writes, unless it says otherwise."""
    parts = urlsplit(url)
    if len(servers_of(url)) == 1 or TARGET in dict(parse_qsl(parts.query, keep_blank_values=True)):
        return url
    added = f"{TARGET}={WRITES}"
    return parts._replace(query=f"{parts.query}&{added}" if parts.query else added).geturl()


@dataclass(slots=True)
class _Named:
    """The servers of one URL."""

    url: str
    servers: list[tuple[str, int]]  #: as in `servers_of`
    last: int = field(default=0, init=False)  #: the place of the server of the last connection

    @classmethod
    def by(cls, url: str) -> Self:
        return cls(of_primary(url), servers_of(url))


class Servers:
    """Connects to the one that takes writes.

    `forget` is called when that is another one than before: connections to the last one are to be used no longer.
    """

    def __init__(self, url: str, forget: Callable[[], Awaitable[None]]) -> None:
        self._named = _Named.by(url)
        self._forget = forget
        self._search: asyncio.Task[None] | None = None

    async def connect(self, _: str | None = None, /, **options: Any) -> Any:
        """A connection of the `connection_class` in asyncpg's `options`. A pool passes a URL, which is not used.

        Raises the last server's error if none takes writes.
        """
        while True:
            named = self._named
            connection = await self._connect_to_one_of(named, options)
            if named is self._named:
                return connection
            connection.terminate()

    async def move_to(self, url: str) -> None:
        """Connect to the servers of this URL from now on."""
        named = _Named.by(url)
        if named.url != self._named.url:
            self._named = named
            await self._forget()

    def search(self) -> None:
        """Find the one that takes writes in the background: a server of several has not responded in time."""
        if len(self._named.servers) > 1 and (self._search is None or self._search.done()):
            self._search = asyncio.get_running_loop().create_task(self._find())

    def close(self) -> None:
        if self._search is not None:
            self._search.cancel()

    async def _find(self) -> None:
        """If there is none now, open connections are kept: a server that has no room for one more still serves them."""
        with suppress(Exception):
            connection = await self.connect()
            connection.terminate()

    async def _connect_to_one_of(self, named: _Named, options: dict[str, Any]) -> Any:
        if len(named.servers) == 1:
            return await asyncpg.connect(named.url, **options)
        last = named.last
        for place in sorted(range(len(named.servers)), key=lambda place: place != last):
            try:
                connection = await _connect_to(named, place, options)
            except Exception as error:  # asyncpg's errors have no common class
                last_error = error
                continue
            if place != named.last:
                named.last = place
                await self._forget()
            return connection
        raise last_error


async def _connect_to(
    named: _Named, place: int, options: dict[str, Any]
) -> "asyncpg.Connection[asyncpg.Record]":
    host, port = named.servers[place]
    async with asyncio.timeout(SERVER_S):
        return await asyncpg.connect(named.url, host=host, port=port, **options)
