"""A gateway on Citus: it is connected to the node of each cell, follows one that moves, and outlives the other nodes.

The servers are on this machine and are killed, so nothing else may use them.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psycopg
import pytest

from tael.db.cells import LOCATIONS_S
from tael.db.roles import APP, ROLES
from tests.end_to_end.rig import END_LIMIT_S, ROOT, free_port_block
from tests.end_to_end.test_demo import run_demo
from tests.support import citus
from tests.support.citus import CELLS, Node, needs_citus
from tests.support.operator import Operator, operator_of
from tests.support.payment_load import (
    ENOUGH,
    OTHER_MCHID,
    SENDERS,
    Load,
    Rows,
    add_merchants,
    booked,
    check,
    under_load,
)
from tests.support.postgres import create_login, drop_role, logged_in, open_folder
from tests.support.values import MCHID

pytestmark = needs_citus

TABLES: Final = """
SELECT c.relname, coalesce(t.citus_table_type, 'local')
FROM pg_class AS c LEFT JOIN citus_tables AS t ON t.table_name = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
"""
#: Connections of the gateway that were used a moment ago.
SESSIONS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'tael' AND query_start > now() - interval '0.5 s'
"""
GATEWAY: Final = "gateway_of_cluster"
MOVING: Final = """
SELECT pid FROM pg_stat_activity
WHERE state = 'active' AND query LIKE 'SELECT citus_schema_move%' AND pid <> pg_backend_pid()
"""
UNLOGGED_TABLES: Final = """
SELECT relname FROM pg_class WHERE relnamespace = 'cell_01'::regnamespace AND relkind = 'r' AND relpersistence = 'u'
ORDER BY 1
"""
#: As a shell has it: 128 and the number of the signal.
INTERRUPTED: Final = 130
#: Seconds until a process has found a cell that has moved.
FOLLOWS_S: Final = LOCATIONS_S + 5
POLL_S: Final = 0.2


@pytest.fixture
def url() -> Iterator[str]:
    with citus.database("tael_cluster") as url:
        yield url
    citus.drop_roles(*ROLES)


@pytest.fixture
def operator(url: str, tmp_path: Path) -> Operator:
    return operator_of(url, tmp_path)


@pytest.fixture
def nodes(operator: Operator, url: str) -> list[Node]:
    """The coordinator, that of the first cell, and that of the second one."""
    coordinator, first, second = citus.nodes()[:3]
    operator.run("migrate", "--roles")
    operator.run("cell", "add", "1")
    operator.run("cell", "move", "0", "--to", first.address)
    operator.run("cell", "move", "1", "--to", second.address)
    return [coordinator, first, second]


@pytest.fixture
def gateways_url(nodes: list[Node], url: str) -> Iterator[str]:
    """For a role that may do what the gateway needs, and nothing else."""
    coordinator = nodes[0].url(database=urlsplit(url).path.removeprefix("/"))
    drop_role(coordinator, GATEWAY)
    create_login(coordinator, GATEWAY, APP)
    yield logged_in(url, GATEWAY)
    drop_role(coordinator, GATEWAY)


@pytest.fixture
def load(gateways_url: str, url: str, readable_folder: Path) -> Iterator[Load]:
    """A merchant in each cell pays. What was acknowledged is in the books at the end."""
    add_merchants(gateways_url, MCHID, OTHER_MCHID)
    with under_load(gateways_url, readable_folder, MCHID, OTHER_MCHID) as load:
        load.wait_for_more(ENOUGH, MCHID, OTHER_MCHID)
        yield load
    check(load, rows_of(url))


def rows_of(url: str) -> Rows:
    return {**booked(url), **booked(url, 1)}


def sessions(node: Node, url: str) -> int:
    with psycopg.connect(node.url(database=url.rpartition("/")[2])) as connection:
        (count,) = connection.execute(SESSIONS).fetchone() or (0,)
        return int(str(count))


def test_every_node_has_the_directory(operator: Operator, url: str) -> None:
    operator.run("migrate")
    with psycopg.connect(url) as connection:
        types = Counter(kind for _, kind in connection.execute(TABLES).fetchall())
    assert types.keys() == {"reference"}
    assert types["reference"] > 15
    assert operator.run("migrate") == "the schema is up to date\n"


