"""Migrates a database to the newest schema. Plain SQL files, forward only, each in one transaction with its mark.

Migrating holds an advisory lock, which ends with the session, so a killed process leaves nothing to clean up. yoyo's
own lock is a row that outlives its process; it is neither taken nor checked.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import psycopg
from psycopg import sql
from yoyo import get_backend, internalmigrations, read_migrations

from tael.db.cells import CellLocation
from tael.db.citus import copy_directory, has_citus
from tael.db.database import DIRECTORY_SCHEMA, MIGRATIONS
from tael.db.servers import of_primary, servers_of
from tael.db.tables import Home

CREATE_SCHEMA: Final = sql.SQL("CREATE SCHEMA IF NOT EXISTS {}")
#: For Citus, which then places the tables of a new schema together on one of its nodes. PostgreSQL takes no notice.
SHARD_BY_SCHEMA: Final = "SET citus.enable_schema_based_sharding = on"
#: "tael" in ASCII, so that it differs from the keys of other programs in the same database.
LOCK_KEY: Final = 0x7461656C
MAX_LOCK_WAIT_S: Final = 60.0
#: If a host disappears, its session ends after 30 s, and with it the lock.
KEEPALIVES: Final = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4"
)


class MigrationBlocked(TimeoutError):
    """Another process is still migrating this database after the maximum wait."""


def migrate(database_url: str, max_lock_wait_s: float = MAX_LOCK_WAIT_S) -> int:
    """Apply missing migrations to the directory and to every cell that it names; returns their number.

    Safe to call from several processes at once. Raises MigrationBlocked, psycopg.Error.
    """
    applied = migrate_directory(database_url, max_lock_wait_s)
    return applied + sum(
        migrate_cell(database_url, location, max_lock_wait_s) for location in locations_in(database_url)
    )


def migrate_directory(database_url: str, max_lock_wait_s: float = MAX_LOCK_WAIT_S) -> int:
    """Apply missing migrations to the directory only, which each node of Citus then has. Raises as `migrate`."""
    applied = _migrate(database_url, Home.DIRECTORY, DIRECTORY_SCHEMA, max_lock_wait_s)
    with psycopg.connect(of_primary(database_url), autocommit=True) as connection:
        if has_citus(connection):
            with locked(connection, max_lock_wait_s):
                copy_directory(connection)
    return applied


def migrate_cell(database_url: str, location: CellLocation, max_lock_wait_s: float = MAX_LOCK_WAIT_S) -> int:
    """Apply missing migrations to one cell, whose schema is created if it is missing. Raises as `migrate`."""
    url = location.url(database_url)
    with psycopg.connect(of_primary(url), autocommit=True) as connection:
        if connection.execute("SELECT to_regnamespace(%s)", [location.schema]).fetchone() == (None,):
            connection.execute(SHARD_BY_SCHEMA)
            with suppress(psycopg.errors.UniqueViolation):  # another process is creating it
                connection.execute(CREATE_SCHEMA.format(sql.Identifier(location.schema)))
    return _migrate(url, Home.CELL, location.schema, max_lock_wait_s)


def locations_in(database_url: str) -> list[CellLocation]:
    """The cells that a migrated directory names. Raises psycopg.Error."""
    with psycopg.connect(of_primary(database_url)) as connection:
        rows = connection.execute("SELECT cell, servers FROM public.cell_location ORDER BY cell").fetchall()
    return [CellLocation(*row) for row in rows]


def _migrate(url: str, home: Home, schema: str, max_lock_wait_s: float) -> int:
    backend = get_backend(_for_yoyo(url, schema))
    try:
        if not _missing(backend, home):
            return 0
        with locked(backend.connection, max_lock_wait_s):
            if internalmigrations.needs_upgrading(backend):
                internalmigrations.upgrade(backend)
            missing = _missing(backend, home)
            for migration in missing:
                _apply(backend, migration)
            return len(missing)
    finally:
        backend.connection.close()


def _for_yoyo(database_url: str, schema: str) -> str:
    """yoyo reads one host from a URL, passes libpq's parameters on, and sets `search_path` to `schema`."""
    parts = urlsplit(of_primary(database_url))
    login, at, hosts = parts.netloc.rpartition("@")
    servers = servers_of(database_url) if hosts else []
    added = {"schema": schema}
    if len(servers) > 1:
        added |= {
            "host": ",".join(host for host, _ in servers),
            "port": ",".join(str(port) for _, port in servers),
        }
        hosts = ""
    query = "&".join(filter(None, (parts.query, urlencode(added))))
    return parts._replace(scheme="postgresql+psycopg", netloc=f"{login}{at}{hosts}", query=query).geturl()


def _missing(backend: Any, home: Home) -> list[Any]:
    """Migrations that are not marked as applied; all if yoyo's tables do not exist yet. Writes nothing."""
    migrations = read_migrations(str(MIGRATIONS / home))
    if internalmigrations.needs_upgrading(backend):
        return list(migrations)
    return list(backend.to_apply(migrations))


def _apply(backend: Any, migration: Any) -> None:
    """Commit one file and its mark together. yoyo's `apply_one` commits them separately.

    yoyo's log is left empty: it would need a name of the user, which a container's user may not have.
    """
    with backend.transaction():
        migration.process_steps(backend, "apply")
        backend.mark_one(migration, log=False)


@contextmanager
def locked(connection: "psycopg.Connection[Any]", max_wait_s: float) -> Iterator[None]:
    """Hold the lock in the session of `connection`. Raises MigrationBlocked."""
    connection.execute(KEEPALIVES)
    connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{int(max_wait_s * 1000)}ms"])
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
    except psycopg.errors.LockNotAvailable as error:
        raise MigrationBlocked(
            f"another process has been migrating this database for more than {max_wait_s:g} s; "
            "wait until it has ended, then try again"
        ) from error
    connection.execute("RESET lock_timeout")
    yield  # closing the connection releases the lock
