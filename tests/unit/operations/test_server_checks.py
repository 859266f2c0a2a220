"""What the checks of PostgreSQL find, for servers that the integration tests cannot have."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from tael.db.server import Server, known_migrations
from tael.db.tables import Home
from tael.operations.server_checks import PART_CHECKS, SERVER_CHECKS, Expected

#: In the words of the manual: three processes with 12 connections to the cell and 9 to the directory, two commands with
#: 2 to each, and three reserved connections.
EXPECTED: Final = Expected(processes=3, connections=12, ssl_mode="verify-full")
NEEDED: Final = 3 * (12 + 9) + 2 * (2 + 2) + 3
SETTINGS: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "synchronous_commit": "on",
    "server_encoding": "UTF8",
    "server_version_num": "150020",
    "max_connections": "100",
    "superuser_reserved_connections": "3",
}
SOUND: Final = Server(
    home=Home.CELL,
    settings=SETTINGS,
    role="tael_gateway",
    is_superuser=False,
    creates_roles=False,
    is_standby=False,
    has_tls=True,
    is_local=False,
    clock_ahead=timedelta(0),
    tables=(),
    migrations=known_migrations(Home.CELL),
)


def failed(server: Server, expected: Expected = EXPECTED) -> list[str]:
    """The names of the checks that fail."""
    of_server = [name for name, check in SERVER_CHECKS.items() if list(check(server, expected))]
    return of_server + [name for name, check in PART_CHECKS.items() if list(check(server))]


def with_settings(**settings: str) -> Server:
    return replace(SOUND, settings=SETTINGS | settings)


def test_a_sound_server_has_no_problem() -> None:
    assert failed(SOUND) == []


@pytest.mark.parametrize(("number", "names"), [("140022", ["version"]), ("150000", []), ("180001", [])])
def test_postgresql_15_and_newer_are_supported(number: str, names: list[str]) -> None:
    assert failed(with_settings(server_version_num=number)) == names


def test_a_standby_cannot_be_used() -> None:
    assert failed(replace(SOUND, is_standby=True)) == ["version"]


@pytest.mark.parametrize("mode", ["disable", "prefer", "require"])
def test_another_host_needs_tls_with_verification(mode: str) -> None:
    unverified = replace(EXPECTED, ssl_mode=mode)
    assert failed(SOUND, unverified) == ["tls"]
    assert failed(replace(SOUND, has_tls=False), unverified) == ["tls"]
    assert failed(replace(SOUND, has_tls=False, is_local=True), unverified) == []


@pytest.mark.parametrize("mode", ["local", "remote_write", "remote_apply"])
def test_a_commit_that_is_on_the_primarys_disk_is_durable(mode: str) -> None:
    assert failed(with_settings(synchronous_commit=mode)) == []


def test_connections_are_counted_as_in_the_manual() -> None:
    assert failed(with_settings(max_connections=str(NEEDED))) == []
    assert failed(with_settings(max_connections=str(NEEDED - 1))) == ["connections"]


def test_connections_that_are_reserved_for_a_role_are_not_the_gateways() -> None:
    assert failed(with_settings(max_connections=str(NEEDED), reserved_connections="1")) == ["connections"]


@pytest.mark.parametrize(("seconds", "names"), [(1.9, []), (-1.9, []), (2.1, ["clock"]), (-2.1, ["clock"])])
def test_clocks_may_differ_by_two_seconds(seconds: float, names: list[str]) -> None:
    assert failed(replace(SOUND, clock_ahead=timedelta(seconds=seconds))) == names


def test_a_server_with_cells_only_needs_no_connections_to_the_directory() -> None:
    of_cells = replace(EXPECTED, cells=2, has_directory=False)
    needed = 3 * 2 * 12 + 2 * 2 * 2 + 3
    assert failed(with_settings(max_connections=str(needed)), of_cells) == []
    assert failed(with_settings(max_connections=str(needed - 1)), of_cells) == ["connections"]
