"""Rows that are only added cannot be changed: not by the owner as it is, nor by a role of the gateway's own."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from tael.db.grants import grant
from tael.db.migrate import migrate
from tests.support.citus import needs_plain_postgres
from tests.support.postgres import as_role, create_role, drop_role, temporary_database

pytestmark = needs_plain_postgres

ADDED_ONLY = (
    *("audit_entry", "cell_audit_entry", "ledger_entry", "ledger_digest"),
    *("webhook_attempt", "merchant_decision", "statement_line"),
)
#: Columns of theirs that are blanked.
BLANKED = {"webhook_attempt": "answer"}
#: Tables whose rows the gateway deletes: what has ended, is scheduled, or belongs to a refused applicant.
DELETED = {
    *("link_key", "maintenance_window", "merchant_application", "merchant_document", "oauth_grant"),
    *("payout_terms", "reference", "sign_in_attempt", "statement_due", "user_session"),
}
#: Tables whose rows are added or deleted, never updated.
NOT_UPDATED = {*ADDED_ONLY, "encryption_key", "merchant_document", "user_session"}
ROLE = "tael_gateway"


@pytest.fixture(scope="module")
def database_url(postgres_server: str) -> Iterator[str]:
    """A database as `tael migrate` makes it. Those of other tests let their owner change everything."""
    with temporary_database(postgres_server, "template1") as url:
        migrate(url)
        yield url


@pytest.fixture(scope="module")
def gateways_url(postgres_server: str, database_url: str) -> Iterator[str]:
    """The same for a role that may do what the gateway needs."""
    create_role(postgres_server, ROLE)
    grant(database_url, ROLE)
    grant(database_url, ROLE)  # as after an upgrade
    yield as_role(database_url, ROLE)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            f"REVOKE ALL ON ALL TABLES IN SCHEMA public, cell_00 FROM {ROLE};"
            f"REVOKE ALL ON SCHEMA public, cell_00 FROM {ROLE}"
        )
    drop_role(postgres_server, ROLE)


def refused(url: str, *statements: str) -> bool:
    """Whether the role of `url` lacks the right to each of them."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            with pytest.raises(InsufficientPrivilege):
                connection.execute(statement)
    return True


@pytest.mark.parametrize("table", ADDED_ONLY)
def test_the_owner_cannot_change_rows_that_are_only_added(database_url: str, table: str) -> None:
    (*_, column) = (name for name in _columns(database_url, table) if name != BLANKED.get(table))
    assert refused(
        database_url, f"UPDATE {table} SET {column} = NULL", f"DELETE FROM {table}", f"TRUNCATE {table}"
    )


def test_a_gateways_role_cannot_change_them_nor_help_itself(gateways_url: str) -> None:
    for table in ADDED_ONLY:
        assert refused(gateways_url, f"DELETE FROM {table}", f"TRUNCATE {table}", f"DROP TABLE {table}")
        with psycopg.connect(gateways_url) as connection:
            connection.execute(f"SELECT * FROM {table}")
            may_add = connection.execute(f"SELECT has_table_privilege('{table}', 'INSERT')").fetchone()
            assert may_add == (True,)
            connection.execute(f"GRANT UPDATE ON {table} TO CURRENT_USER")  # a warning: nothing is granted
        assert refused(gateways_url, f"DELETE FROM {table}")
    assert refused(gateways_url, "CREATE TABLE other (n int)", "DELETE FROM _yoyo_migration")


def test_personal_data_in_them_can_be_blanked_and_nothing_else(database_url: str, gateways_url: str) -> None:
    for url in (database_url, gateways_url):
        with psycopg.connect(url) as connection:
            for table, column in BLANKED.items():
                connection.execute(f"UPDATE {table} SET {column} = ''")
                others = set(_columns(database_url, table)) - {column}
                assert all(refused(url, f"UPDATE {table} SET {name} = NULL") for name in others)


def test_a_gateways_role_deletes_no_payment_and_nothing_that_belongs_to_it(gateways_url: str) -> None:
    with psycopg.connect(gateways_url) as connection:
        rows = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname IN ('public', 'cell_00')"
        ).fetchall()
        for table in DELETED:
            connection.execute(f"DELETE FROM {table}")
    others = {name for (name,) in rows} - DELETED
    assert {"payment", "refund", "reversal", "webhook", "unmatched_payment", "payout", "incident"} < others
    assert refused(gateways_url, *(f"DELETE FROM {table}" for table in others))


def _columns(url: str, table: str) -> list[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position",
            [table],
        )
        return [str(name) for (name,) in rows]
