"""Fixtures for all tests: one PostgreSQL per pytest worker, and a new database per test that uses one."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from tael.operations.store import Store
from tests.support.postgres import migrated_server, open_folder, temporary_database
from tests.support.store import entered_store, with_a_merchant
from tests.support.tiers import TierTable

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
