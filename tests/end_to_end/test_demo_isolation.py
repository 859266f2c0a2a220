"""A demo and its commands affect nothing else: neither a deployment's database nor a proxy."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tael.cli.isolation import isolated, without_callers
from tests.end_to_end.conftest import merchant_of
from tests.end_to_end.rig import END_LIMIT_S, ROOT, START_LIMIT_S, Demo, NotStarted, free_port_block
from tests.support.commands import clean_environment
from tests.support.postgres import open_folder, temporary_database

NOWHERE: Final = "http://127.0.0.1:9"
#: Variables that a developer's shell may export for other work.
EXPORTED: Final = {
    "TAEL_NODE": "not a node",
    "TAEL_ENCRYPTION_KEY": "not a key",
    "TAEL_WECHAT_URL": NOWHERE,
    "TAEL_CLOCK_FILE": "/nowhere/clock",
    "PGSSLMODE": "verify-full",
    "PGHOST": "db.invalid",
    "PGUSER": "someone",
    "HTTP_PROXY": NOWHERE,
    "http_proxy": NOWHERE,
    "https_proxy": NOWHERE,
    "ALL_PROXY": NOWHERE,
}
TABLES: Final = "SELECT tablename FROM pg_tables WHERE schemaname IN ('public', 'cell_00') ORDER BY tablename"


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture
def empty_database(postgres_server: str) -> Iterator[str]:
    with temporary_database(postgres_server, "template1") as url:
        yield url


def tables(database_url: str) -> list[str]:
    with psycopg.connect(database_url) as connection:
        return [str(row[0]) for row in connection.execute(TABLES)]


def test_a_demo_ignores_an_exported_database_of_a_deployment(folder: Path, empty_database: str) -> None:
    demo = Demo.start(folder, None, **EXPORTED, TAEL_DATABASE_URL=empty_database)
    try:
        assert demo.database_url != empty_database
        assert merchant_of(demo, "published").paid("800208").respcd == "0000"
        assert merchant_of(demo, "published").paid("800151").respcd == "0000"
        for command in (["app", "list", "--json"], ["trigger", "payment.paid"]):
            done = subprocess.run(
                [sys.executable, "-m", "tael.cli", *command, "--data", str(folder)],
                cwd=ROOT,
                env=clean_environment() | EXPORTED | {"TAEL_DATABASE_URL": empty_database},
                capture_output=True,
                text=True,
                timeout=END_LIMIT_S,
            )
            assert (done.returncode, done.stderr) == (0, ""), done.stderr
    finally:
        demo.end()
    assert tables(empty_database) == []


def test_a_demo_uses_an_empty_database_repeatedly_and_no_other_demo_may_use_it(
    folder: Path, empty_database: str
) -> None:
    log, notes = folder / "logs" / "worker.log", folder / "notes.txt"
    log.parent.mkdir()
    for file in (log, notes):  # the log is from an earlier demo, readable for all users
        file.write_text("mine")
        file.chmod(0o644)
    demo = Demo.start(folder, None, "--database-url", empty_database)
    try:
        assert demo.database_url == empty_database
        paid = merchant_of(demo, "published").paid("800208")
        made = demo.ask("app", "add")
    finally:
        demo.end()
    assert [file.stat().st_mode & 0o777 for file in (log, notes)] == [0o600, 0o644]

    again = Demo.start(folder, None, TAEL_DEMO_DATABASE_URL=empty_database)
    try:
        assert merchant_of(again, "published").row(paid["syssn"])["respcd"] == "0000"
        assert made["appcode"] in [app["appcode"] for app in again.ask("app", "list")]
    finally:
        again.end()

    with open_folder() as other, pytest.raises(NotStarted, match="contains apps that are not this demo's"):
        Demo.start(other, None, "--database-url", empty_database)


def test_a_demo_changes_nothing_in_another_programs_database(folder: Path, empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("CREATE TABLE customer (name text)")
    with pytest.raises(NotStarted) as refused:
        Demo.start(folder, None, "--database-url", empty_database)
    assert str(refused.value).startswith(
        "tael: --database-url: the database contains tables that are not tael's"
    )
    assert len(str(refused.value).splitlines()) == 1
    assert tables(empty_database) == ["customer"]


def test_a_demo_does_not_migrate_a_deployment_whose_schema_is_older(
    folder: Path, empty_database: str
) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("CREATE TABLE app (appcode text PRIMARY KEY, key_encrypted bytea NOT NULL)")
        connection.execute("INSERT INTO app VALUES ('SHOP', %s)", [os.urandom(60)])
    with pytest.raises(NotStarted, match="contains apps that are not this demo's"):
        Demo.start(folder, None, "--database-url", empty_database)
    assert tables(empty_database) == ["app"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://tael:hidden@127.0.0.1:9/x", "the database cannot be reached: "),
        ("postgresql://tael:hid#den@127.0.0.1/x", "not a valid database URL; "),
    ],
)
def test_a_database_that_cannot_be_used_is_one_sentence(folder: Path, url: str, reason: str) -> None:
    with pytest.raises(NotStarted) as refused:
        Demo.start(folder, None, "--database-url", url)
    assert str(refused.value).startswith(f"tael: --database-url: {reason}")
    assert len(str(refused.value).splitlines()) == 1
    assert "hid" not in str(refused.value)


def test_a_demo_for_people_prints_no_password_of_the_database(folder: Path, empty_database: str) -> None:
    printed = []
    with subprocess.Popen(
        [sys.executable, "-m", "tael.cli", "demo", "--port", str(free_port_block()), "--data", str(folder)],
        cwd=ROOT,
        env=clean_environment() | {"COLUMNS": "200", "TAEL_DEMO_DATABASE_URL": empty_database},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        too_late = threading.Timer(START_LIMIT_S, process.kill)
        too_late.start()
        for line in process.stdout:
            printed.append(line)
            if "Press Ctrl-C to stop" in line:
                process.send_signal(signal.SIGTERM)
        too_late.cancel()
    assert process.wait(END_LIMIT_S) == 0, printed
    password = empty_database.partition("@")[0].rpartition(":")[2]
    assert len(password) > 8
    assert password not in "".join(printed)


def test_the_files_of_a_demo_are_for_its_user_only(demo: Demo) -> None:
    merchant_of(demo, "published").paid("800208")
    files = [path for path in demo.folder.rglob("*") if path.is_file() and "postgres" not in path.parts]
    assert {"encryption.key", "worker.log", "sandbox.sqlite", "shop.sqlite"} <= {path.name for path in files}
    open_to_others = {str(path): oct(path.stat().st_mode) for path in files if path.stat().st_mode & 0o077}
    assert open_to_others == {}


def test_other_variables_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"PATH": "/bin", "LANG": "C", "PORT": "1", "NO_COLOR": "1"}
    assert without_callers(EXPORTED | kept) == kept
    monkeypatch.setenv("TAEL_NODE", "7")
    with isolated():
        assert "TAEL_NODE" not in os.environ
    assert os.environ["TAEL_NODE"] == "7"
