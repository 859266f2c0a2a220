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
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tael_demo.embedded.server import EmbeddedPostgres
from tests.support import citus

TEMPLATE = "tael_template"

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
    """The url of a new server whose template database has the whole schema.

    Its owner may change rows that are only added: many tests undo what they did, or act as an attacker.
    """
    from tael.db.migrate import migrate  # imported only by tests that need a database

    if citus.COORDINATOR:
        citus.create_schemas()
        yield citus.COORDINATOR
        return
    with open_folder() as folder, EmbeddedPostgres(folder) as postgres:
        create_database(postgres.url, TEMPLATE)
        template = with_database(postgres.url, TEMPLATE)
        migrate(template)
        _execute(template, sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA public TO CURRENT_USER"))
        yield postgres.url


@contextmanager
def temporary_database(server_url: str, template: str = TEMPLATE) -> Iterator[str]:
    """The url of a copy of `template`, which is dropped afterwards even while clients are connected.

    With Citus, that of a cell, whose tables and those of the directory are empty.
    """
    if citus.COORDINATOR and template == TEMPLATE:
        citus.empty_tables()
        yield citus.node_of(citus.CELLS[0]).url(citus.CELLS[0], citus.DIRECTORY)
        return
    name = f"test_{secrets.token_hex(6)}"
    create_database(server_url, name, template)
    try:
        yield with_database(server_url, name)
    finally:
        drop_database(server_url, name)


def create_database(server_url: str, name: str, template: str = "template1") -> None:
    """Its files are copied as they are, which takes half the time of writing them to the log as well."""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    _execute(server_url, statement.format(sql.Identifier(name), sql.Identifier(template)))


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
