"""Each test that takes a `shop` is run with both faces of the client."""

import pytest

from tests.client.world import Shop


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def shop(request: pytest.FixtureRequest) -> Shop:
    return Shop(is_async=request.param)
