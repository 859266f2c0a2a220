"""The wallets' books: one SQLite file that survives restarts and SIGKILL.

Everything runs in the event loop's thread and never awaits inside a transaction, so requests do not interleave.
Instants are stored as REAL seconds since 1970, money as INTEGER minor units.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SHARED_TABLES: Final = """
CREATE TABLE IF NOT EXISTS payer (
    payer   TEXT PRIMARY KEY,
    wallet  TEXT NOT NULL,
    name    TEXT NOT NULL,
    user_id TEXT NOT NULL UNIQUE,
    balance INTEGER NOT NULL CHECK (balance >= 0)
);
CREATE TABLE IF NOT EXISTS code (
    auth_code TEXT PRIMARY KEY,
    wallet    TEXT NOT NULL,
    behaviour TEXT NOT NULL,
    payer     TEXT NOT NULL REFERENCES payer (payer),
    made_at   REAL NOT NULL,
    used_by   TEXT
);
CREATE TABLE IF NOT EXISTS notice (
    id              INTEGER PRIMARY KEY,
    wallet          TEXT NOT NULL,
    url             TEXT NOT NULL,
    receiver        TEXT NOT NULL,
    content_type    TEXT NOT NULL,
    headers         TEXT NOT NULL DEFAULT '{}',
    body            BLOB NOT NULL,
    attempt         INTEGER NOT NULL DEFAULT 0,
    due_at          REAL,
    acknowledged_at REAL,
    created_at      REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS profile (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    name TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS notice_due ON notice (due_at) WHERE due_at IS NOT NULL;
"""


class Books:
    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self.script(SHARED_TABLES)

    def script(self, sql: str) -> None:
        """Creates tables and indexes. Every statement must be idempotent."""
        self._connection.executescript(sql)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commits the block or rolls it back. Not re-entrant, and nothing may be awaited inside."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @property
    def reader(self) -> sqlite3.Connection:
        """For single SELECTs, outside any transaction."""
        return self._connection

    @property
    def changes(self) -> int:
        """The number of rows written since the file was opened. It grows with every change."""
        return self._connection.total_changes

    def close(self) -> None:
        self._connection.close()
