"""Fixtures of all channel contracts: the real sandbox, a transport, and a listener for its notices."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tael.base.transport import Transport
from tests.support.sandbox import Listener, RunningSandbox, listening, running_sandbox


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """One for all contract tests: each uses its own order numbers, and the clock only moves forward."""
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport() as entered:
        yield entered


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with listening() as started:
        yield started
