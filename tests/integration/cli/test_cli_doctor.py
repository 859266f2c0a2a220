"""`tael doctor`: a sound deployment has no problem, and each thing that goes wrong is named by its own check."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from tael.base.clock import RealClock
from tael.base.secret import Secret
from tael.cli.app import app
from tael.db.database import Database
from tael.db.roles import ROLES
from tael.db.server import read_server
from tael.merchants.domain.merchant import PUBLISHED_KEY
from tael.operations.server_checks import Expected, check_clock
from tael_demo.embedded.server import EmbeddedPostgres
from tests.support.citus import needs_plain_postgres
from tests.support.operator import fill, operator_of
from tests.support.postgres import create_login, drop_role, logged_in, open_folder, temporary_database
from tests.support.store import with_a_merchant
from tests.support.tls_postgres import TlsServer
from tests.support.values import ORIGIN, an_app

pytestmark = needs_plain_postgres

#: In the order of their dependencies.
CHECKS: Final = [
    *("settings", "secret-files", "database"),
    *("version", "tls", "durability", "connections", "clock", "migrations", "privileges", "role"),
    *("encryption-keys", "published-key", "certificates", "queues"),
]
OF_ROWS: Final = {"encryption-keys", "published-key", "certificates", "queues"}
GATEWAY: Final = "doctors_gateway"
OWNER: Final = "doctors_owner"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A database, whose administrator is at `admin_url`, and the settings of its gateway."""

    admin_url: str
    environment: dict[str, str]

    def sql(self, statement: str) -> None:
        """As the administrator."""
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement))

    def rows(self, *options: str, **settings: str) -> list[dict[str, str]]:
        """What `tael doctor --json` prints. Its exit status is 1 if and only if a check has failed."""
        done = CliRunner().invoke(app, ["doctor", "--json", *options], env=self.environment | settings)
        rows: list[dict[str, str]] = json.loads(done.stdout)
        assert done.exit_code == int(any(row["state"] == "failed" for row in rows)), done.output
        for row in rows:
            assert (row["state"] == "failed") == bool(row["problem"]) == bool(row["remedy"])
        return rows

    def problems(self, *options: str, **settings: str) -> dict[str, str]:
        """Of each check that fails, the first problem."""
        failed = [row for row in self.rows(*options, **settings) if row["state"] == "failed"]
        return {row["check"]: row["problem"] for row in reversed(failed)}

    def skipped(self, *options: str, **settings: str) -> set[str]:
        return {row["check"] for row in self.rows(*options, **settings) if row["state"] == "skipped"}


def deployment_at(admin_url: str, url: str, folder: Path) -> Deployment:
    environment = operator_of(url, folder).environment | {"TAEL_PUBLIC_URL": "https://pay.example"}
    return Deployment(admin_url, environment)


@pytest.fixture(scope="module")
def prepared(postgres_server: str) -> Iterator[str]:
    """The name of a database that `tael migrate --roles` has prepared, with logins for its owner and its gateway."""
    try:
        with temporary_database(postgres_server, "template1") as url:
            migrate(url)
            create_login(postgres_server, GATEWAY, "tael_app")
            create_login(postgres_server, OWNER, "tael_migrate")
            yield url.rpartition("/")[2]
    finally:
        for role in (GATEWAY, OWNER, *ROLES):
            drop_role(postgres_server, role)


@pytest.fixture
def deployment(postgres_server: str, prepared: str, tmp_path: Path) -> Iterator[Deployment]:
    """A copy of it."""
    with temporary_database(postgres_server, prepared) as url:
        yield deployment_at(url, logged_in(url, GATEWAY), tmp_path)


def migrate(url: str) -> None:
    done = CliRunner().invoke(app, ["migrate", "--roles"], env={"TAEL_DATABASE_URL": url})
    assert done.exit_code == 0, done.output


def fill_with_a_merchant(deployment: Deployment) -> None:
    """As one added today: the clock of tests is in the past, and so is the first day that is to be closed."""
    fill(deployment.admin_url, with_a_merchant)
    deployment.sql("UPDATE daily_close SET close_at = now()")


def test_a_sound_deployment_passes_every_check(deployment: Deployment) -> None:
    fill_with_a_merchant(deployment)
    rows = deployment.rows()
    assert [row["check"] for row in rows] == CHECKS
    assert {row["state"] for row in rows} == {"ok"}


def test_the_table_has_a_line_for_each_check_and_its_remedy(deployment: Deployment) -> None:
    done = CliRunner().invoke(
        app, ["doctor"], env=deployment.environment | {"TAEL_PUBLIC_URL": "http://pay.example"}
    )
    assert done.exit_code == 1
    assert all(name in done.stdout for name in CHECKS)
    assert "correct the environment" in done.stdout


# ---- settings ------------------------------------------------------------------------------------------------------


def test_without_valid_settings_nothing_else_is_checked(deployment: Deployment) -> None:
    assert "TAEL_NODE" in deployment.problems(TAEL_NODE="x")["settings"]
    assert deployment.skipped(TAEL_NODE="x") == {*CHECKS} - {"settings", "secret-files"}


