"""A process whose places are all taken: which requests wait for one, and which are never refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import httpx
import pytest

from tael.base import admission
from tael.base.transport import Transport
from tael.channels.base import ChannelOrder
from tael.channels.outcomes import Outcome
from tael.cli.serving import listener_config
from tael.config import HttpLimits
from tael.operations.store import Store
from tests.integration.api.test_rate_limits import call
from tests.integration.payments.test_recording import gateway_over, over_channels
from tests.support.alipay import TestClock
from tests.support.fake_wallet import FakeWallet
from tests.support.services import services_of
from tests.support.values import NOW, PROTOCOLS

PATIENCE_S: Final = 20.0
BARCODE: Final = {
    "pay_type": "800208",
    "txamt": "100",
    "txcurrcd": "HKD",
    "txdtm": "2026-01-02 11:04:05",
    "auth_code": "131234567890120000",
}
#: A notice, health, metrics, and pages of a payer.
OTHERS: Final = (
    ("POST", "/notices/wechat/unknown"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/checkstand/"),
    ("POST", "/checkstand/open"),
)


@dataclass
class HeldWallet(FakeWallet):
    """Answers once `released` is set. No connection is used, so a call keeps its place meanwhile."""

    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self, order: ChannelOrder) -> Outcome:
        self.arrived.release()
        await self.released.wait()
        return await super().open(order)


@asynccontextmanager
async def gateway(store: Store, wallet: FakeWallet, places: int) -> AsyncIterator[httpx.AsyncClient]:
    """A process's API with so many places."""
    payments = over_channels(gateway_over(store), dict.fromkeys(PROTOCOLS.values(), wallet))
    services = services_of(replace(payments, clock=TestClock(NOW)), Transport())
    config = listener_config(services, HttpLimits(max_concurrent_calls=places), grace_s=1)
    transport = httpx.ASGITransport(config.app)  # type: ignore[arg-type]
    async with (
        asyncio.timeout(PATIENCE_S),
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a test may need longer than a call waits."""
    monkeypatch.setattr(admission, "MAX_WAIT_S", PATIENCE_S)
    monkeypatch.setattr(admission, "MAX_OVERLOADED_WAIT_S", PATIENCE_S)
    monkeypatch.setattr(admission, "STANDING_S", PATIENCE_S)


async def test_calls_wait_for_a_place_and_notices_pages_and_health_need_none(store: Store) -> None:
    wallet = HeldWallet(TestClock(NOW))
    async with gateway(store, wallet, places=1) as client:
        payment = asyncio.create_task(call(client, "payment", out_trade_no="A-1", **BARCODE))
        await wallet.arrived.acquire()
        query = asyncio.create_task(call(client, "query"))

        for method, path in OTHERS:
            assert "1112" not in (await client.request(method, path)).text
        metrics = (await client.get("/metrics")).text
        assert "tael_calls_in_progress 1.0" in metrics
        assert "tael_calls_waiting 1.0" in metrics
        assert not query.done()

        wallet.released.set()
        assert [(await each).json()["respcd"] for each in (payment, query)] == ["0000", "0000"]
        metrics = (await client.get("/metrics")).text
        assert "tael_calls_in_progress 0.0" in metrics
        assert "tael_calls_waiting 0.0" in metrics


async def test_a_repeat_has_no_place_while_it_waits_for_the_first_response(store: Store) -> None:
    wallet = HeldWallet(TestClock(NOW))
    async with gateway(store, wallet, places=2) as client:
        sent = [asyncio.create_task(call(client, "payment", out_trade_no="A-1", **BARCODE)) for _ in range(3)]
        await wallet.arrived.acquire()

        assert (await call(client, "query")).json()["respcd"] == "0000"

        wallet.released.set()
        answers = [await each for each in sent]
        assert {answer.json()["respcd"] for answer in answers} == {"0000"}
        assert len({answer.content for answer in answers}) == 1


async def test_a_refused_call_is_1112_without_a_signature_and_in_the_metrics(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_WAIT_S", 0.0)
    wallet = HeldWallet(TestClock(NOW))
    async with gateway(store, wallet, places=1) as client:
        payment = asyncio.create_task(call(client, "payment", out_trade_no="A-1", **BARCODE))
        await wallet.arrived.acquire()

        refused = await call(client, "query")
        assert (refused.status_code, refused.json()["respcd"]) == (200, "1112")
        assert "X-QF-SIGN" not in refused.headers
        while "tael_calls_shed_total 1.0" not in (await client.get("/metrics")).text:
            pass  # a busy database is not waited for: then the last figures are reported

        wallet.released.set()
        assert (await payment).json()["respcd"] == "0000"
        assert (await call(client, "query")).json()["respcd"] == "0000"
