"""One demo for the tier, whose clock the tests move, and two of its merchants."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import merchant_of, private_demo
from tests.end_to_end.merchant import Merchant
from tests.end_to_end.rig import Demo


@pytest.fixture(scope="session")
def kit_demo() -> Iterator[Demo]:
    with private_demo() as demo:
        yield demo


@pytest.fixture(scope="session")
def published(kit_demo: Demo) -> Merchant:
    """Every pay type, old-style webhooks."""
    return merchant_of(kit_demo, "published")


@pytest.fixture(scope="session")
def chain(kit_demo: Demo) -> Merchant:
    """SHA256 only, new-style webhooks."""
    return merchant_of(kit_demo, "chain")


@pytest.fixture(scope="session")
def foreign_syssn(chain: Merchant) -> str:
    """A paid payment that is not the published app's."""
    return str(chain.paid("800208")["syssn"])
