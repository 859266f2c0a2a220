"""PostgreSQL is killed under concurrent payments and started again: what was acknowledged is in the database.

Many payments share each commit, so one that was acknowledged before it would be lost here. Of two cells on two servers,
one is killed and the other serves all the while, also if the directory was on the first.
"""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

from tael.db.cells import CellLocation, url_on
from tael.db.migrate import migrate, migrate_cell
from tael.operations.cells import add_cell
from tael.stores import Stores
from tael_demo.embedded.server import EmbeddedPostgres
from tests.support.payment_load import (
    ENOUGH,
    LIMIT_S,
    OTHER_MCHID,
    SENDERS,
    add_merchants,
    booked,
    check,
    under_load,
)
from tests.support.postgres import connect_to_cell
from tests.support.several_cells import in_cells
from tests.support.values import MCHID, ORIGIN


def kill(postgres: EmbeddedPostgres) -> None:
    """What PostgreSQL had only in memory is lost."""
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)


def test_what_was_acknowledged_before_postgresql_was_killed_is_in_the_database(readable_folder: Path) -> None:
    with EmbeddedPostgres(readable_folder) as postgres:
        url = postgres.url
        migrate(url)
        add_merchants(url, MCHID)
        with under_load(url, readable_folder) as load:
            load.wait_for(acknowledged=ENOUGH)
            kill(postgres)
            load.wait_for(others=load.others.total() + SENDERS)
            postgres.stop()
            assert postgres.start() == url
            load.wait_for(acknowledged=len(load.acknowledged) + ENOUGH)
        check(load, booked(url))


@contextmanager
def two_servers(folder: Path) -> Iterator[tuple[EmbeddedPostgres, EmbeddedPostgres, str]]:
    """The server of the directory and the first cell, that of the second cell, and the URL of both.

    They have different passwords, so these are in a file.
    """
    parts, passwords = [folder / name for name in ("first", "second")], folder / "passwords"
    for part in parts:
        part.mkdir(mode=0o755)
    with EmbeddedPostgres(parts[0]) as first, EmbeddedPostgres(parts[1]) as second:
        logins = [urlsplit(postgres.url) for postgres in (first, second)]
        lines = [f"{login.hostname}:{login.port}:*:{login.username}:{login.password}" for login in logins]
        passwords.write_text("\n".join(lines))
        passwords.chmod(0o600)
        login = logins[0]
        url = f"postgresql://{login.username}@{login.hostname}:{login.port}/tael?passfile={passwords}"
        migrate(url)
        location = CellLocation(1, f"{logins[1].hostname}:{logins[1].port}")
        migrate_cell(url, location)

        async def name(stores: Stores) -> None:
            await add_cell(stores.cells, location, ORIGIN)

        in_cells(url, name)
        add_merchants(url, MCHID, OTHER_MCHID)
        yield first, second, url


def test_while_the_server_of_a_cell_is_down_the_merchants_of_the_others_pay(readable_folder: Path) -> None:
    with two_servers(readable_folder) as (_, second, url):
        with under_load(url, readable_folder, MCHID, OTHER_MCHID) as load:
            load.wait_for_more(ENOUGH, MCHID, OTHER_MCHID)
            kill(second)
            load.wait_for_refusals(SENDERS, OTHER_MCHID)
            before = load.refused[MCHID]
            load.wait_for_more(ENOUGH, MCHID)
            status, ready = got(f"{load.gateway}/readyz")
            assert (status, list(json.loads(ready)["cells_down"])) == (200, ["cell_01"])
            assert 'tael_cell_up{schema="cell_01"} 0.0' in got(f"{load.gateway}/metrics")[1]
            second.stop()
            second.start()
            load.wait_for_more(ENOUGH, MCHID, OTHER_MCHID)
            assert load.refused[MCHID] == before == 0
        with connect_to_cell(url, 0) as connection:
            of_first = dict(connection.execute("SELECT syssn, substr(syssn, 11, 2) FROM payment").fetchall())
        assert set(of_first.values()) == {"00"}
        check(load, {**booked(url), **booked(url_on(url, servers_in(second.url)), 1)})


def test_while_the_server_of_the_directory_is_down_the_merchants_on_others_pay(readable_folder: Path) -> None:
    with two_servers(readable_folder) as (first, second, url):
        with under_load(url, readable_folder, MCHID, OTHER_MCHID) as load:
            load.wait_for_more(ENOUGH, MCHID, OTHER_MCHID)
            kill(first)
            load.wait_for_refusals(SENDERS, MCHID)
            load.wait_for_more(10 * ENOUGH, OTHER_MCHID)
            status, ready = got(f"{load.gateway}/readyz")
            assert (status, json.loads(ready).keys()) == (200, {"status", "directory_down", "cells_down"})
            assert "tael_directory_up 0.0" in got(f"{load.gateway}/metrics")[1]
            first.stop()
            first.start()
            load.wait_for_more(ENOUGH, MCHID, OTHER_MCHID)
            assert load.refused[OTHER_MCHID] == 0
        check(load, {**booked(url), **booked(url_on(url, servers_in(second.url)), 1)})


def got(url: str) -> tuple[int, str]:
    with urlopen(url, timeout=LIMIT_S) as answer:
        return answer.status, answer.read().decode()


def servers_in(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
