"""Other pages cannot reach the phone or `/control`, by DNS rebinding or with a form; wallets' paths stay open."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tael_sandbox.own_pages import OwnPages

GUARDED = ("/", "/control/clock", "/control/faults", "/%63ontrol/clock", "/phone/act", "/phone/events")
OPEN = ("/gateway.do", "/pay/orderquery", "/secapi/pay/refund", "/connect/oauth2/authorize", "/controls")
WALLETS = ("api.mch.weixin.qq.com", "apihk.mch.weixin.qq.com", "intlmapi.alipay.com", "globalmapi.alipay.com")
ELSEWHERE = (
    "evil.example:8001",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "10.0.0.1",
    "",
    "[::1",
    "x",
)
HERE = (
    "127.0.0.1:8001",
    "127.9.9.9",
    "localhost:8001",
    "LOCALHOST",
    "[::1]:8001",
    "sandbox.test:1",
    "0.0.0.0",
)
OTHER_ORIGINS = (
    *(
        "https://evil.example",
        "null",
        "",
        "http://127.0.0.1:8002",
        "http://127.0.0.1",
        "http://localhost:8001",
    ),
    "https://127.0.0.1:8001",
)


async def served(_: Request) -> Response:
    return PlainTextResponse("served")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    inner = Starlette(routes=[Route("/{path:path}", served, methods=["GET", "POST", "PUT", "DELETE"])])
    transport = httpx.ASGITransport(OwnPages(inner, ["0.0.0.0", "Sandbox.test"]))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8001") as client:
        yield client


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_host_that_is_not_this_machine_is_refused(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    for hosts, status in (((*ELSEWHERE, *WALLETS), 403), (HERE, 200)):
        for host in hosts:
            answer = await client.request(method, path, headers={"Host": host})
            assert (host, answer.status_code) == (host, status)


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_page_of_another_origin_changes_nothing(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    for origin in OTHER_ORIGINS:
        answer = await client.request(method, path, headers={"Origin": origin})
        assert (origin, answer.status_code) == (origin, 403)
        assert set(answer.json()) == {"error", "field"}
    own = await client.request(method, path, headers={"Origin": "http://127.0.0.1:8001"})
    assert own.text == "served"
    assert (await client.request(method, path)).text == "served"


@pytest.mark.parametrize("path", OPEN)
async def test_the_wallets_paths_take_any_host_and_origin(client: httpx.AsyncClient, path: str) -> None:
    for host in (*WALLETS, "evil.example"):
        answer = await client.post(path, headers={"Host": host, "Origin": "https://shop.example"})
        assert answer.text == "served"
