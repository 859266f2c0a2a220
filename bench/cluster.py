"""The private PostgreSQL of a run, on a kept folder, and its databases. The limit and the gateway use the same ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tael.db.migrate import migrate
from tael_demo.embedded.server import EmbeddedPostgres

#: Durability is PostgreSQL's default, as the demo sets it; these are sizes for 24 GiB.
SETTINGS: Final = {
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "max_connections": "300",
    "maintenance_work_mem": "512MB",
}
#: The tables that a payment writes to.
WRITTEN: Final = ("reference", "payment", "ledger_entry", "webhook")


@dataclass(frozen=True, slots=True)
class Server:
    folder: Path
    url: str  #: of the database `tael`
    pid: int

    def url_of(self, database: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))


@dataclass(slots=True)
class Written:
    """What was written during a block, once it has ended."""

    rows: dict[str, int] = field(default_factory=dict)
    wal_bytes: int = 0


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # root's PostgreSQL runs as another user
    with EmbeddedPostgres(folder, SETTINGS) as postgres:
        assert postgres.pid is not None
        yield Server(folder, postgres.url, postgres.pid)


def exists(server: Server, database: str) -> bool:
    with psycopg.connect(server.url) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (database,))
        return found.fetchone() is not None


#: For statements of the benchmarks themselves.
SET_SEARCH_PATH: Final = sql.SQL("ALTER DATABASE {} SET search_path = public, cell_00")


def create(server: Server, database: str) -> str:
    """A new database with the schema, in place of an old one; its URL."""
    url = create_empty(server, database)
    migrate(url)
    return url


def create_empty(server: Server, database: str) -> str:
    """A new database without tables, in place of an old one; its URL."""
    drop(server, database)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        connection.execute(SET_SEARCH_PATH.format(sql.Identifier(database)))
    return server.url_of(database)


def drop(server: Server, database: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
        )


def rename(server: Server, database: str, name: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        statement = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        connection.execute(statement.format(sql.Identifier(database), sql.Identifier(name)))


def checkpoint(server: Server) -> None:
    """Write what is dirty now, so that no measurement pays for the one before."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def size_of(url: str) -> int:
    """Of the database, in bytes."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def counted(url: str) -> Iterator[Written]:
    """Fills its value at the end of the block with what was written meanwhile. Nothing else may write."""
    written = Written()
    before, position = _counts(url)
    yield written
    after, end = _counts(url)
    written.rows = {table: after[table] - before[table] for table in WRITTEN}
    written.wal_bytes = end - position


def _counts(url: str) -> tuple[dict[str, int], int]:
    with psycopg.connect(url) as connection:
        statement = sql.SQL("SELECT count(*) FROM {}")
        counts = {table: _number(connection, statement.format(sql.Identifier(table))) for table in WRITTEN}
        return counts, _number(
            connection, sql.SQL("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
        )


def _number(connection: "psycopg.Connection[Any]", statement: sql.SQL | sql.Composed) -> int:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return int(row[0])
