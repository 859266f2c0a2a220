"""Brings a database to the newest schema. Plain SQL files, forward only, each with its mark in one transaction.

Who migrates holds an advisory lock, which ends with the session: a process that is killed leaves nothing to clear away.
yoyo's own lock is a row that outlives its process; it is neither taken nor obeyed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
from yoyo import get_backend, internalmigrations, read_migrations

MIGRATIONS: Final = Path(__file__).with_name("migrations")
#: Developers, merchants and accounts; and money. No table of one references a table of the other.
HOMES: Final = ("directory", "cell")
#: "tael" in ASCII: other programs in the same database have numbers of their own.
LOCK_KEY: Final = 0x7461656C
MAX_LOCK_WAIT_S: Final = 60.0
#: A host that is gone keeps its session, and with it the lock, no longer than this allows (30 s).
KEEPALIVES: Final = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4"
)


class MigrationBlocked(TimeoutError):
    """Another process has been migrating this database for longer than we wait."""


def migrate(database_url: str, max_lock_wait_s: float = MAX_LOCK_WAIT_S) -> int:
    """Apply what is missing; the number of migrations applied. Safe to call from several processes at once.

    Raises MigrationBlocked, psycopg.Error.
    """
    backend = get_backend(urlsplit(database_url)._replace(scheme="postgresql+psycopg").geturl())
    try:
        if not _missing(backend):
            return 0
        with _locked(backend.connection, max_lock_wait_s):
            if internalmigrations.needs_upgrading(backend):
                internalmigrations.upgrade(backend)
            missing = _missing(backend)
            for migration in missing:
                _apply(backend, migration)
            return len(missing)
    finally:
        backend.connection.close()


def _missing(backend: Any) -> list[Any]:
    """Migrations that are not marked as applied; all of them where yoyo has no tables yet. Writes nothing."""
    migrations = read_migrations(*(str(MIGRATIONS / home) for home in HOMES))
    if internalmigrations.needs_upgrading(backend):
        return list(migrations)
    return list(backend.to_apply(migrations))


def _apply(backend: Any, migration: Any) -> None:
    """One file and its mark, or neither. yoyo's `apply_one` commits them one after the other."""
    with backend.transaction():
        migration.process_steps(backend, "apply")
        backend.log_migration(migration, "apply")
        backend.mark_one(migration, log=False)


@contextmanager
def _locked(connection: "psycopg.Connection[Any]", max_wait_s: float) -> Iterator[None]:
    """Holds the lock on the session of `connection`. Raises MigrationBlocked."""
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
    yield  # closing the connection frees the lock
