"""A store on a database of the test's own, with one merchant who has every kind of account."""

from collections.abc import AsyncIterator

import pytest

from tael.store.store import Store
from tests.support.store import entered_store, with_a_merchant


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """A store with the merchant of `tests.support.values`."""
    async with entered_store(database_url) as entered:
        await with_a_merchant(entered)
        yield entered


@pytest.fixture
async def other_store(store: Store, database_url: str) -> AsyncIterator[Store]:
    """Another process's store over the same database."""
    async with entered_store(database_url) as entered:
        yield entered
