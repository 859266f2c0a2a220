"""A second process's store, and the scene for tests of unmatched payments."""

from collections.abc import AsyncIterator

import pytest

from tael.operations.store import Store
from tests.support.scene import Scene, scene_of
from tests.support.store import entered_store


@pytest.fixture
async def other_store(store: Store, database_url: str) -> AsyncIterator[Store]:
    """Another process's store over the same database."""
    async with entered_store(database_url) as entered:
        yield entered


@pytest.fixture
async def scene(store: Store) -> Scene:
    await store.database.execute("UPDATE app SET notify_url = 'http://shop'")
    return scene_of(store)
