"""The servers of a soak: each cell has a PostgreSQL of its own behind a wire of its own. The directory is on the first.

The gateway and `tael` reach a server through its wire, with the login of the directory's URL.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tael.db.cells import CellLocation, url_on
from tael.db.migrate import migrate_cell
from tael_demo.embedded.server import EmbeddedPostgres
from tests.soak.plan import SERVERS
from tests.support.ports import bound
from tests.support.wire import Wire

SET_PASSWORD: Final = sql.SQL("ALTER ROLE {} PASSWORD {}")
ADD_CELL: Final = "INSERT INTO public.cell_location (cell, servers) VALUES (%s, %s)"


@dataclass(frozen=True, slots=True)
class Server:
    """The server of one cell. `url` bypasses the wire. Hold `lock` for as long as a fault lasts: one at a time."""

    cell: int
    postgres: EmbeddedPostgres = field(repr=False)
    url: str = field(repr=False)
    wire: Wire = field(repr=False)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def name(self) -> str:
        return SERVERS[self.cell]

    @property
    def pid(self) -> int:
        """Of its first process. Raises RuntimeError if it is not running."""
        if self.postgres.pid is None:
            raise RuntimeError(f"{self.name} has ended")
        return self.postgres.pid

    def kill(self) -> None:
        """SIGKILL. What it had only in memory is lost."""
        os.kill(self.pid, signal.SIGKILL)
        self.postgres.stop()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """After `kill` or a stop, while it is down; started at the end, in the main thread, with which it ends.

        Raises RuntimeError if its port is taken.
        """
        port = urlsplit(self.url).port or 0
        with bound(port):  # a client's own port must not be this one
            yield
            if urlsplit(self.postgres.start()).port != port:
                raise RuntimeError(f"{self.name} came back at another port")


@contextmanager
def with_wire(cell: int, postgres: EmbeddedPostgres, url: str) -> Iterator[Server]:
    with Wire(url) as wire:
        yield Server(cell, postgres, url, wire)


@contextmanager
def running_postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server of its own. Its owner is another user than root, and so comes in as any other."""
    folder.mkdir(mode=0o755, parents=True)
    with EmbeddedPostgres(folder) as postgres:
        yield postgres


def share_login(directory_url: str, postgres: EmbeddedPostgres) -> str:
    """Give this server the password of the directory's role; returns its URL with that."""
    login = urlsplit(directory_url)
    with psycopg.connect(postgres.url) as connection:
        role, password = sql.Identifier(login.username or ""), sql.Literal(login.password)
        connection.execute(SET_PASSWORD.format(role, password))
    return url_on(directory_url, _address(postgres.url))


def add_cell(directory_url: str, server: Server) -> None:
    """Migrate the cell and name it in the directory, at the address of its wire."""
    location = CellLocation(server.cell, _address(server.wire.url))
    migrate_cell(directory_url, location)
    with psycopg.connect(directory_url) as connection:
        connection.execute(ADD_CELL, [location.number, location.servers])


def _address(url: str) -> str:
    """Host and port."""
    return urlsplit(url).netloc.rpartition("@")[2]
