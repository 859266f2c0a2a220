"""The soak's merchants: every answer that was read is kept, and one that no gateway may give is held against it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from tael.base.secret import Secret
from tael.cli.seed import DemoApp
from tests.soak.merchant import Merchant, Street
from tests.soak.rows import Told
from tests.support.alipay import TestClock
from tests.support.serving import serving
from tests.support.values import an_app

VECTOR: Final[dict[str, str]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "qfpay.json").read_text("utf-8")
)["answer"]
BODY: Final = VECTOR["body"].encode()
KEY: Final = Secret(VECTOR["key"])
TELLING: Final = Told("payment", "r1", "0000", "20180112000100020001662134", amount_minor=1)
ROWS: Final = (
    b'{"respcd": "0000", "data": [{"syssn": "S1", "out_trade_no": "r1", "respcd": "1145", "txamt": "10"}, '
    b'{"syssn": "S2", "out_trade_no": "r2", "respcd": "0000", "txamt": "3"}]}'
)
#: Of ROWS and the key behind it, by md5sum; the request's of its text and the key, by md5sum and sha256sum.
ROWS_SIGN: Final = "D00B0933BA72257478FE3ED115DC0E23"
REQUEST_MD5: Final = "3F5EF168CD00F5D8008B12E040DF944B"
REQUEST_SHA256: Final = "D1C732B3476657140ACEFC2A3E7A29375F4D61D1A69E33098FC22C6582602134"
ASKED: Final = {"out_trade_no": "r1", "txamt": "10"}


@dataclass
class Answering:
    """A gateway that gives every call the same answer, right or wrong."""

    status: int = 200
    body: bytes = BODY
    sign: str = VECTOR["sign"]
    breaks_off: bool = False
    headers: dict[str, str] = field(default_factory=dict)  #: of the last call
    asked: dict[str, Any] = field(default_factory=dict)

    async def serve(self, request: web.Request) -> web.Response:
        self.headers, self.asked = dict(request.headers), dict(await request.post())
        if self.breaks_off:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=self.status, body=self.body, headers={"X-QF-SIGN": self.sign})


@asynccontextmanager
async def street_to(gateway: Answering) -> AsyncIterator[Street]:
    async with serving(gateway.serve) as url, Street(url, url, TestClock()) as street:
        yield street


def a_merchant(*, sha256_only: bool = False) -> Merchant:
    return Merchant(DemoApp(an_app("code", key=KEY, sha256_only=sha256_only), ("m1",)), "m1", "demo")


async def test_a_good_answer_is_kept_and_nothing_is_broken() -> None:
    async with street_to(Answering()) as street:
        answer = await street.call(a_merchant(), "payment", ASKED)
    assert answer == json.loads(BODY)
    assert street.told == [TELLING]
    assert street.broken == []
    assert street.answers == {"0000": 1}


async def test_an_http_500_is_broken_and_told_nobody_anything() -> None:
    async with street_to(Answering(status=500)) as street:
        assert await street.call(a_merchant(), "payment", ASKED) is None
    assert street.broken == ["payment was answered with HTTP 500"]
    assert street.told == []


@pytest.mark.parametrize("status", [201, 302, 404, 429, 503])
async def test_every_status_but_200_is_broken(status: int) -> None:
    async with street_to(Answering(status=status)) as street:
        await street.call(a_merchant(), "refund", ASKED)
    assert street.broken == [f"refund was answered with HTTP {status}"]


@pytest.mark.parametrize(
    "sign",
    ["", VECTOR["sign"].lower(), VECTOR["sign"][:-1] + "2", ROWS_SIGN],
    ids=["none", "in lower case", "one digit off", "of another body"],
)
async def test_a_bad_signature_is_broken(sign: str) -> None:
    async with street_to(Answering(sign=sign)) as street:
        await street.call(a_merchant(), "payment", ASKED)
    assert street.broken == ["payment was answered without a good signature: 0000"]


async def test_a_body_that_was_changed_on_its_way_is_broken() -> None:
    async with street_to(Answering(body=BODY.replace(b'"txamt": "1"', b'"txamt": "2"'))) as street:
        await street.call(a_merchant(), "payment", ASKED)
    assert street.broken == ["payment was answered without a good signature: 0000"]


async def test_a_gateway_without_its_database_can_sign_nothing() -> None:
    async with street_to(Answering(body=b'{"respcd": "1112"}', sign="")) as street:
        answer = await street.call(a_merchant(), "payment", ASKED)
    assert answer == {"respcd": "1112"}
    assert street.broken == []


@pytest.mark.parametrize("body", [b"", b"<html></html>", b'"0000"', b"{}", b"[1]", b"\xff"])
async def test_what_is_no_answer_is_broken(body: bytes) -> None:
    async with street_to(Answering(body=body)) as street:
        assert await street.call(a_merchant(), "payment", ASKED) is None
    assert len(street.broken) == 1
    assert "no answer" in street.broken[0]
    assert street.told == []


async def test_no_answer_at_all_breaks_no_promise() -> None:
    async with street_to(Answering(breaks_off=True)) as street:
        assert await street.call(a_merchant(), "payment", ASKED) is None
    assert street.broken == []
    assert street.told == []
    assert street.answers == {"none": 1}
    assert not street.in_flight


async def test_each_row_of_a_query_is_kept_for_itself() -> None:
    async with street_to(Answering(body=ROWS, sign=ROWS_SIGN)) as street:
        await street.call(a_merchant(), "query", {"out_trade_no": "r1"})
    assert street.broken == []
    assert street.told == [
        Told("row", "r1", "1145", "S1", amount_minor=10),
        Told("row", "r2", "0000", "S2", amount_minor=3),
    ]


@pytest.mark.parametrize(
    ("sha256_only", "sign"), [(False, REQUEST_MD5), (True, REQUEST_SHA256)], ids=["MD5", "SHA256"]
)
async def test_a_call_is_signed_over_all_that_is_sent(sha256_only: bool, sign: str) -> None:
    gateway = Answering()
    async with street_to(gateway) as street:
        await street.call(a_merchant(sha256_only=sha256_only), "payment", ASKED)
    assert gateway.asked == {"mchid": "m1", **ASKED}
    assert gateway.headers["X-QF-SIGN"] == sign
    assert gateway.headers["X-QF-SIGNTYPE"] == ("SHA256" if sha256_only else "MD5")
    assert gateway.headers["X-QF-APPCODE"] == "code"
