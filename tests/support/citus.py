"""A given cluster with Citus for tests: the directory on all nodes, and two cells, each on a node of its own.

`TAEL_TEST_CITUS` is the URL of a database of the coordinator, for a superuser, in which two or more workers are added.
Tests create databases of their own on all nodes, and drop them. One run at a time, without `-n`.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, LiteralString
from urllib.parse import urlencode, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from tael.db.cells import CellLocation
from tael.db.citus import move_cell
from tael.db.database import MIGRATIONS
from tael.db.migrate import migrate, migrate_cell
from tael.db.tables import Home

COORDINATOR: Final = os.environ.get("TAEL_TEST_CITUS", "")
#: The name of a shard, which connections of the gateway see besides the tables.
SHARD: Final = "_[0-9]{6}$"
#: Connections go to the coordinator instead of to the node of the test's cell.
GOES_THROUGH_COORDINATOR: Final = bool(os.environ.get("TAEL_TEST_CITUS_COORDINATOR"))
needs_citus: Final = pytest.mark.skipif(not COORDINATOR, reason="TAEL_TEST_CITUS is not set")
#: For tests of waits for locks.
needs_direct_connections: Final = pytest.mark.skipif(
    GOES_THROUGH_COORDINATOR,
    reason="locks and lock_timeout are those of the node to which a client is connected",
)
#: For tests of PostgreSQL's own plans, of tables, roles and servers that they create or change, and of one cell.
needs_plain_postgres: Final = pytest.mark.skipif(
    bool(COORDINATOR),
    reason="Citus plans otherwise, changes tables on its coordinator only, and has two cells in tests",
)

#: The database of tests, which is created on each node, and the one in the URL.
TESTS: Final = "tael_tests"
GIVEN: Final = urlsplit(COORDINATOR).path.removeprefix("/")
DIRECTORY: Final = "public"
CELLS: Final = ("cell_00", "cell_01")
NODE: Final = """
SELECT DISTINCT s.nodename, s.nodeport FROM citus_shards AS s JOIN pg_class AS c ON c.oid = s.table_name
WHERE c.relnamespace = to_regnamespace(%s)
"""
ADD_CELLS: Final = (
    "INSERT INTO public.cell_location (cell, servers) VALUES (0, ''), (1, '') ON CONFLICT DO NOTHING"
)
#: Of a server on this machine: the file with the process's number, the folder of its data, and that of its programs.
SERVER: Final = """
SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::integer, current_setting('data_directory'),
    (SELECT setting FROM pg_config WHERE name = 'BINDIR')