@pytest.mark.parametrize(
    "setting", [{"TAEL_PUBLIC_URL": "http://pay.example"}, {"TAEL_WEBHOOK_LOOPBACK": "on"}]
)
def test_settings_with_which_serve_does_not_start_are_named(
    deployment: Deployment, setting: dict[str, str]
) -> None:
    problems = deployment.problems(**setting)
    assert problems.keys() == {"settings"}
    assert next(iter(setting)) in problems["settings"]


@pytest.mark.parametrize(("mode", "is_named"), [(0o600, False), (0o640, False), (0o644, True), (0o620, True)])
def test_a_secret_file_is_for_the_gateway_only(
    deployment: Deployment, tmp_path: Path, mode: int, is_named: bool
) -> None:
    file = tmp_path / "encryption.keys"
    file.write_text(deployment.environment["TAEL_ENCRYPTION_KEY"])
    file.chmod(mode)
    files = {"TAEL_ENCRYPTION_KEY": "", "TAEL_ENCRYPTION_KEY_FILE": str(file)}
    problems = deployment.problems(**files)
    assert problems.keys() == ({"secret-files"} if is_named else set())
    assert (
        deployment.problems(TAEL_ENCRYPTION_KEY_FILE=str(file)) == {}
    )  # not used: the variable itself is set


# ---- the server ----------------------------------------------------------------------------------------------------


def test_a_database_that_refuses_the_login_is_named_without_its_password(deployment: Deployment) -> None:
    url = deployment.environment["TAEL_DATABASE_URL"].replace(f"{GATEWAY}:{GATEWAY}", f"{GATEWAY}:mistaken")
    rows = deployment.rows(TAEL_DATABASE_URL=url)
    assert {row["check"] for row in rows if row["state"] == "failed"} == {"database"}
    assert {row["check"] for row in rows if row["state"] == "skipped"} == {*CHECKS[3:]}
    assert "mistaken" not in json.dumps(rows)


def test_a_database_with_another_encoding_is_named(postgres_server: str, deployment: Deployment) -> None:
    admin = Deployment(postgres_server, {})
    admin.sql("CREATE DATABASE doctors_latin ENCODING 'LATIN1' TEMPLATE template0")
    url = deployment.environment["TAEL_DATABASE_URL"].rpartition("/")[0] + "/doctors_latin"
    try:
        assert "LATIN1" in deployment.problems(TAEL_DATABASE_URL=url)["version"]
    finally:
        admin.sql("DROP DATABASE doctors_latin")


def test_settings_that_lose_commits_are_named(tmp_path: Path) -> None:
    """On a server of its own: they are the whole server's."""
    unsafe = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off", "synchronous_commit": "off"}
    with open_folder() as folder, EmbeddedPostgres(folder, unsafe) as postgres:
        rows = deployment_at(postgres.url, postgres.url, tmp_path).rows()
        named = [row["problem"].partition(" is ")[0] for row in rows if row["check"] == "durability"]
        assert named == ["fsync", "full_page_writes", "autovacuum", "synchronous_commit"]


def test_a_role_that_does_not_wait_for_the_disk_is_named(deployment: Deployment) -> None:
    deployment.sql(f"ALTER ROLE {GATEWAY} SET synchronous_commit = off")
    try:
        assert deployment.problems().keys() == {"durability"}
    finally:
        deployment.sql(f"ALTER ROLE {GATEWAY} RESET synchronous_commit")


def test_too_few_connections_for_all_processes_are_named(deployment: Deployment) -> None:
    """The demo's server has 100, of which 3 are reserved. By the manual: 4 x (12 + 9) + 2 x (2 + 2) + 3 = 95."""
    assert deployment.problems("--processes", "4") == {}
    assert "116" in deployment.problems("--processes", "5")["connections"]
    assert (
        deployment.problems("--processes", "5", TAEL_DATABASE_CONNECTIONS="8") == {}
    )  # 5 x (8 + 8) + 11 = 91


def three_seconds_ago() -> datetime:
    """The time of a host whose clock is behind."""
    return RealClock().now() - timedelta(seconds=3)


async def test_a_clock_that_differs_is_named(database_url: str) -> None:
    expected = Expected(1, 12, "prefer")
    async with Database(database_url) as database:
        assert not list(check_clock(await read_server(database, RealClock().now), expected))
        (problem,) = check_clock(await read_server(database, three_seconds_ago), expected)
    assert "3.0 s ahead" in problem.problem


def test_missing_and_unknown_migrations_are_named(deployment: Deployment) -> None:
    deployment.sql(
        "UPDATE cell_00._yoyo_migration SET migration_id = 'cell_9999' WHERE migration_id = 'cell_0001'"
    )
    problems = [row["problem"] for row in deployment.rows() if row["check"] == "migrations"]
    assert ["cell_0001" in problems[0], "cell_9999" in problems[1]] == [True, True]
    assert deployment.skipped() == OF_ROWS


