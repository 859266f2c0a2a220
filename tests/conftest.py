"""Fixtures for all tests: one PostgreSQL per pytest worker, a new database per test that uses one, and sandboxes."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import structlog

from tael.operations.store import Store
from tests.sandbox.conftest import KEYS, Sandbox
from tests.support import cells
from tests.support.commands import NO_AUTHORITY
from tests.support.forks import ForkServer
from tests.support.postgres import migrated_server, open_folder, temporary_database
from tests.support.store import entered_store, with_a_merchant
from tests.support.tiers import TierTable

for name, value in NO_AUTHORITY.items():
    os.environ.setdefault(name, value)

#: structlog's default renders each traceback with all variables, which took most of the time of the fault tests.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
    ]
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--crash-full",
        action="store_true",
        help="check the state after every crash, also where an equal one was checked before",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(TierTable())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    cells.enter(item.path, item.config.rootpath)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The url of this worker's server; use `database_url` unless you mean the server itself."""
    with migrated_server() as url:
        yield url


@pytest.fixture
def database_url(postgres_server: str) -> Iterator[str]:
    """A migrated, empty database for this test."""
    with temporary_database(postgres_server) as url:
        yield url


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store with the merchant of `tests.support.values`."""
    async with entered_store(database_url) as entered:
        await with_a_merchant(entered)
        yield entered


@pytest.fixture
def readable_folder() -> Iterator[Path]:
    """Like `tmp_path`, but open to every user: for a DIR whose PostgreSQL is started by root."""
    with open_folder() as folder:
        yield folder


# ---- sandboxes: for the tests of the sandbox itself, of its pages in a browser, and of SDKs against it ---------------


@pytest.fixture(scope="session")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sandbox's folder whose keys later ones copy."""
    folder = tmp_path_factory.mktemp("sandbox-keys")
    Sandbox(folder).close()
    return folder


@pytest.fixture(scope="session")
def forking_server() -> Iterator[ForkServer]:
    server = ForkServer("tests.sandbox.forked")
    yield server
    server.end()


@pytest.fixture(scope="session")
def new_sandbox(
    key_folder: Path, forking_server: ForkServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Sandbox]]:
    """Starts sandboxes with fresh books; all are ended with the session."""
    started: list[Sandbox] = []

    def start() -> Sandbox:
        folder = tmp_path_factory.mktemp("sandbox")
        shutil.copy(key_folder / KEYS[0], folder)
        shutil.copytree(key_folder / KEYS[1], folder / KEYS[1])
        started.append(Sandbox(folder, forking_server))
        return started[-1]

    yield start
    for sandbox in started:
        sandbox.close()


@pytest.fixture(scope="module")
def sandbox(new_sandbox: Callable[[], Sandbox]) -> Iterator[Sandbox]:
    """One for all tests of a module: its clock only ever moves forward."""
    running = new_sandbox()
    yield running
    running.close()


@pytest.fixture
def own_sandbox(new_sandbox: Callable[[], Sandbox]) -> Iterator[Sandbox]:
    """One for a single test, that moves the clock far or ends the process."""
    running = new_sandbox()
    yield running
    running.close()
