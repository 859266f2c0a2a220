"""A second process's store, the scene for tests of unmatched payments, and a PostgreSQL with TLS."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tael.operations.store import Store
from tests.support.scene import Scene, scene_of
from tests.support.store import entered_store
from tests.support.tls_postgres import TlsServer, tls_server


@pytest.fixture
async def other_store(store: Store, database_url: str) -> AsyncIterator[Store]:
    """Another process's store over the same database."""
    async with entered_store(database_url) as entered:
        yield entered


@pytest.fixture
async def scene(store: Store) -> Scene:
    await store.directory.execute("UPDATE app SET notify_url = 'http://shop'")
    return scene_of(store)


@pytest.fixture(scope="session")
def tls_postgres() -> Iterator[TlsServer]:
    """Debian's PostgreSQL, if it is installed."""
    with tls_server() as server:
        yield server
