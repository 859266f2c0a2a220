"""Limits of requests at the merchants' API: what counts, what is refused, and what a refusal looks like."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

import httpx
import pytest
from structlog.testing import capture_logs

from tael.base.transport import Transport
from tael.main import application
from tael.merchants.domain.rate_limits import NO_LIMITS, RateLimits
from tael.operations.store import Store
from tests.integration.payments.test_recording import gateway_over
from tests.support.alipay import TestClock
from tests.support.services import services_of
from tests.support.values import MCHID, NOW, ORIGIN, a_merchant, an_app

TWO: Final = RateLimits(0, 2)
#: Verified, and refused by the handler.
CALLS: Final = ("payment", "query", "close", "refund", "reversal")


@pytest.fixture
def clock() -> TestClock:
    return TestClock(NOW)


@asynccontextmanager
async def gateway(
    store: Store, clock: TestClock, limits: RateLimits, of_address: int = 0, peer: str = "192.0.2.1"
) -> AsyncIterator[httpx.AsyncClient]:
    """A process's API, as a client at `peer` reaches it."""
    services = services_of(replace(gateway_over(store), clock=clock), Transport(), limits)
    transport = httpx.ASGITransport(application(services, None, of_address), client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


def signed(params: Mapping[str, str], key: str) -> str:
    text = "&".join(f"{name}={params[name]}" for name in sorted(params))
    return hashlib.md5((text + key).encode()).hexdigest()


async def call(
    client: httpx.AsyncClient, name: str = "query", appcode: str = "app1", sign: str = "", **params: str
) -> httpx.Response:
    given = {"mchid": MCHID} | params
    headers = {"X-QF-APPCODE": appcode, "X-QF-SIGN": sign or signed(given, f"key-of-{appcode}")}
    return await client.post(f"/trade/v1/{name}", data=given, headers=headers)


async def statuses(client: httpx.AsyncClient, *names: str) -> list[int]:
    return [(await call(client, name)).status_code for name in names]


async def test_all_calls_of_a_merchant_share_one_limit(store: Store, clock: TestClock) -> None:
    async with gateway(store, clock, RateLimits(0, len(CALLS))) as client:
        assert await statuses(client, *CALLS, *CALLS) == [200] * 5 + [429] * 5


async def test_a_refusal_is_unsigned_json_with_retry_after(store: Store, clock: TestClock) -> None:
    async with gateway(store, clock, RateLimits(0, 1)) as client:
        admitted, refused = [await call(client, "payment", out_trade_no="A-1") for _ in range(2)]
    assert "X-QF-SIGN" in admitted.headers
    assert refused.status_code == 429
    assert refused.reason_phrase == "Too Many Requests"
    assert refused.headers["Retry-After"] == "55"
    assert refused.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert "X-QF-SIGN" not in refused.headers
    assert refused.json() == {
        "out_trade_no": "A-1",
        "respcd": "1112",
        "respmsg": "Too Many Requests: at most 1 in a minute",
        "resperr": "交易失败，请联系客服(1112)",
    }


async def test_other_merchants_are_not_affected(store: Store, clock: TestClock) -> None:
    await store.merchants.add_merchant(a_merchant("mch2"), ORIGIN)
    async with gateway(store, clock, TWO) as client:
        assert await statuses(client, *["query"] * 5) == [200, 200, 429, 429, 429]
        assert [(await call(client, mchid="mch2")).status_code for _ in range(3)] == [200, 200, 429]


async def test_a_merchants_own_limit_takes_the_place_of_the_deployments(
    store: Store, clock: TestClock
) -> None:
    await store.merchants.change_merchant(MCHID, partial(replace, max_per_minute=0), ORIGIN)
    async with gateway(store, clock, TWO) as client:
        assert await statuses(client, *["query"] * 20) == [200] * 20
    await store.merchants.change_merchant(MCHID, lambda _: a_merchant(max_per_second=1), ORIGIN)
    async with gateway(store, clock, NO_LIMITS) as client:
        assert await statuses(client, *["query"] * 2) == [200, 429]
        clock.at += timedelta(seconds=1)
        assert await statuses(client, *["query"] * 2) == [200, 429]


@pytest.mark.parametrize(
    ("appcode", "sign", "params"),
    [
        ("app1", "0" * 32, {}),
        ("unknown", "", {}),
        ("app2", "", {}),
        ("app1", "", {"a": "1&page=2"}),
        ("old", "", {"txdtm": "2020-01-01 00:00:00"}),
        ("elsewhere", "", {}),
    ],
    ids=["wrong signature", "unknown app", "another's merchant", "two readings", "too old", "address"],
)
async def test_nobody_else_uses_up_a_merchants_limit(
    store: Store, clock: TestClock, appcode: str, sign: str, params: Mapping[str, str]
) -> None:
    """But they count for their address."""
    await store.merchants.add_app(an_app("app2"), ORIGIN)
    for app, mchid in (
        (an_app("old", max_request_age_s=60), "of-old"),
        (an_app("elsewhere", allowed_addresses=("203.0.113.0/24",)), "of-elsewhere"),
    ):
        await store.merchants.add_app(app, ORIGIN)
        await store.merchants.add_merchant(a_merchant(mchid, app.appcode), ORIGIN)
    mchid = {"old": "of-old", "elsewhere": "of-elsewhere"}.get(appcode, MCHID)
    async with gateway(store, clock, TWO, of_address=10) as client:
        refused = [await call(client, appcode=appcode, sign=sign, mchid=mchid, **params) for _ in range(12)]
        assert [answer.status_code for answer in refused] == [200] * 10 + [429] * 2
        assert {answer.json()["respcd"] for answer in refused[:10]} == {"1108"}
        clock.at += timedelta(seconds=1)
        assert await statuses(client, "query", "query", "query") == [200, 200, 429]


async def test_a_flood_from_one_address_leaves_others_alone(store: Store, clock: TestClock) -> None:
    services = services_of(replace(gateway_over(store), clock=clock), Transport())
    app = application(services, None, 3)
    for peer, expected in (("192.0.2.1", [200, 200, 200, 429, 429]), ("192.0.2.2", [200])):
        transport = httpx.ASGITransport(app, client=(peer, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            assert await statuses(client, *["query"] * len(expected)) == expected
            last = await call(client)
        assert last.headers.get("Retry-After") == ("1" if len(expected) > 1 else None)


async def test_a_checkout_link_counts_for_its_address_and_not_for_the_merchant(
    store: Store, clock: TestClock
) -> None:
    """A payer can send the same link any number of times."""
    link = {"appcode": "app1", "sign_type": "md5", "paysource": "remotepay_checkout", "txamt": "1"}
    async with gateway(store, clock, TWO, of_address=8) as client:
        sent = [
            await client.post("/checkstand/open", data=link | {"sign": signed(link, "key-of-app1")})
            for _ in range(5)
        ]
        assert [answer.status_code for answer in sent] == [200] * 5
        assert {answer.json()["respcd"] for answer in sent} == {"1104"}  # verified, and incomplete
        assert await statuses(client, *["query"] * 4) == [200, 200, 429, 429]


async def test_refusals_are_in_the_metrics_and_in_the_log(store: Store, clock: TestClock) -> None:
    """The log is sampled by merchant: no other test uses this one."""
    await store.merchants.add_app(an_app("logged"), ORIGIN)
    await store.merchants.add_merchant(a_merchant("logged", "logged"), ORIGIN)
    async with gateway(store, clock, RateLimits(2, 3), of_address=6, peer="192.0.2.77") as client:
        with capture_logs() as lines:
            for requests in (4, 7):
                for _ in range(requests):
                    await call(client, appcode="logged", mchid="logged")
                clock.at += timedelta(seconds=1)
        metrics = (await client.get("/metrics")).text
    assert 'tael_rate_limited_requests_total{limit="second"} 2.0' in metrics
    assert 'tael_rate_limited_requests_total{limit="minute"} 5.0' in metrics
    assert 'tael_rate_limited_requests_total{limit="address"} 1.0' in metrics
    assert "tael_rate_limit_unchecked_requests_total 0.0" in metrics
    assert "logged" not in metrics
    refused = [line for line in lines if line["event"] == "request.rate_limited"]
    assert {(line["limit"], line["mchid"], line["peer"]) for line in refused} == {
        ("second", "logged", "192.0.2.77"),
        ("minute", "logged", "192.0.2.77"),
        ("address", "", "192.0.2.77"),
    }


async def test_without_a_database_a_request_passes_the_limit(store: Store, clock: TestClock) -> None:
    async with gateway(store, clock, RateLimits(1, 1)) as client:
        assert await statuses(client, "query", "query") == [200, 429]
        clock.at += timedelta(minutes=1)
        await store.database.execute("ALTER TABLE rate_limit RENAME TO away")
        assert await statuses(client, *["query"] * 5) == [200] * 5
        await store.database.execute("ALTER TABLE away RENAME TO rate_limit")
        assert "tael_rate_limit_unchecked_requests_total 5.0" in (await client.get("/metrics")).text
