"""`tael migrate --roles`: what logins with each of the group roles may do, for every table in the catalog."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, UndefinedTable
from typer.testing import CliRunner

from tael.cli.app import app
from tael.db.database import MIGRATIONS
from tests.integration.db.test_grants import ADDED_ONLY, BLANKED, DELETED, NOT_UPDATED
from tests.support.citus import needs_plain_postgres
from tests.support.operator import operator_of
from tests.support.postgres import create_login, drop_role, logged_in, temporary_database

pytestmark = needs_plain_postgres

OUR_SCHEMA: Final = "relnamespace IN ('public'::regnamespace, 'cell_00'::regnamespace)"
GROUPS: Final = ("tael_migrate", "tael_app", "tael_read")
LOGINS: Final = {"owners_login": "tael_migrate", "apps_login": "tael_app", "readers_login": "tael_read"}
#: Which cells there are, which only the owner changes.
READ_ONLY: Final = {"cell", "cell_location"}
#: Of the tool that applies migrations.
YOYO: Final = {
    f"{schema}{name}"
    for schema in ("", "cell_00.")
    for name in ("_yoyo_log", "_yoyo_migration", "_yoyo_version", "yoyo_lock")
}
#: With ciphertexts, password hashes, digests of tokens, or the secret part of an address.
SECRETS: Final = {
    *("app.key_encrypted", "app.previous_key_encrypted", "link_key.key_encrypted"),
    *("wallet_account.credentials_encrypted", "wallet_account.previous_credentials_encrypted"),
    *("merchant_application.application_encrypted", "merchant_user.password_hash"),
    *("user_session.session_digest", "oauth_grant.code_digest"),
    *("oauth_token.access_digest", "oauth_token.refresh_digest", "checkout_link.link_id"),
}
#: They look like secrets and are none: public ids of keys, digests that prove content, a public PKCE challenge.
HARMLESS: Final = {
    *(
        "encryption_key.encryption_key_id",
        "link_key.key_id",
        "oauth_grant.code_challenge",
        "oauth_grant.code_used_at",
    ),
    *("ledger_digest.digest", "app.previous_key_until", "wallet_account.previous_credentials_until"),
    *("_yoyo_log.migration_hash", "_yoyo_migration.migration_hash"),
    *("webhook.body", "webhook_attempt.answer", "statement.packed"),
}
SECRET_LOOKS: Final = re.compile(r"key|secret|token|password|hash|digest|credential|code_|encrypted")


@pytest.fixture(scope="module")
def database_url(postgres_server: str) -> Iterator[str]:
    """A database that `tael migrate --roles` has prepared, as an operator would, and a login of each role."""
    try:
        with temporary_database(postgres_server, "template1") as url:
            migrated(url, "--roles")
            for login, group in LOGINS.items():
                create_login(postgres_server, login, group)
            yield url
    finally:
        for role in (*LOGINS, *GROUPS):
            drop_role(postgres_server, role)


def migrated(url: str, *options: str) -> str:
    """What a `tael migrate` prints that succeeds."""
    done = CliRunner().invoke(app, ["migrate", *options], env={"TAEL_DATABASE_URL": url})
    assert done.exit_code == 0, done.output
    return done.stdout


def columns_of(url: str) -> dict[str, list[str]]:
    """The columns of every table. A view or another kind of relation would need privileges of its own."""
    with psycopg.connect(url) as connection:
        kinds = connection.execute(
            f"SELECT DISTINCT relkind FROM pg_class WHERE {OUR_SCHEMA} ORDER BY 1"
        ).fetchall()
        assert {kind for (kind,) in kinds} <= {"r", "i", "S"}
        return dict(
            connection.execute(
                "SELECT attrelid::regclass::text, array_agg(attname::text ORDER BY attnum) FROM pg_attribute "
                f"JOIN pg_class ON pg_class.oid = attrelid WHERE {OUR_SCHEMA} "
                "AND relkind = 'r' AND attnum > 0 AND NOT attisdropped GROUP BY attrelid"
            ).fetchall()
        )


class Login:
    """A connection of a role, which tries statements and undoes each."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def may(self, statement: str, table: str = "other", column: str = "") -> bool:
        """Whether it may execute this. Any error but the want of a privilege is raised.

        Without that for the schema of a table, the table is not found.
        """
        names = {"table": sql.Identifier(*table.split(".")), "column": sql.Identifier(column)}
        try:
            with self._connection.transaction(force_rollback=True):
                self._connection.execute(sql.SQL(statement).format(**names))
        except (InsufficientPrivilege, UndefinedTable):
            return False
        return True

    def tables(self, columns: dict[str, list[str]], *statements: str) -> set[str]:
        """The tables on which it may execute one of these, with a column that is not one that may be blanked."""
        last = {
            table: [name for name in names if name != BLANKED.get(table)][-1]
            for table, names in columns.items()
        }
        return {
            table
            for table, column in last.items()
            if any(self.may(statement, table, column) for statement in statements)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


@pytest.fixture
def login(database_url: str) -> Iterator[Callable[[str], Login]]:
    """Logs in as one of `LOGINS`."""
    with ExitStack() as opened:
        yield lambda name: opened.enter_context(Login(logged_in(database_url, name)))


SELECT: Final = "SELECT {column} FROM {table} LIMIT 0"
INSERT: Final = "INSERT INTO {table} ({column}) SELECT NULL WHERE false"
UPDATE: Final = "UPDATE {table} SET {column} = NULL WHERE false"
DELETE: Final = "DELETE FROM {table} WHERE false"
TRUNCATE: Final = "TRUNCATE {table} CASCADE"
ADD_COLUMN: Final = "ALTER TABLE {table} ADD COLUMN added integer"
DROP: Final = "DROP TABLE {table} CASCADE"
CREATE: Final = "CREATE TABLE {table} (n integer)"


LogIn = Callable[[str], Login]


def test_the_app_reads_and_adds_everywhere_and_updates_and_deletes_some_rows(
    database_url: str, login: LogIn
) -> None:
    its, columns = login("apps_login"), columns_of(database_url)
    assert its.tables(columns, SELECT) == set(columns)
    assert its.tables(columns, INSERT) == set(columns) - YOYO - READ_ONLY
    assert its.tables(columns, UPDATE) == set(columns) - YOYO - READ_ONLY - NOT_UPDATED
    assert its.tables(columns, DELETE) == DELETED
    assert all(its.may(UPDATE, table, column) for table, column in BLANKED.items())


def test_the_app_changes_no_table_and_no_privilege(database_url: str, login: LogIn) -> None:
    its, columns = login("apps_login"), columns_of(database_url)
    assert its.tables(columns, TRUNCATE, ADD_COLUMN, DROP) == set()
    with psycopg.connect(logged_in(database_url, "apps_login")) as connection:
        connection.execute("GRANT UPDATE ON ledger_entry TO CURRENT_USER")  # a warning: nothing is granted
    assert not its.may(UPDATE, "ledger_entry", "kind")
    assert not its.may(CREATE)
    assert not its.may("SET ROLE tael_migrate")


def test_readers_read_every_column_but_secrets(database_url: str, login: LogIn) -> None:
    its, columns = login("readers_login"), columns_of(database_url)
    refused = {
        f"{table}.{name}"
        for table, names in columns.items()
        for name in names
        if not its.may(SELECT, table, name)
    }
    assert refused == SECRETS


def test_readers_change_nothing(database_url: str, login: LogIn) -> None:
    its, columns = login("readers_login"), columns_of(database_url)
    assert its.tables(columns, INSERT, UPDATE, DELETE, TRUNCATE, ADD_COLUMN, DROP) == set()
    assert not its.may(CREATE)


def test_what_looks_like_a_secret_is_one_or_is_listed_as_harmless(database_url: str) -> None:
    """A new column with another kind of name, or with bytes in it, does not become readable unnoticed."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT table_name || '.' || column_name, column_name, data_type FROM information_schema.columns "
            "WHERE table_schema IN ('public', 'cell_00')"
        ).fetchall()
    looks_secret = {full for full, name, kind in rows if SECRET_LOOKS.search(name) or kind == "bytea"}
    assert looks_secret == HARMLESS | SECRETS - {"checkout_link.link_id"}


def test_the_owners_login_owns_every_table_and_migrates(database_url: str, login: LogIn) -> None:
    its, columns = login("owners_login"), columns_of(database_url)
    with psycopg.connect(database_url) as connection:
        owners = connection.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('public', 'cell_00')"
        ).fetchall()
    assert owners == [("tael_migrate",)]
    assert its.tables(columns, ADD_COLUMN) == set(columns)
    assert its.tables(columns, UPDATE, DELETE) == set(columns) - set(ADDED_ONLY)
    for options in ((), ("--roles",)):
        assert migrated(logged_in(database_url, "owners_login"), *options) == "the schema is up to date\n"


def test_tables_of_a_later_migration_get_the_same_owner_and_privileges(
    database_url: str, login: LogIn
) -> None:
    """As if the tables of the directory were new: the owner's login creates them in an upgrade, without an option."""
    url = logged_in(database_url, "owners_login")
    files = "".join(path.read_text() for path in (MIGRATIONS / "directory").glob("*.sql"))
    tables = ", ".join(re.findall(r"CREATE TABLE (\w+)", files))
    with psycopg.connect(url) as connection:
        connection.execute(f"DROP TABLE {tables}")
        connection.execute("DELETE FROM _yoyo_migration WHERE migration_id LIKE 'directory%'")
    assert migrated(url) == "1 migrations applied\n"
    test_the_owners_login_owns_every_table_and_migrates(database_url, login)
    test_the_app_reads_and_adds_everywhere_and_updates_and_deletes_some_rows(database_url, login)
    test_readers_read_every_column_but_secrets(database_url, login)
    test_readers_change_nothing(database_url, login)


def test_a_version_without_a_migration_gets_its_privileges_too(database_url: str, login: LogIn) -> None:
    """As if the version before had needed fewer."""
    its, owner = login("apps_login"), logged_in(database_url, "owners_login")
    with psycopg.connect(owner) as connection:
        connection.execute("REVOKE UPDATE ON payment FROM tael_app")
        connection.execute("GRANT DELETE ON payment TO tael_app")
    assert (its.may(UPDATE, "payment", "state"), its.may(DELETE, "payment")) == (False, True)
    assert migrated(owner) == "the schema is up to date\n"
    assert (its.may(UPDATE, "payment", "state"), its.may(DELETE, "payment")) == (True, False)


def test_the_apps_login_may_run_migrate_when_nothing_is_missing(database_url: str) -> None:
    assert migrated(logged_in(database_url, "apps_login")) == "the schema is up to date\n"


def test_roles_take_over_a_database_that_was_migrated_without_them(
    postgres_server: str, database_url: str
) -> None:
    """The roles exist, for `database_url`; the other database is on the same server."""
    with temporary_database(postgres_server, "template1") as url:
        migrated(url)
        with Login(logged_in(url, "apps_login")) as its:
            assert its.tables(columns_of(url), SELECT, INSERT) == set()
            migrated(url, "--roles")
            assert its.tables(columns_of(url), SELECT) == set(columns_of(url))


def test_a_table_in_use_is_not_waited_for(postgres_server: str, database_url: str, tmp_path: Path) -> None:
    """Its change of owner would make all other transactions wait as well. Nothing is changed."""
    with temporary_database(postgres_server, "template1") as url:
        migrated(url)
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE payment IN ACCESS SHARE MODE")
            assert "stop the gateway" in operator_of(url, tmp_path).is_refused("migrate", "--roles", code=1)
            owners = (
                "SELECT count(*) FROM pg_tables "
                "WHERE schemaname IN ('public', 'cell_00') AND tableowner = 'tael_migrate'"
            )
            assert connection.execute(owners).fetchone() == (0,)
        assert migrated(url, "--roles") == "the schema is up to date\n"


def test_a_role_without_createrole_is_refused_in_one_line(postgres_server: str, tmp_path: Path) -> None:
    """Before it migrates anything."""
    with temporary_database(postgres_server, "template1") as url:
        create_login(postgres_server, "plain_login")
        try:
            operator = operator_of(logged_in(url, "plain_login"), tmp_path)
            assert "CREATEROLE" in operator.is_refused("migrate", "--roles", code=1)
        finally:
            drop_role(postgres_server, "plain_login")


def test_a_member_that_owns_nothing_is_refused_in_one_line(
    postgres_server: str, database_url: str, tmp_path: Path
) -> None:
    """The tables belong to the login that migrated them, and the schema to the owner of the database."""
    with temporary_database(postgres_server, "template1") as url:
        migrated(url)
        operator = operator_of(logged_in(url, "owners_login"), tmp_path)
        assert "owner of the database" in operator.is_refused("migrate", "--roles", code=2)
