"""Rules of SQL in tael: the tables of a directory and of a cell may be on different servers."""

import pkgutil
import re
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

import pytest

import tael
from tael.db import migrate
from tael.db.citus import UNLOGGED
from tael.db.database import Database
from tael.db.due_queue import AccountQueue
from tael.db.privileges import PRIVILEGES, READ
from tael.db.tables import Home, Table
from tael.operations.store import store_over
from tael.retention.store.blanking import KEYS, blanking_statement
from tests.support.store import CIPHER

MIGRATIONS: Final = Path(migrate.__file__).parent / "migrations"
HOMES: Final = {
    table: home
    for home in Home
    for migration in (MIGRATIONS / home).glob("*.sql")
    for table in re.findall(r"^CREATE TABLE (\w+) \(", migration.read_text("utf-8"), re.MULTILINE)
}
WITH_IDENTITY: Final = frozenset(
    table
    for migration in MIGRATIONS.glob("*/*.sql")
    for table in re.findall(
        r"CREATE TABLE (\w+) \((?:[^;](?!CREATE))*? IDENTITY", migration.read_text("utf-8")
    )
)
#: Inserts rows of parameters, into the table of the group.
INSERTED: Final = re.compile(r"\bINSERT INTO (\w+)[^;]*\bFROM (?:unnest|generate_series)\(")
#: Its value or effect is that of one node.
OF_A_NODE: Final = re.compile(r"\bpg_(?:current|snapshot|control|walfile|advisory|try_advisory)\w*\(")
#: Of the node to which the client is connected; the directory is used on one.
ON_OUR_NODE: Final = frozenset(
    {
        "tael.payments.store.link_keys.LOCK",
        *(f"tael.merchants.store.encryption_keys.{name}" for name in ("TRY_LOCK", "UNLOCK")),
    }
)
#: Arithmetic with a column and an interval, which depends on the time zone of the session.
INTERVAL_OF_A_COLUMN: Final = re.compile(r"(?<![$\w:.])[a-z_][\w.]* [+-] (?:interval\b|\$\d+::interval)")
#: A value that a parameter is compared with. Citus adds a comparison with `true` when it sends an INSERT or UPDATE on.
CASE_OF_A_PARAMETER: Final = re.compile(r"\bCASE \$\d+ WHEN\b")
#: What Citus refuses to do with a distributed table. It accepts an identity column in CREATE TABLE.
REFUSED_BY_CITUS: Final = re.compile(
    r"\bSET (?:STORAGE|STATISTICS)\b|\bCLUSTER ON\b|\bADD COLUMN [^;]*\bIDENTITY\b|\bTRIGGER\b|\bINHERITS\b"
)
READ_OR_WRITTEN: Final = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|USING|TABLE) (\w+)")


def statements() -> dict[str, str]:
    """Constants of modules, each table's INSERT, and what queues, the search for due work and purge build, by name."""
    names = [each.name for each in pkgutil.walk_packages(tael.__path__, "tael.")]
    constants = {
        f"{name}.{constant}": value
        for name in names
        if not name.endswith("__main__")
        for constant, value in vars(import_module(name)).items()
    }
    tables = {value.name: value for value in constants.values() if isinstance(value, Table)}
    queues = {
        f"queue.{table.name}.{attribute}": value
        for table in tables.values()
        if "account_id" in table.columns
        for attribute, value in vars(AccountQueue(cast(Any, None), table)).items()
    }
    inserts = {
        f"{name}.insert": value.insert()
        for name, value in constants.items()
        if isinstance(value, Table) and value.home is Home.CELL and value.name not in WITH_IDENTITY
    }
    nowhere = Database("postgresql://none")
    store = store_over(nowhere, nowhere, CIPHER, 0)
    searches = {
        f"{part}.{name}": vars(getattr(store, part))[name]
        for part in ("due_work", "due_in_directory")
        for name in ("_statement", "_oldest_due")
    }
    purges = {
        f"purge.{table}.{'next' if after else 'first'}_page": blanking_statement(table, after)
        for table, key in KEYS.items()
        for after in (None, key)
    }
    return {
        name: value
        for name, value in (constants | queues | inserts | searches | purges).items()
        if isinstance(value, str) and re.search(r"\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM)\b", value)
    }


STATEMENTS: Final = statements()


