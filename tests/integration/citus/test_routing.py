"""Citus sends each statement of the store to the one node that has the rows, as it is."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg
import pytest

from tael.db.tables import Home
from tests.architecture.test_statements import HOMES, READ_OR_WRITTEN, STATEMENTS
from tests.integration.payments.test_plans import is_statement, value_of
from tests.support import citus
from tests.support.citus import CELLS, DIRECTORY, Connection, Node, needs_citus

pytestmark = needs_citus

TYPES: Final = "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'planned'"
TABLE_TYPES: Final = """
SELECT DISTINCT c.relnamespace::regnamespace::text, t.citus_table_type
FROM citus_tables AS t JOIN pg_class AS c ON c.oid = t.table_name
"""


def home_of(statement: str) -> Home | None:
    """None for a statement about the server."""
    homes = {HOMES[table] for table in READ_OR_WRITTEN.findall(statement) if table in HOMES}
    return homes.pop() if homes else None


#: What names a table, by its home.
ROUTED: Final = {
    home: {
        name: statement
        for name, statement in STATEMENTS.items()
        if is_statement(statement) and home_of(statement) is home
    }
    for home in Home
}


def plans(connection: Connection, statements: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """By name, without those that are only a part of another statement."""
    for name, statement in statements.items():
        try:
            connection.execute(f"PREPARE planned AS {statement}".encode())
        except psycopg.ProgrammingError:
            continue
        yield name, plan_of_prepared(connection)
        connection.execute("DEALLOCATE planned")


def plan_of_prepared(connection: Connection) -> dict[str, Any]:
    (types,) = connection.execute(TYPES).fetchone() or ([],)
    assert isinstance(types, list)
    values = ", ".join(map(value_of, types))
    explain = f"EXPLAIN (FORMAT JSON) EXECUTE planned {f'({values})' if values else ''}"
    (document,) = connection.execute(explain.encode()).fetchone() or ([],)
    assert isinstance(document, list)
    plan: dict[str, Any] = document[0]["Plan"]
    return plan


def is_one_task_on(plan: Mapping[str, Any], node: Node) -> bool:
    query = plan.get("Distributed Query", {})
    nodes = [task["Node"] for task in query.get("Job", {}).get("Tasks", [])]
    return (
        "Subplans" not in query
        and len(nodes) == query["Job"]["Task Count"] == 1
        and nodes[0].startswith(f"host={node.host} port={node.port} ")
    )


@pytest.mark.parametrize("home", Home)
def test_every_statement_is_one_task_on_the_node_with_its_rows(database_url: str, home: Home) -> None:
    is_cell = home is Home.CELL
    node, path = (citus.node_of(CELLS[0]), CELLS[0]) if is_cell else (citus.nodes()[0], DIRECTORY)
    with psycopg.connect(node.url(path), autocommit=True) as connection:
        planned = dict(plans(connection, ROUTED[home]))
    assert len(planned) > (200 if is_cell else 40)
    assert [name for name, plan in planned.items() if not is_one_task_on(plan, node)] == []


def test_the_cells_are_on_different_nodes_and_the_directory_on_all(database_url: str) -> None:
    assert citus.node_of(CELLS[0]) != citus.node_of(CELLS[1])
    with psycopg.connect(citus.nodes()[0].url()) as connection:
        types = connection.execute(TABLE_TYPES).fetchall()
    assert set(types) == {(DIRECTORY, "reference"), *((cell, "schema") for cell in CELLS)}
