"""Bringing a database to the newest schema: once is enough, and two at once are one."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import tael
from tael.store.migrate import MIGRATIONS, migrate
from tests.support.postgres import fresh_database

REPOSITORY = Path(tael.__file__).resolve().parent.parent
MIGRATE = "import sys; from tael.store.migrate import migrate; print(migrate(sys.argv[1]))"
TABLES = {
    "app",
    "merchant",
    "wallet_provider",
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
    with fresh_database(postgres_server, "template1") as url:
        yield url


def tables_of(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row[0] for row in rows}


def test_an_empty_database_gets_every_table_and_a_second_time_nothing(empty_database_url: str) -> None:
    assert migrate(empty_database_url) == len(list(MIGRATIONS.glob("*.sql")))
    assert tables_of(empty_database_url) >= TABLES
    assert migrate(empty_database_url) == 0


def test_what_is_in_the_tables_stays(database_url: str) -> None:
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
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], [error for _, error in said]
    assert sum(int(out) for out, _ in said) == len(list(MIGRATIONS.glob("*.sql")))
    assert tables_of(empty_database_url) >= TABLES