def test_the_statements_are_found() -> None:
    assert len(STATEMENTS) > 60
    assert len(HOMES) > 15


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_names_tables_of_both_homes(name: str) -> None:
    homes = {HOMES[table] for table in READ_OR_WRITTEN.findall(STATEMENTS[name]) if table in HOMES}
    assert len(homes) <= 1, STATEMENTS[name]


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_inserts_within_a_with_query(name: str) -> None:
    assert not re.search(r"\(\s*INSERT INTO", STATEMENTS[name])


def test_rows_with_generated_numbers_are_inserted_one_by_one() -> None:
    """Citus refuses an INSERT of a SELECT that names a table of the cell and only parameters besides."""
    assert {"audit_entry", "cell_audit_entry"} == WITH_IDENTITY
    inserted = {into[1] for sql in STATEMENTS.values() if (into := INSERTED.search(sql))}
    assert not inserted & WITH_IDENTITY


def test_rows_of_parameters_are_inserted_into_a_cell_together_with_its_row() -> None:
    """Citus sends a statement to the node of the tables that its SELECT names, and `cell` is never optimized away.

    The directory has no such table.
    """
    inserts = {name: sql for name, sql in STATEMENTS.items() if INSERTED.search(sql)}
    assert len(inserts) > 40
    assert [name for name, sql in inserts.items() if " CROSS JOIN cell" not in sql] == []


def test_what_a_node_knows_is_read_on_the_node_of_the_cell() -> None:
    """Transaction ids, advisory locks and the timeline differ between the nodes of Citus."""
    of_a_node = {name for name, statement in STATEMENTS.items() if OF_A_NODE.search(statement)}
    at_a_cell = {name for name in of_a_node if re.search(r"(?:FROM|JOIN) cell\b", STATEMENTS[name])}
    assert of_a_node - at_a_cell == ON_OUR_NODE


def test_no_statement_has_a_case_of_a_parameter() -> None:
    """Citus makes "operator does not exist: text = boolean" of it. `CASE WHEN $1 = …` is the same."""
    assert [name for name, sql in STATEMENTS.items() if CASE_OF_A_PARAMETER.search(sql)] == []


def test_no_update_computes_with_a_column_and_an_interval() -> None:
    """Citus refuses it: "STABLE functions used in UPDATE queries cannot be called with column references"."""
    updates = {name: sql for name, sql in STATEMENTS.items() if re.search(r"\bUPDATE\b", sql)}
    assert len(updates) > 40
    assert [name for name, sql in updates.items() if INTERVAL_OF_A_COLUMN.search(sql)] == []


@pytest.mark.parametrize("path", sorted(MIGRATIONS.glob("*/*.sql")), ids=lambda path: path.name)
def test_every_constraint_has_a_name(path: Path) -> None:
    sql = re.sub(r"--[^\n]*|'[^']*'", "", path.read_text("utf-8"))
    constraints = re.findall(r"(\w+ \w+ )?\b(?:PRIMARY KEY|CHECK|UNIQUE \(|REFERENCES)", sql)
    assert constraints
    assert all(named.startswith("CONSTRAINT ") for named in constraints)


def test_foreign_keys_reference_tables_that_the_gateway_may_write() -> None:
    """Citus locks rows that are referenced, with the rights of the role that writes: reading is not enough."""
    migrations = "".join(path.read_text("utf-8") for path in MIGRATIONS.glob("*/*.sql"))
    referenced = set(re.findall(r"\bREFERENCES (\w+)", re.sub(r"--[^\n]*", "", migrations)))
    assert {"app", "merchant"} <= referenced
    assert [table for table in sorted(referenced) if PRIVILEGES[table] <= READ] == []


@pytest.mark.parametrize("path", sorted(MIGRATIONS.glob("*/*.sql")), ids=lambda path: path.name)
def test_citus_accepts_the_migrations(path: Path) -> None:
    """Their own test, with a server: `tests/integration/citus`."""
    assert not REFUSED_BY_CITUS.search(re.sub(r"--[^\n]*", "", path.read_text("utf-8")))


def test_a_move_knows_all_tables_that_logical_replication_leaves_out() -> None:
    migrations = "".join(path.read_text("utf-8") for path in (MIGRATIONS / Home.CELL).glob("*.sql"))
    assert sorted(UNLOGGED) == sorted(re.findall(r"ALTER TABLE (\w+) SET UNLOGGED", migrations))
    assert "CREATE UNLOGGED" not in migrations
