"""One demo per pytest worker, and its three merchants. Its clock only moves forward: see `rig.py`.

Tests share it, so each uses its own references and reads the time from the demo.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.merchant import Merchant
from tests.end_to_end.receiver import Receiver, receiving
from tests.end_to_end.rig import Demo
from tests.support.postgres import open_folder

KINDS = ("published", "wechat_only", "chain", "direct")


@contextmanager
def private_demo(*options: str, **settings: str) -> Iterator[Demo]:
    """A demo in its own folder, for tests that would disturb others; arguments as for `Demo.start_seeded`."""
    with open_folder() as folder:
        demo = Demo.start_seeded(folder, *options, **settings)
        try:
            yield demo
        finally:
            demo.end()


@pytest.fixture(scope="session")
def demo_folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def demo(demo_folder: Path) -> Iterator[Demo]:
    demo = Demo.start_seeded(demo_folder)
    try:
        yield demo
    finally:
        demo.end()


def merchant_of(demo: Demo, kind: str) -> Merchant:
    """`kind` is "published", "wechat_only", "chain" or "direct", in the order of the demo's apps."""
    row = demo.apps[KINDS.index(kind)]
    return Merchant(
        demo,
        row["appcode"],
        row["key"],
        row["mchid"],
        tuple(row["mchids"]),
        sha256=kind == "chain",
        shop={"published": "demo"}.get(kind, kind),
    )


@pytest.fixture(scope="session")
def shop(demo: Demo) -> Merchant:
    """The published demo merchant: every pay type, old-style webhooks."""
    return merchant_of(demo, "published")


@pytest.fixture(scope="session")
def wechat_only(demo: Demo) -> Merchant:
    return merchant_of(demo, "wechat_only")


@pytest.fixture(scope="session")
def direct(demo: Demo) -> Merchant:
    """A direct merchant of WeChat Pay."""
    return merchant_of(demo, "direct")


@pytest.fixture(scope="session")
def chain(demo: Demo) -> Merchant:
    """An app with two merchants that accepts SHA256 only; new-style webhooks."""
    return merchant_of(demo, "chain")


@pytest.fixture(scope="session")
def receiver(demo: Demo, shop: Merchant, chain: Merchant) -> Iterator[Receiver]:
    """A receiver for the webhooks of both apps."""
    with receiving() as receiver:
        for merchant in (shop, chain):
            demo.set_app(merchant.appcode, "--notify-url", f"{receiver.url}/notify?by=tael")
        yield receiver