def test_a_cell_is_listed_with_its_node(operator: Operator, nodes: list[Node]) -> None:
    listed = {row["schema"]: row["node"] for row in operator.run_json("cell", "list")}
    assert listed == dict(zip(CELLS, (nodes[1].address, nodes[2].address), strict=True))


def test_a_cell_moves_while_its_merchants_pay(
    load: Load, operator: Operator, nodes: list[Node], url: str
) -> None:
    _, first, second = nodes
    assert sessions(second, url) > 0
    moved = operator.run_json("cell", "move", "1", "--to", first.address)
    assert (moved["from"], moved["node"]) == (second.address, first.address)
    load.wait_for_more(ENOUGH, MCHID, OTHER_MCHID)
    deadline = time.monotonic() + FOLLOWS_S
    while sessions(second, url):
        assert time.monotonic() < deadline
        time.sleep(POLL_S)
    load.wait_for_more(ENOUGH, OTHER_MCHID)
    assert load.others == {}
    entry = operator.run_json("audit", "list", "--kind", "cell_location")[0]
    assert (entry["before"], entry["after"]) == ({"node": second.address}, {"node": first.address})


def test_the_others_pay_while_the_node_of_a_cell_is_down(load: Load, nodes: list[Node]) -> None:
    killed = nodes[2].kill()
    try:
        load.wait_for_refusals(SENDERS, OTHER_MCHID)
        load.wait_for_more(ENOUGH, MCHID)
        assert load.refused[MCHID] == 0
    finally:
        killed.start()
    load.wait_for_more(ENOUGH, MCHID, OTHER_MCHID)


def test_all_pay_while_the_coordinator_is_down(load: Load, nodes: list[Node]) -> None:
    killed = nodes[0].kill()
    try:
        load.wait_for_more(10 * ENOUGH, MCHID, OTHER_MCHID)
    finally:
        killed.start()
    load.wait_for_more(ENOUGH, MCHID, OTHER_MCHID)
    assert load.others == {}


def test_a_move_that_is_interrupted_is_logged_if_it_was_done_and_can_be_repeated(
    operator: Operator, nodes: list[Node], url: str
) -> None:
    coordinator, first, _ = nodes
    database = urlsplit(url).path.removeprefix("/")
    move = ("cell", "move", "1", "--to", first.address)
    process = subprocess.Popen(
        [sys.executable, "-m", "tael.cli", *move], env=os.environ | operator.environment, cwd=ROOT
    )
    with psycopg.connect(coordinator.url(database=database), autocommit=True) as connection:
        while not connection.execute(MOVING).fetchone():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(END_LIMIT_S) == INTERRUPTED
        assert connection.execute(UNLOGGED_TABLES).fetchall() == [("rate_limit",), ("rate_limit_total",)]
    is_there = operator.run_json("cell", "list")[1]["node"] == first.address
    newest = operator.run_json("audit", "list", "--kind", "cell_location")[0]
    assert (newest["after"] == {"node": first.address}) == is_there
    assert operator.run_json(*move)["node"] == first.address
    assert operator.run_json("cell", "list")[1]["node"] == first.address


def test_citus_alone_says_where_a_cell_is(operator: Operator, nodes: list[Node]) -> None:
    set_servers = ("cell", "set", "1", "--servers", nodes[1].address)
    assert f"on {nodes[2].address}: use `tael cell move`" in operator.is_refused(*set_servers, code=1)


def test_a_move_to_no_node_is_refused(operator: Operator, nodes: list[Node]) -> None:
    refused = operator.is_refused("cell", "move", "1", "--to", "db.example:5432", code=1)
    assert all(node.address in refused for node in nodes[1:])


def test_the_demo_runs_with_two_cells() -> None:
    with open_folder() as folder, citus.database("tael_demo") as url:
        done = run_demo(folder, free_port_block(), "--once", "--cells", "2", "--database-url", url)
    assert done.returncode == 0, done.stdout
