"""Each test with a `shop` runs with the sync and the async client."""

import pytest

from tests.client.world import Shop


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def shop(request: pytest.FixtureRequest) -> Shop:
    return Shop(is_async=request.param)
