"""Brings a database to the newest schema. Plain SQL files, forward only, one at a time under a lock."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from yoyo import get_backend, read_migrations

MIGRATIONS: Final = Path(__file__).with_name("migrations")


def migrate(database_url: str) -> int:
    """Apply what is missing; the number of migrations applied. Safe to call from several processes at once."""
    backend = get_backend(urlsplit(database_url)._replace(scheme="postgresql+psycopg").geturl())
    try:
        with backend.lock():
            missing = backend.to_apply(read_migrations(str(MIGRATIONS)))
            backend.apply_migrations(missing)
            return len(missing)
    finally:
        backend.connection.close()
