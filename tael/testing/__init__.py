"""Fixtures for users' own tests: a private gateway, its wallets and its clock, in a few seconds and gone afterwards.

pytest finds this module by its entry point in every session, so it imports nothing of ours until a fixture is asked
for. One instance serves a session (under pytest-xdist: a worker); what a test changed is put back at its end.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tael.testing.instance import Instance
    from tael.testing.views import TaelClock, TaelGateway, TaelWallets


@pytest.fixture(scope="session")
def tael_instance() -> "Iterator[Instance]":
    """The running instance; tests want the three views below."""
    from tael.testing.instance import Instance, NotStarted

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
    """The gateway and its apps. Their settings are put back after the test."""
    from tael.testing.views import TaelGateway

    gateway = TaelGateway(tael_instance)
    try:
        yield gateway
    finally:
        gateway.put_back()


@pytest.fixture
def tael_wallets(tael_instance: "Instance") -> "Iterator[TaelWallets]":
    """Both wallets: the payer's hand, what goes wrong, the books. Faults end with the test."""
    from tael.testing.views import TaelWallets

    wallets = TaelWallets(tael_instance)
    try:
        yield wallets
    finally:
        wallets.put_back()


@pytest.fixture
def tael_clock(tael_instance: "Instance") -> "TaelClock":
    """The clock of gateway and wallets. It only moves forward, for the rest of the session."""
    from tael.testing.views import TaelClock

    return TaelClock(tael_instance)
