"""PostgreSQL for tests: a real server, and a separate database in a few milliseconds.

The server's folder is open to every user: pytest's own temporary folders are closed, and root's server would have to
live below /var/lib instead.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tael.db.cells import schema_of
from tael_demo.embedded.server import EmbeddedPostgres
from tests.support import cells, citus

#: With one cell, and with two.
TEMPLATES = ("tael_template", "tael_template_2")

ADD_CELL = sql.SQL("INSERT INTO cell_location (cell, servers) VALUES (1, '')")
GRANT_ALL = sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA public, {} TO CURRENT_USER")
SET_SEARCH_PATH = sql.SQL("ALTER DATABASE {} SET search_path = {}")

#: A database is 300 files, and some disks take a millisecond for each; this folder is in memory.
MEMORY = Path("/dev/shm")
MEMORY_WANTED_BYTES = 1 << 30

END_LIMIT_MS = 5_000


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that any user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="tael-test-", dir=_quick_place()))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def migrated_server() -> Iterator[str]:
    """The url of a new server with template databases of one cell and of two.

    Its owner may change rows that are only added: many tests undo what they did, or act as an attacker.
    """
    from tael.db.migrate import migrate  # imported only by tests that need a database

    if citus.COORDINATOR:
        with citus.migrated() as url:
            yield url
        return
    with open_folder() as folder, EmbeddedPostgres(folder) as postgres:
        for number, name in enumerate(TEMPLATES):
            create_database(postgres.url, name, TEMPLATES[0] if number else "template1")
            template = with_database(postgres.url, name)
            if number:
                _execute(template, ADD_CELL)
            migrate(template)
            _execute(template, GRANT_ALL.format(sql.Identifier(schema_of(number))))
        yield postgres.url


@contextmanager
def temporary_database(server_url: str, template: str | None = None) -> Iterator[str]:
    """The url of a copy of `template`, which is dropped afterwards even while clients are connected.

    By default it is the one that has the cell of this test. With Citus, it is the given one, through the node of the
    cell or through the coordinator; the tables of cells and directory are empty.
    """
    if citus.COORDINATOR and template is None:
        citus.empty_tables()
        cell = citus.CELLS[cells.current()]
        node = citus.nodes()[0] if citus.GOES_THROUGH_COORDINATOR else citus.node_of(cell)
        yield node.url(citus.DIRECTORY, cell)
        return
    name = f"test_{secrets.token_hex(6)}"
    create_database(server_url, name, template or TEMPLATES[cells.current()])
    try:
        yield with_database(server_url, name)
    finally:
        drop_database(server_url, name)


def create_database(server_url: str, name: str, template: str = "template1") -> None:
    """Its files are copied as they are, which takes half the time of writing them to the log as well.

    Connections of tests see the tables of the directory and of the test's cell. tael's own see one of them only.
    """
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    database = sql.Identifier(name)
    _execute(
        server_url,
        statement.format(database, sql.Identifier(template)),
        SET_SEARCH_PATH.format(database, sql.SQL(cells.search_path())),
    )


def create_role(server_url: str, name: str) -> None:
    """A role without privileges, as which our own may act."""
    role = sql.Identifier(name)
    _execute(
        server_url,
        sql.SQL("CREATE ROLE {}").format(role),
        sql.SQL("GRANT {} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE").format(role),
    )


def drop_role(server_url: str, name: str) -> None:
    """Drop a role, if it exists. It has no privileges left."""
    _execute(server_url, sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def create_login(server_url: str, name: str, *groups: str) -> None:
    """A role that can log in, with its name as password, and has the privileges of these group roles only."""
    _execute(
        server_url,
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(name)),
        *(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(name)) for group in groups),
    )


def logged_in(url: str, name: str) -> str:
    """The url for the role of `create_login`."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{name}:{name}@{parts.netloc.rpartition('@')[2]}"))


def as_role(url: str, name: str) -> str:
    """The url of connections that act as the role."""
    return f"{url}?options=-c%20role%3D{name}"


def connect_to_cell(url: str, cell: int = 0) -> "psycopg.Connection[tuple[Any, ...]]":
    """A connection that sees the directory and a cell. Each statement is a transaction."""
    return psycopg.connect(url, options=f"-c search_path=public,{schema_of(cell)}", autocommit=True)


def cell_of_merchant(url: str, mchid: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT cell FROM merchant WHERE mchid = %s", [mchid]).fetchone()
    assert row is not None
    return int(row[0])


def drop_database(server_url: str, name: str) -> None:
    """Drop the database, ending its open connections.

    Not WITH (FORCE): that needs a right over PostgreSQL's own vacuum too, if it happens to be at work there. A plain
    DROP makes the vacuum leave, so only our own connections have to be ended first.
    """
    database = sql.Identifier(name)
    ours = sql.SQL("SELECT pid FROM pg_stat_activity WHERE usename = current_user AND datname = {}")
    ending = sql.SQL("SELECT pg_terminate_backend(pid, {}) FROM ({}) AS ours")
    _execute(
        server_url,
        sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(database),
        ending.format(END_LIMIT_MS, ours.format(sql.Literal(name))),
        sql.SQL("DROP DATABASE {}").format(database),
    )


def with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _quick_place() -> Path | None:
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_WANTED_BYTES:
        return MEMORY
    return None


def _execute(url: str, *statements: sql.SQL | sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