"""
NODES: Final = "SELECT nodename, nodeport FROM pg_dist_node ORDER BY groupid"

#: The tables of each home, each behind those that it references.
CREATED: Final = {
    home: [
        name
        for path in sorted((MIGRATIONS / home).glob("*.sql"))
        for name in re.findall(r"^CREATE TABLE (\w+) \(", path.read_text("utf-8"), re.MULTILINE)
    ]
    for home in Home
}

MAX_STARTS: Final = 40
START_AGAIN_S: Final = 0.25
#: Nothing of ours: the server connects to the others with what it finds in the home of its user.
ENVIRONMENT: Final = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Node:
    """A server of Citus; the first is the coordinator."""

    host: str
    port: int

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def url(self, *path: str, database: str = TESTS) -> str:
        """Of connections to one of its databases, with this search path."""
        query = urlencode({"options": f"-csearch_path={','.join(path)}"}) if path else ""
        return urlunsplit(
            urlsplit(COORDINATOR)._replace(netloc=self._netloc, path=f"/{database}", query=query)
        )

    @property
    def _netloc(self) -> str:
        return f"{urlsplit(COORDINATOR).netloc.rpartition('@')[0]}@{self.address}"

    def kill(self) -> "Killed":
        """End its server, which must be on this machine, without any warning."""
        with psycopg.connect(self.url(database=GIVEN)) as connection:
            pid, folder, programs = connection.execute(SERVER).fetchone() or (0, "", "")
        os.kill(int(str(pid)), signal.SIGKILL)
        return Killed(str(folder), str(programs))


@dataclass(frozen=True, slots=True)
class Killed:
    """A server that was killed."""

    folder: str
    programs: str

    def start(self) -> None:
        """Its processes must have noticed that the first one is gone, which takes them a moment."""
        command = [f"{self.programs}/pg_ctl", "start", "-w", "-s", "-D", self.folder, "-l", os.devnull]
        user = os.stat(self.folder).st_uid if os.geteuid() == 0 else None
        for _ in range(MAX_STARTS):
            done = subprocess.run(
                command, check=False, user=user, cwd="/", env=ENVIRONMENT, capture_output=True
            )
            if done.returncode == 0:
                return
            time.sleep(START_AGAIN_S)
        raise AssertionError(f"{self.folder} does not start")


@contextmanager
def migrated() -> Iterator[str]:
    """The URL of the database of tests, with two cells, each on a node of its own."""
    with database(TESTS) as url:
        migrate(url)
        migrate_cell(url, CellLocation(1))
        with _connected() as connection:
            connection.execute(ADD_CELLS)
        for cell, node in zip(CELLS, nodes()[1:], strict=False):
            if node_of(cell) != node:
                move_cell(url, cell, node.address)
        yield url


def node_of(cell: str) -> Node:
    """The node with the rows of the cell."""
    with _connected() as connection:
        (found,) = connection.execute(NODE, [cell]).fetchall()
        return Node(str(found[0]), int(str(found[1])))


def nodes() -> list[Node]:
    """The coordinator, then the workers."""
    with psycopg.connect(COORDINATOR) as connection:
        return [Node(str(host), int(str(port))) for host, port in connection.execute(NODES)]


def empty_tables() -> None:
    """Delete all rows, and insert those of each cell again."""
    with _connected() as connection, connection.transaction():
        for schema in (*CELLS, DIRECTORY):
            for table in reversed(CREATED[Home.DIRECTORY if schema == DIRECTORY else Home.CELL]):
                _execute(connection, "DELETE FROM {}.{}", schema, table)
        connection.execute(ADD_CELLS)
        for number, cell in enumerate(CELLS):
            _add_row(connection, cell, number)


@contextmanager
def database(name: str) -> Iterator[str]:
    """The URL of a new database with the same nodes: the coordinator first."""
    cluster = nodes()
    _drop(name, cluster)
    try:
        for node in cluster:
            _execute_at(node.url(database=GIVEN), "CREATE DATABASE {}", name)
            _execute_at(node.url(database=name), "CREATE EXTENSION citus")
        coordinator, *workers = cluster
        with psycopg.connect(coordinator.url(database=name), autocommit=True) as connection:
            connection.execute(
                "SELECT citus_set_coordinator_host(%s, %s)", [coordinator.host, coordinator.port]
            )
            for node in workers:
                connection.execute("SELECT citus_add_node(%s, %s)", [node.host, node.port])
        hosts = ",".join(node.address for node in cluster)
        login = urlsplit(COORDINATOR).netloc.rpartition("@")[0]
        yield urlunsplit(urlsplit(COORDINATOR)._replace(netloc=f"{login}@{hosts}", path=f"/{name}"))
    finally:
        _drop(name, cluster)


def drop_roles(*names: str) -> None:
    """Of all nodes. They own nothing any more."""
    for node in nodes():
        for name in names:
            _execute_at(node.url(database="postgres"), "DROP ROLE IF EXISTS {}", name)


def _drop(name: str, cluster: list[Node]) -> None:
    for node in cluster:
        _execute_at(node.url(database=GIVEN), "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def _execute_at(url: str, statement: LiteralString, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        _execute(connection, statement, *names)


def _connected() -> Connection:
    return psycopg.connect(nodes()[0].url(), autocommit=True)


def _add_row(connection: Connection, cell: str, number: int) -> None:
    statement = sql.SQL("INSERT INTO {}.cell (is_here, number) VALUES (true, {})")
    connection.execute(statement.format(sql.Identifier(cell), number))


def _execute(connection: Connection, statement: LiteralString, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
