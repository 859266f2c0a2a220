"""Migrating a database to the newest schema: repeated and concurrent runs apply each migration once."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend

import tael
from tael.db.database import MIGRATIONS
from tael.db.migrate import LOCK_KEY, MigrationBlocked, migrate
from tests.support.citus import needs_plain_postgres
from tests.support.postgres import temporary_database

pytestmark = needs_plain_postgres

PATIENCE_S = 30.0
REPOSITORY = Path(tael.__file__).resolve().parent.parent
MIGRATE = "import sys; from tael.db.migrate import migrate; print(migrate(sys.argv[1]))"
TABLES = {
    "app",
    "merchant",
    "wallet_account",
    "serial",
    "reference",
    "payment",
    "refund",
    "reversal",
    "ledger_entry",
    "webhook",
}


@pytest.fixture
def empty_database_url(postgres_server: str) -> Iterator[str]:
    with temporary_database(postgres_server, "template1") as url:
        yield url


def tables_of(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname IN ('public', 'cell_00')")
        return {row[0] for row in rows}


def test_an_empty_database_gets_every_table_and_a_second_time_nothing(empty_database_url: str) -> None:
    assert migrate(empty_database_url) == len(list(MIGRATIONS.rglob("*.sql")))
    assert tables_of(empty_database_url) >= TABLES
    assert migrate(empty_database_url) == 0


def test_a_migrated_cell_has_its_one_row(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT is_here, number FROM cell").fetchall() == [(True, 0)]
        for is_here in (True, False):
            with pytest.raises(psycopg.IntegrityError), connection.transaction():
                connection.execute("INSERT INTO cell (is_here, number) VALUES (%s, 1)", [is_here])


def test_existing_rows_stay(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO serial (node, next_sequence) VALUES (9, 77)")
    assert migrate(database_url) == 0
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT next_sequence FROM serial").fetchall() == [(77,)]


def test_several_processes_at_once_apply_each_migration_once(empty_database_url: str) -> None:
    command = [sys.executable, "-c", MIGRATE, empty_database_url]
    processes = [
        subprocess.Popen(command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], [error for _, error in outputs]
    assert sum(int(out) for out, _ in outputs) == len(list(MIGRATIONS.rglob("*.sql")))
    assert tables_of(empty_database_url) >= TABLES


# ---- interrupted and side by side --------------------------------------------------------------------------------


def test_a_process_killed_at_any_moment_leaves_a_database_that_migrates(empty_database_url: str) -> None:
    everything = len(list(MIGRATIONS.rglob("*.sql")))
    for marked in (0, 1, everything // 2):
        kill_when(empty_database_url, marked)
    migrate(empty_database_url)
    assert tables_of(empty_database_url) >= TABLES
    assert marked_in(empty_database_url) == everything


def test_a_lock_row_of_an_earlier_version_blocks_nothing(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            "CREATE TABLE yoyo_lock (locked int DEFAULT 1, ctime timestamp, pid int, PRIMARY KEY (locked))"
        )
        connection.execute("INSERT INTO yoyo_lock VALUES (1, now(), 4711)")
    assert migrate(empty_database_url) == len(list(MIGRATIONS.rglob("*.sql")))
    assert migrate(empty_database_url) == 0


def test_a_file_and_its_mark_are_one_commit(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(PostgresqlPsycopgBackend, "mark_one", fail)
        with pytest.raises(KeyboardInterrupt):
            migrate(empty_database_url)
    assert not tables_of(empty_database_url) & TABLES
    assert migrate(empty_database_url) == len(list(MIGRATIONS.rglob("*.sql")))


def test_a_migration_that_runs_too_long_elsewhere_is_named(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        with pytest.raises(MigrationBlocked, match=r"another process has been migrating .* more than 0\.2 s"):
            migrate(empty_database_url, max_lock_wait_s=0.2)
    assert migrate(empty_database_url) > 0


def test_the_lock_is_taken_only_where_something_is_missing(database_url: str) -> None:
    with psycopg.connect(database_url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        assert migrate(database_url, max_lock_wait_s=0.2) == 0


def kill_when(url: str, marked: int) -> None:
    """Kill a migration once it has marked this many files."""
    process = subprocess.Popen(
        [sys.executable, "-c", MIGRATE, url], cwd=REPOSITORY, stdout=subprocess.DEVNULL
    )
    until = time.monotonic() + PATIENCE_S
    while process.poll() is None and marked_in(url) < marked:
        assert time.monotonic() < until
    process.kill()
    process.wait()


def marked_in(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        return sum(_marked_in_schema(connection, schema) for schema in ("public", "cell_00"))


def _marked_in_schema(connection: "psycopg.Connection[Any]", schema: str) -> int:
    marks = sql.Identifier(schema, "_yoyo_migration")
    try:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(marks)).fetchone()
    except psycopg.errors.UndefinedTable:
        return 0
    return int(row[0]) if row else 0


def test_a_user_without_a_name_can_migrate(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container, whose user is a number."""

    def no_such_user(_: int) -> None:
        raise KeyError

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", no_such_user)
    assert migrate(empty_database_url) > 0
