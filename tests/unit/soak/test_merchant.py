"""The soak's merchants: every response is kept, and one that no gateway may send is reported."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from tael.base.secret import Secret
from tael_demo.seed import DemoApp
from tests.soak.merchant import Merchant, SoakClient
from tests.soak.rows import MerchantResponse
from tests.support.alipay import TestClock
from tests.support.serving import serving
from tests.support.values import an_app

VECTOR: Final[dict[str, str]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "qfpay.json").read_text("utf-8")
)["answer"]
BODY: Final = VECTOR["body"].encode()
KEY: Final = Secret(VECTOR["key"])
RESPONSE: Final = MerchantResponse("payment", "r1", "0000", "20180112000100020001662134", amount_minor=1)
ROWS: Final = (
    b'{"respcd": "0000", "data": [{"syssn": "S1", "out_trade_no": "r1", "respcd": "1145", "txamt": "10"}, '
    b'{"syssn": "S2", "out_trade_no": "r2", "respcd": "0000", "txamt": "3"}]}'
)
#: Of ROWS and the key behind it, by md5sum; the request's of its text and the key, by md5sum and sha256sum.
ROWS_SIGN: Final = "D00B0933BA72257478FE3ED115DC0E23"
REQUEST_MD5: Final = "3F5EF168CD00F5D8008B12E040DF944B"
REQUEST_SHA256: Final = "D1C732B3476657140ACEFC2A3E7A29375F4D61D1A69E33098FC22C6582602134"
PARAMS: Final = {"out_trade_no": "r1", "txamt": "10"}


@dataclass
class Answering:
    """A gateway that gives every call the same response, right or wrong."""

    status: int = 200
    body: bytes = BODY
    sign: str = VECTOR["sign"]
    breaks_off: bool = False
    headers: dict[str, str] = field(default_factory=dict)  #: of the last call
    params: dict[str, Any] = field(default_factory=dict)

    async def serve(self, request: web.Request) -> web.Response:
        self.headers, self.params = dict(request.headers), dict(await request.post())
        if self.breaks_off:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=self.status, body=self.body, headers={"X-QF-SIGN": self.sign})


@asynccontextmanager
async def client_of(gateway: Answering) -> AsyncIterator[SoakClient]:
    async with serving(gateway.serve) as url, SoakClient(url, url, TestClock()) as client:
        yield client


def a_merchant(*, sha256_only: bool = False) -> Merchant:
    return Merchant(DemoApp(an_app("code", key=KEY, sha256_only=sha256_only), ("m1",)), "m1", "demo")


async def test_a_good_response_is_kept_and_nothing_is_broken() -> None:
    async with client_of(Answering()) as client:
        answer = await client.call(a_merchant(), "payment", PARAMS)
    assert answer == json.loads(BODY)
    assert client.responses == [RESPONSE]
    assert client.broken == []
    assert client.answers == {"0000": 1}


async def test_an_http_500_is_broken_and_no_response() -> None:
    async with client_of(Answering(status=500)) as client:
        assert await client.call(a_merchant(), "payment", PARAMS) is None
    assert client.broken == ["payment was answered with HTTP 500"]
    assert client.responses == []


@pytest.mark.parametrize("status", [201, 302, 404, 429, 503])
async def test_every_status_but_200_is_broken(status: int) -> None:
    async with client_of(Answering(status=status)) as client:
        await client.call(a_merchant(), "refund", PARAMS)
    assert client.broken == [f"refund was answered with HTTP {status}"]


@pytest.mark.parametrize(
    "sign",
    ["", VECTOR["sign"].lower(), VECTOR["sign"][:-1] + "2", ROWS_SIGN],
    ids=["none", "in lower case", "one digit off", "of another body"],
)
async def test_a_bad_signature_is_broken(sign: str) -> None:
    async with client_of(Answering(sign=sign)) as client:
        await client.call(a_merchant(), "payment", PARAMS)
    assert client.broken == ["payment was answered without a good signature: 0000"]


async def test_a_changed_body_is_broken() -> None:
    async with client_of(Answering(body=BODY.replace(b'"txamt": "1"', b'"txamt": "2"'))) as client:
        await client.call(a_merchant(), "payment", PARAMS)
    assert client.broken == ["payment was answered without a good signature: 0000"]


async def test_a_gateway_without_its_database_can_sign_nothing() -> None:
    async with client_of(Answering(body=b'{"respcd": "1112"}', sign="")) as client:
        answer = await client.call(a_merchant(), "payment", PARAMS)
    assert answer == {"respcd": "1112"}
    assert client.broken == []


@pytest.mark.parametrize("body", [b"", b"<html></html>", b'"0000"', b"{}", b"[1]", b"\xff"])
async def test_a_body_that_is_no_response_is_broken(body: bytes) -> None:
    async with client_of(Answering(body=body)) as client:
        assert await client.call(a_merchant(), "payment", PARAMS) is None
    assert len(client.broken) == 1
    assert "no JSON response" in client.broken[0]
    assert client.responses == []


async def test_a_call_without_a_response_is_not_broken() -> None:
    async with client_of(Answering(breaks_off=True)) as client:
        assert await client.call(a_merchant(), "payment", PARAMS) is None
    assert client.broken == []
    assert client.responses == []
    assert client.answers == {"none": 1}
    assert not client.in_flight


async def test_each_row_of_a_query_is_kept_separately() -> None:
    async with client_of(Answering(body=ROWS, sign=ROWS_SIGN)) as client:
        await client.call(a_merchant(), "query", {"out_trade_no": "r1"})
    assert client.broken == []
    assert client.responses == [
        MerchantResponse("row", "r1", "1145", "S1", amount_minor=10),
        MerchantResponse("row", "r2", "0000", "S2", amount_minor=3),
    ]


@pytest.mark.parametrize(
    ("sha256_only", "sign"), [(False, REQUEST_MD5), (True, REQUEST_SHA256)], ids=["MD5", "SHA256"]
)
async def test_a_call_is_signed_over_all_its_parameters(sha256_only: bool, sign: str) -> None:
    gateway = Answering()
    async with client_of(gateway) as client:
        await client.call(a_merchant(sha256_only=sha256_only), "payment", PARAMS)
    assert gateway.params == {"mchid": "m1", **PARAMS}
    assert gateway.headers["X-QF-SIGN"] == sign
    assert gateway.headers["X-QF-SIGNTYPE"] == ("SHA256" if sha256_only else "MD5")
    assert gateway.headers["X-QF-APPCODE"] == "code"
