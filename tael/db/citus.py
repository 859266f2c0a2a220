"""Citus: its nodes, the directory on each of them, and moves of cells from one to another.

Such changes are made at the coordinator, which is the first server of the database URL.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from graphlib import TopologicalSorter
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from tael.db.database import DIRECTORY_SCHEMA
from tael.db.servers import address, of_primary

Connection = psycopg.Connection[tuple[Any, ...]]

HAS_CITUS: Final = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
#: Tables that one node has, each with those that it references.
LOCAL_TABLES: Final = """
SELECT c.relname::text, array_remove(array_agg(r.relname::text), NULL)
FROM pg_class AS c
LEFT JOIN pg_constraint AS f ON f.conrelid = c.oid AND f.contype = 'f' AND f.confrelid <> c.oid
LEFT JOIN pg_class AS r ON r.oid = f.confrelid
WHERE c.relnamespace = %s::text::regnamespace AND c.relkind = 'r'
  AND NOT EXISTS (SELECT FROM pg_dist_partition AS p WHERE p.logicalrelid = c.oid AND p.repmodel = 't')
GROUP BY c.oid
"""
COPY_TO_ALL: Final = "SELECT create_reference_table(%s::text::regclass)"
NODES: Final = """
SELECT nodename, nodeport FROM pg_dist_node
WHERE isactive AND shouldhaveshards AND noderole = 'primary' ORDER BY groupid
"""
NODE_OF: Final = """
SELECT DISTINCT nodename, nodeport FROM citus_shards AS s JOIN pg_class AS c ON c.oid = s.table_name
WHERE c.relnamespace = to_regnamespace(%s::text) AND c.relname = 'cell'
"""
#: A node that was added later has none yet. Rows are changed meanwhile.
COMPLETE_NODES: Final = "SELECT replicate_reference_tables('force_logical')"
MOVE: Final = "SELECT citus_schema_move(%s::text::regnamespace, %s::text, %s::integer, 'force_logical')"
#: For a server's response to the cancellation of a move.
CANCEL_S: Final = 5.0
#: Tables of a cell that are not in the write-ahead log, and so in no logical replication.
UNLOGGED: Final = ("rate_limit", "rate_limit_total")


class CannotMove(Exception):
    """A cell cannot be moved there. The text is a sentence for operators."""


def has_citus(connection: Connection) -> bool:
    row = connection.execute(HAS_CITUS).fetchone()
    return row is not None and bool(row[0])


def copy_directory(connection: Connection) -> None:
    """Make the directory's tables reference tables, which each node has. It can be interrupted and repeated."""
    tables: dict[str, list[str]] = dict(connection.execute(LOCAL_TABLES, [DIRECTORY_SCHEMA]).fetchall())
    for table in TopologicalSorter(tables).static_order():
        if table in tables:
            connection.execute(COPY_TO_ALL, [f"{DIRECTORY_SCHEMA}.{table}"])


def node_of_cell(database_url: str, schema: str) -> str:
    """Host and port of the node that has a cell. Raises CannotMove, psycopg.Error."""
    with psycopg.connect(of_primary(database_url), autocommit=True) as connection:
        if not has_citus(connection):
            raise CannotMove("this database has no Citus extension, which moves cells between its nodes")
        found = connection.execute(NODE_OF, [schema]).fetchone()
    if found is None:
        raise CannotMove(f"the schema {schema} is not distributed by Citus")
    return address(*found)


def move_cell(database_url: str, schema: str, node: str) -> None:
    """Move a cell to another node, given by host and port, while it is used. Raises CannotMove, psycopg.Error."""
    with psycopg.connect(of_primary(database_url), autocommit=True) as connection:
        nodes = _nodes(connection)
        if node not in nodes:
            raise CannotMove(f"{node} is no active node of Citus; these are: {', '.join(nodes)}")
        connection.execute(COMPLETE_NODES)
        with _all_logged(database_url, schema):
            try:
                connection.execute(MOVE, [schema, *nodes[node]])
            except KeyboardInterrupt:
                connection.cancel_safe(timeout=CANCEL_S)
                connection.close()
                raise


@contextmanager
def _all_logged(database_url: str, schema: str) -> Iterator[None]:
    """Within the block, no table is unlogged. If its end is not reached, some stay logged, and cost more."""
    _set_unlogged(database_url, schema, "LOGGED")
    try:
        yield
    finally:
        with suppress(psycopg.OperationalError):  # the move has raised why
            _set_unlogged(database_url, schema, "UNLOGGED")


def _set_unlogged(database_url: str, schema: str, setting: LiteralString) -> None:
    """A move that has been interrupted and not ended yet is waited for."""
    with psycopg.connect(of_primary(database_url), autocommit=True) as connection:
        for table in UNLOGGED:
            name = sql.Identifier(schema, table)
            connection.execute(sql.SQL("ALTER TABLE {} SET {}").format(name, sql.SQL(setting)))


def _nodes(connection: Connection) -> Mapping[str, tuple[str, int]]:
    """Those that may have cells."""
    return {address(*row): row for row in connection.execute(NODES).fetchall()}
