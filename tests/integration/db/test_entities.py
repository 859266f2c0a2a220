"""docs/entities.md shows the tables that a migrated database has."""

import re
from pathlib import Path
from typing import Final

import psycopg

from docs.schema import read_tables
from tests.support.citus import needs_plain_postgres

pytestmark = needs_plain_postgres

ROOT: Final = Path(__file__).resolve().parents[3]
PAGE: Final = (ROOT / "docs" / "entities.md").read_text("utf-8")
#: yoyo's own tables are not ours.
COLUMNS: Final = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
        EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey))
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'cell_00'::regnamespace)
        AND a.attnum > 0 AND NOT a.attisdropped AND c.relname !~ 'yoyo'
"""


def test_the_tables_that_are_read_from_sql_are_those_of_the_database(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(COLUMNS).fetchall()
    database = {
        (table, column, kind.replace("timestamp with time zone", "timestamptz"), is_nullable, is_key)
        for table, column, kind, is_nullable, is_key in rows
    }
    read = {
        (table.name, column.name, column.type, column.is_nullable, column.name in table.primary_key)
        for table in read_tables(ROOT).values()
        for column in table.columns.values()
    }
    assert read == database


def test_every_table_of_the_database_is_in_the_diagram_and_has_a_section(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        tables = {row[0] for row in connection.execute(COLUMNS)}
    assert tables
    assert set(re.findall(r"^    (\w+) \{$", PAGE, re.MULTILINE)) == tables
    assert set(re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)) == tables


def test_the_solid_lines_are_the_foreign_keys_of_the_database(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        keys = connection.execute(
            "SELECT confrelid::regclass::text, conrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
        ).fetchall()
    assert sorted(re.findall(r"^    (\w+) \S+--o\{ (\w+) :", PAGE, re.MULTILINE)) == sorted(keys)
