"""Migrates a database to the newest schema. Plain SQL files, forward only, each in one transaction with its mark.

Migrating holds an advisory lock, which ends with the session, so a killed process leaves nothing to clean up. yoyo's
own lock is a row that outlives its process; it is neither taken nor checked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import psycopg
from yoyo import get_backend, internalmigrations, read_migrations

from tael.db.database import MIGRATIONS
from tael.db.servers import of_primary, servers_of

#: Developers, merchants and accounts; and money. No table of one references a table of the other.
HOMES: Final = ("directory", "cell")
#: The migration that creates the table `cell`, whose row is written with it.
FIRST_OF_CELL: Final = "cell_0001"
ADD_CELL: Final = "INSERT INTO cell (is_here, number) VALUES (true, 0)"
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
    """Apply missing migrations; returns their number. Safe to call from several processes at once.

    Raises MigrationBlocked, psycopg.Error.
    """
    backend = get_backend(_for_yoyo(database_url))
    try:
        if not _missing(backend):
            return 0
        with locked(backend.connection, max_lock_wait_s):
            if internalmigrations.needs_upgrading(backend):
                internalmigrations.upgrade(backend)
            missing = _missing(backend)
            for migration in missing:
                _apply(backend, migration)
            return len(missing)
    finally:
        backend.connection.close()


def _for_yoyo(database_url: str) -> str:
    """yoyo reads one host from a URL, and passes libpq's parameters on."""
    parts = urlsplit(of_primary(database_url))
    login, at, hosts = parts.netloc.rpartition("@")
    servers = servers_of(database_url) if hosts else []
    several = {
        "host": ",".join(host for host, _ in servers),
        "port": ",".join(str(port) for _, port in servers),
    }
    query = parts.query
    if len(servers) > 1:
        query, hosts = f"{query}&{urlencode(several)}", ""
    return parts._replace(scheme="postgresql+psycopg", netloc=f"{login}{at}{hosts}", query=query).geturl()


def _missing(backend: Any) -> list[Any]:
    """Migrations that are not marked as applied; all if yoyo's tables do not exist yet. Writes nothing."""
    migrations = read_migrations(*(str(MIGRATIONS / home) for home in HOMES))
    if internalmigrations.needs_upgrading(backend):
        return list(migrations)
    return list(backend.to_apply(migrations))


def _apply(backend: Any, migration: Any) -> None:
    """Commit one file and its mark together. yoyo's `apply_one` commits them separately.

    yoyo's log is left empty: it would need a name of the user, which a container's user may not have.
    """
    with backend.transaction():
        migration.process_steps(backend, "apply")
        if migration.id == FIRST_OF_CELL:
            backend.execute(ADD_CELL)
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
