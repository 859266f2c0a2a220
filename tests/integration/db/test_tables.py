"""The declarations of tables agree with the migrated schema: columns, types, nullability, keys and homes."""

import pkgutil
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest

import tael
from tael.base.money import Money
from tael.base.pay_types import Wallet
from tael.db import migrate
from tael.db.tables import MONEY, Home, RowsMissing, Table, write_rows
from tael.merchants.store.merchants import app_table
from tael.operations.store import Store
from tests.support.store import CIPHER
from tests.support.values import NOW

MIGRATIONS: Final = Path(migrate.__file__).parent / "migrations"
COLUMNS: Final = """
SELECT column_name, data_type, is_nullable = 'YES' AS is_nullable FROM information_schema.columns
WHERE table_schema IN ('public', 'cell_00') AND table_name = $1
"""
KEY: Final = """
SELECT k.column_name FROM information_schema.table_constraints AS c
JOIN information_schema.key_column_usage AS k USING (constraint_schema, constraint_name, table_name)
WHERE c.table_schema IN ('public', 'cell_00') AND c.table_name = $1 AND c.constraint_type = 'PRIMARY KEY'
ORDER BY k.ordinal_position
"""
#: The standard's names of the types in declarations. An int is stored in either integer type.
STANDARD: Final = {
    "text": {"text"},
    "bigint": {"bigint", "integer"},
    "boolean": {"boolean"},
    "bytea": {"bytea"},
    "timestamptz": {"timestamp with time zone"},
    "date": {"date"},
    "text[]": {"ARRAY"},
    "jsonb": {"jsonb"},
}


def declared() -> list[Table[Any]]:
    """Every declaration in tael, found by importing all modules of all stores."""
    modules = [
        import_module(module.name)
        for module in pkgutil.walk_packages(tael.__path__, "tael.")
        if ".store." in module.name
    ]
    tables = {id(value): value for module in modules for value in vars(module).values()}
    found = [table for table in tables.values() if isinstance(table, Table)]
    return [*found, app_table(CIPHER)]


TABLES: Final = declared()


@pytest.mark.parametrize("table", TABLES, ids=[f"{t.name}-{t.row.__name__}" for t in TABLES])
async def test_a_declaration_has_columns_of_the_schema(store: Store, table: Table[Any]) -> None:
    schema = {
        row["column_name"]: (row["data_type"], row["is_nullable"])
        for row in await store.database.fetch(COLUMNS, table.name)
    }
    for column, kind in {**table.types, **table.internal}.items():
        assert schema[column][0] in STANDARD[kind], column
    for column, is_nullable in table.nullable.items():
        assert schema[column][1] is is_nullable, column
    assert tuple(row["column_name"] for row in await store.database.fetch(KEY, table.name)) == table.key


@pytest.mark.parametrize("name", sorted({table.name for table in TABLES}))
async def test_every_column_of_a_declared_table_is_declared(store: Store, name: str) -> None:
    schema = {row["column_name"] for row in await store.database.fetch(COLUMNS, name)}
    assert schema == {column for t in TABLES if t.name == name for column in (*t.columns, *t.internal)}


@pytest.mark.parametrize("table", TABLES, ids=[f"{t.name}-{t.row.__name__}" for t in TABLES])
def test_a_table_is_created_by_the_migrations_of_its_home(table: Table[Any]) -> None:
    homes = {
        home
        for home in Home
        for migration in (MIGRATIONS / home).glob("*.sql")
        if f"CREATE TABLE {table.name} (" in migration.read_text("utf-8")
    }
    assert homes == {table.home}


async def test_an_insert_of_fewer_rows_than_given_does_not_commit(store: Store) -> None:
    insert = "INSERT INTO serial (node, next_sequence) SELECT $1, 1 WHERE $2::boolean"
    await written(store, insert, 97, True)
    with pytest.raises(RowsMissing, match="1 rows to insert: INSERT 0 0"):
        await written(store, insert, 98, False)
    rows = await store.database.fetch("SELECT node FROM serial WHERE node IN (96, 97, 98)")
    assert [row["node"] for row in rows] == [97]


async def written(store: Store, insert: str, node: int, is_complete: bool) -> None:
    async with store.database.transaction() as connection:
        if not is_complete:
            await connection.execute("INSERT INTO serial (node, next_sequence) VALUES (96, 1)")
        await write_rows(connection, insert, 1, node, is_complete)


@dataclass(frozen=True, slots=True)
class Sample:
    """A row with a field of each way to be stored."""

    node: int
    wallet: Wallet | None
    amount: Money | None
    at: datetime


SAMPLE: Final = Table("sample", Home.CELL, Sample, ("node",), codecs={"amount": MONEY})


def test_statements_and_parameters_follow_from_the_declaration() -> None:
    assert SAMPLE.columns == ("node", "wallet", "amount_minor", "currency", "at")
    assert SAMPLE.unnest(("node", "at"), extra={"is_new": "boolean"}) == (
        "unnest($1::bigint[], $2::timestamptz[], $3::boolean[]) AS w (node, at, is_new)"
    )
    rows = [Sample(1, Wallet.ALIPAY, Money(5, "JPY"), NOW), Sample(2, None, None, NOW)]
    assert SAMPLE.arrays(rows, ("currency", "node", "wallet")) == [["JPY", None], (1, 2), ("alipay", None)]


def test_statements_of_one_row_follow_as_well() -> None:
    assert SAMPLE.insert_one("lease_until") == (
        "INSERT INTO sample (node, wallet, amount_minor, currency, at, lease_until) "
        "VALUES ($1, $2, $3, $4, $5, $6)"
    )
    assert SAMPLE.update_one(("wallet", "at")) == "UPDATE sample SET wallet = $2, at = $3 WHERE node = $1"
    assert SAMPLE.values(Sample(1, None, Money(5, "JPY"), NOW), ("currency", "node")) == ["JPY", 1]


async def test_a_row_is_read_as_it_was_written(store: Store) -> None:
    rows = [Sample(1, Wallet.ALIPAY, Money(5, "JPY"), NOW), Sample(2, None, None, NOW)]
    records = await store.database.fetch(
        f"SELECT {SAMPLE.select}, 'more' AS more FROM {SAMPLE.unnest(SAMPLE.columns)}",
        *SAMPLE.arrays(rows, SAMPLE.columns),
    )
    assert [SAMPLE.read(record) for record in records] == rows