def test_an_empty_database_is_named(postgres_server: str, deployment: Deployment) -> None:
    with temporary_database(postgres_server, "template1") as url:
        empty = replace(
            deployment, environment=deployment.environment | {"TAEL_DATABASE_URL": logged_in(url, GATEWAY)}
        )
        assert empty.problems().keys() == {"migrations"}
        assert empty.skipped() == OF_ROWS


@pytest.mark.parametrize("privilege", ["SELECT", "INSERT", "UPDATE"])
def test_a_privilege_that_the_gateway_lacks_is_named(deployment: Deployment, privilege: str) -> None:
    deployment.sql(f"REVOKE {privilege} ON payment FROM tael_app")
    assert deployment.problems() == {
        "privileges": f"the role {GATEWAY} lacks privileges on payment",
    }
    assert deployment.skipped() == OF_ROWS


def test_a_role_that_cannot_read_the_directory_is_named(deployment: Deployment) -> None:
    deployment.sql("REVOKE SELECT ON cell_location FROM tael_app")
    assert deployment.problems() == {
        "privileges": f"the role {GATEWAY} lacks privileges on cell_location",
    }
    assert deployment.skipped() == OF_ROWS


@pytest.mark.parametrize(
    "statement",
    [
        "GRANT UPDATE ON ledger_entry TO tael_app",
        "GRANT UPDATE (amount_minor) ON ledger_entry TO tael_app",
        "GRANT DELETE ON audit_entry TO tael_app",
        "GRANT TRUNCATE ON cell_audit_entry TO tael_app",
    ],
)
def test_a_role_that_can_change_the_ledger_or_the_audit_log_is_named(
    deployment: Deployment, statement: str
) -> None:
    deployment.sql(statement)
    problems = deployment.problems()
    assert problems.keys() == {"role"}
    assert statement.partition(" ON ")[2].partition(" ")[0] in problems["role"]


def test_the_owner_is_named_since_it_can_help_itself(deployment: Deployment) -> None:
    url = logged_in(deployment.admin_url, OWNER)
    assert "can grant itself" in deployment.problems(TAEL_DATABASE_URL=url)["role"]


def test_a_role_that_can_create_roles_is_named(deployment: Deployment) -> None:
    deployment.sql(f"ALTER ROLE {GATEWAY} CREATEROLE")
    try:
        assert "create roles" in deployment.problems()["role"]
    finally:
        deployment.sql(f"ALTER ROLE {GATEWAY} NOCREATEROLE")


def test_a_superuser_is_named(tls_postgres: TlsServer, tmp_path: Path) -> None:
    url = tls_postgres.url("postgres", "admin")
    assert "superuser" in deployment_at(url, url, tmp_path).problems()["role"]


# ---- what is stored ------------------------------------------------------------------------------------------------


def test_ciphertexts_under_a_missing_key_are_named(deployment: Deployment) -> None:
    fill_with_a_merchant(deployment)
    other = base64.b64encode(bytes(32)).decode()
    assert deployment.problems(TAEL_ENCRYPTION_KEY=other).keys() == {"encryption-keys", "published-key"}
    both = f"{other},{deployment.environment['TAEL_ENCRYPTION_KEY']}"
    assert deployment.problems(TAEL_ENCRYPTION_KEY=both) == {}


def test_an_app_with_the_published_key_is_named(deployment: Deployment) -> None:
    published = replace(an_app(), key=Secret(PUBLISHED_KEY))
    fill(deployment.admin_url, lambda store: store.merchants.add_app(published, ORIGIN))
    problems = deployment.problems()
    assert problems.keys() == {"published-key"}
    assert published.appcode in problems["published-key"]


@pytest.mark.parametrize(("days", "names"), [(-1, {"certificates"}), (1, set())])
def test_an_account_whose_certificate_has_expired_is_named(
    deployment: Deployment, days: int, names: set[str]
) -> None:
    """One that ends soon is an incident's subject: the worker has checked it."""
    fill_with_a_merchant(deployment)
    deployment.sql(
        f"UPDATE wallet_account SET certificate_expires_at = now() + interval '{days} days', "
        "certificate_check_at = now() WHERE protocol = 'wechat_v2'"
    )
    assert deployment.problems().keys() == names


@pytest.mark.parametrize(("minutes", "names"), [(11, {"queues"}), (9, set())])
def test_rows_that_nothing_takes_are_named(deployment: Deployment, minutes: int, names: set[str]) -> None:
    deployment.sql(
        f"INSERT INTO daily_close (mchid, close_at) VALUES ('1', now() - interval '{minutes} minutes')"
    )
    problems = deployment.problems()
    assert problems.keys() == names
    assert all("daily_close" in problem for problem in problems.values())


def test_a_row_that_a_worker_holds_is_not_late(deployment: Deployment) -> None:
    deployment.sql(
        "INSERT INTO daily_close (mchid, close_at, lease_until) "
        "VALUES ('1', now() - interval '1 hour', now() + interval '1 hour')"
    )
    assert deployment.problems() == {}
