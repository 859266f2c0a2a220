"""A given server with Citus for tests: the directory in reference tables, and two cells, each on a node of its own.

`TAEL_TEST_CITUS` is the URL of the coordinator's database, for a superuser. The extension exists there and on two or
more workers, which are added. What an earlier run has left in the schemas is dropped. One run at a time, without `-n`.
"""

import os
import re
from dataclasses import dataclass
from typing import Final, LiteralString
from urllib.parse import urlencode, urlsplit, urlunsplit

import psycopg
import pytest
import sqlparse
from psycopg import sql

from tael.db.database import MIGRATIONS
from tael.db.tables import Home

COORDINATOR: Final = os.environ.get("TAEL_TEST_CITUS", "")
needs_citus: Final = pytest.mark.skipif(not COORDINATOR, reason="TAEL_TEST_CITUS is not set")
#: For tests of the plans of PostgreSQL itself, with tables that they change.
needs_plain_postgres: Final = pytest.mark.skipif(
    bool(COORDINATOR), reason="Citus plans otherwise, and changes tables on its coordinator only"
)

DIRECTORY: Final = "public"
CELLS: Final = ("cell_00", "cell_01")
TABLES: Final = """
SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = to_regnamespace(%s) AND c.relkind = 'r'
"""
NODE: Final = """
SELECT DISTINCT s.nodename, s.nodeport FROM citus_shards AS s JOIN pg_class AS c ON c.oid = s.table_name
WHERE c.relnamespace = to_regnamespace(%s)
"""
ADD_CELLS: Final = (
    "INSERT INTO public.cell_location (cell, servers) VALUES (0, ''), (1, '') ON CONFLICT DO NOTHING"
)
NODES: Final = "SELECT nodename, nodeport FROM pg_dist_node ORDER BY groupid"

CREATED: Final = [
    name
    for home in Home
    for path in sorted((MIGRATIONS / home).glob("*.sql"))
    for name in re.findall(r"^CREATE TABLE (\w+) \(", path.read_text("utf-8"), re.MULTILINE)
]

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Node:
    """A server of Citus; the first is the coordinator."""

    host: str
    port: int

    def url(self, *path: str) -> str:
        """Of connections to it, with this search path."""
        parts = urlsplit(COORDINATOR)
        login = parts.netloc.rpartition("@")[0]
        query = urlencode({"options": f"-csearch_path={','.join(path)}"})
        return urlunsplit(parts._replace(netloc=f"{login}@{self.host}:{self.port}", query=query))


def create_schemas() -> None:
    """Create the directory and the cells."""
    with _connected() as connection:
        for cell in CELLS:
            _execute(connection, "DROP SCHEMA IF EXISTS {} CASCADE", cell)
        for table in reversed(_tables(connection, DIRECTORY)):
            _execute(connection, "DROP TABLE {} CASCADE", table)
        _migrate(connection, Home.DIRECTORY)
        for table in _tables(connection, DIRECTORY):
            connection.execute("SELECT create_reference_table(%s)", [table])
        for cell in CELLS:
            connection.execute("SET citus.enable_schema_based_sharding = on")
            _execute(connection, "CREATE SCHEMA {}", cell)
            _execute(connection, "SET search_path = {}", cell)
            _migrate(connection, Home.CELL)
        connection.execute(ADD_CELLS)


def node_of(cell: str) -> Node:
    """The node with the rows of the cell."""
    with _connected() as connection:
        (found,) = connection.execute(NODE, [cell]).fetchall()
        return Node(str(found[0]), int(str(found[1])))


def nodes() -> list[Node]:
    """The coordinator, then the workers."""
    with _connected() as connection:
        return [Node(str(host), int(str(port))) for host, port in connection.execute(NODES)]


def empty_tables() -> None:
    """Delete all rows, and insert those of each cell again."""
    with _connected() as connection, connection.transaction():
        for schema in (*CELLS, DIRECTORY):
            for table in reversed(_tables(connection, schema)):
                _execute(connection, "DELETE FROM {}.{}", schema, table)
        connection.execute(ADD_CELLS)
        for number, cell in enumerate(CELLS):
            _add_row(connection, cell, number)


def _connected() -> Connection:
    return psycopg.connect(COORDINATOR, autocommit=True)


def _tables(connection: Connection, schema: str) -> list[str]:
    """In the order of the migrations: a table is behind those that it references. Citus changes that of their ids."""
    found = {str(name) for (name,) in connection.execute(TABLES, [schema])}
    return [name for name in CREATED if name in found]


def _migrate(connection: Connection, home: Home) -> None:
    """As `tael migrate`: each file is a transaction. Citus refuses several statements at once."""
    for path in sorted((MIGRATIONS / home).glob("*.sql")):
        with connection.transaction():
            for statement in sqlparse.split(path.read_text("utf-8")):
                connection.execute(statement.encode())


def _add_row(connection: Connection, cell: str, number: int) -> None:
    statement = sql.SQL("INSERT INTO {}.cell (is_here, number) VALUES (true, {})")
    connection.execute(statement.format(sql.Identifier(cell), number))


def _execute(connection: Connection, statement: LiteralString, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
