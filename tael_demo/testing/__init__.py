"""pytest fixtures for users' own tests: a private gateway, its wallets and its clock, started in a few seconds.

pytest loads this module by its entry point in every session, so it imports nothing else of tael until a fixture is
requested. One instance serves a session (with pytest-xdist: a worker). A test's changes are reset at its end.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tael_demo.testing.instance import Instance
    from tael_demo.testing.views import TaelClock, TaelGateway, TaelWallets


@pytest.fixture(scope="session")
def tael_instance() -> "Iterator[Instance]":
    """The running instance. Tests use the three fixtures below."""
    from tael_demo.testing.instance import Instance, NotStarted

    try:
        instance = Instance.start()
    except NotStarted as error:
        pytest.fail(f"tael did not start: {error}", pytrace=False)
    try:
        yield instance
    finally:
        instance.end()


@pytest.fixture
def tael_gateway(tael_instance: "Instance") -> "Iterator[TaelGateway]":
    """The gateway and its apps. Their settings are reset after the test."""
    from tael_demo.testing.views import TaelGateway

    gateway = TaelGateway(tael_instance)
    try:
        yield gateway
    finally:
        gateway.reset()


@pytest.fixture
def tael_wallets(tael_instance: "Instance") -> "Iterator[TaelWallets]":
    """Both wallets: the payer's actions, injected faults, the books. Faults end with the test."""
    from tael_demo.testing.views import TaelWallets

    wallets = TaelWallets(tael_instance)
    try:
        yield wallets
    finally:
        wallets.reset()


@pytest.fixture
def tael_clock(tael_instance: "Instance") -> "TaelClock":
    """The clock of gateway and wallets. It only moves forward and is not reset after the test."""
    from tael_demo.testing.views import TaelClock

    return TaelClock(tael_instance)
