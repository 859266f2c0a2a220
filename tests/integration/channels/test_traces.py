"""The spans of a payment, from the merchant's call to the wallet and the database, as a collector gets them."""

import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tael.config import read_settings
from tael.main import application
from tael.operations.store import Store
from tael.services import open_services
from tests.integration.api.test_rate_limits import call, signed
from tests.integration.channels.test_wallet_pools import ALIPAY_CODE, alipay
from tests.integration.cli.test_listeners import gateway as process_of_gateway
from tests.support.serving import serving
from tests.support.store import ENCRYPTION_KEY
from tests.support.traces import attributes_of, collecting
from tests.support.values import APPCODE, MCHID

#: The example of W3C's Trace Context: version, trace, parent and flags, of which 01 is "sampled".
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
BARCODE: Final = {
    "mchid": MCHID,
    "pay_type": "800108",
    "txamt": "100",
    "txcurrcd": "HKD",
    "txdtm": "2026-01-02 11:04:05",
    "auth_code": ALIPAY_CODE,
    "out_trade_no": "order-of-the-trace",
}
QUERY: Final = {"mchid": MCHID, "syssn": "1"}
WALLET_CALL: Final = "alipay_mapi alipay.acquire.overseas.spot.pay"
SERVED: Final = "POST /trade/v1/query"


@asynccontextmanager
async def gateway(database_url: str, traces: str) -> AsyncIterator[httpx.AsyncClient]:
    """The API as `main` builds it, with Alipay behind it; the last spans are exported at its end."""
    async with serving(alipay) as alipay_url:
        settings = read_settings(
            {
                "TAEL_DATABASE_URL": database_url,
                "TAEL_ENCRYPTION_KEY": base64.b64encode(ENCRYPTION_KEY).decode(),
                "TAEL_ALIPAY_INSTORE_URL": alipay_url,
                "TAEL_TRACES": traces,
            }
        )
        async with open_services(settings) as services:
            transport = httpx.ASGITransport(application(services))
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                yield client


async def pay(client: httpx.AsyncClient, traceparent: str = "") -> str:
    """The payment's syssn."""
    headers = {"X-QF-APPCODE": APPCODE, "X-QF-SIGN": signed(BARCODE, f"key-of-{APPCODE}")}
    given = {"traceparent": traceparent} if traceparent else {}
    answer = await client.post("/trade/v1/payment", data=BARCODE, headers=headers | given)
    assert answer.json()["respcd"] == "0000"
    return str(answer.json()["syssn"])


async def test_a_payment_is_one_trace_below_the_clients_span(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting(monkeypatch) as collector:
        async with gateway(database_url, "on") as client:
            syssn = await pay(client, f"00-{TRACE}-{PARENT}-01")
        served = collector.named("POST /trade/v1/payment")
        assert (served.trace_id.hex(), served.parent_span_id.hex()) == (TRACE, PARENT)
        assert served.kind == Span.SPAN_KIND_SERVER
        assert attributes_of(served) == {
            "http.request.method": "POST",
            "http.route": "/trade/v1/payment",
            "http.response.status_code": 200,
            "tael.respcd": "0000",
        }
        below = {
            span.name: span for span in collector.spans if span is not served and span.name != served.name
        }
        assert list(below) == ["open_payment", WALLET_CALL, "record_payment"]  # as they ended
        for span in below.values():
            assert (span.trace_id, span.parent_span_id) == (served.trace_id, served.span_id)
            assert span.kind == Span.SPAN_KIND_CLIENT
            assert served.start_time_unix_nano <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= served.end_time_unix_nano
        assert attributes_of(below[WALLET_CALL]) == {
            "tael.protocol": "alipay_mapi",
            "tael.operation": "alipay.acquire.overseas.spot.pay",
        }
        assert attributes_of(below["open_payment"]) == {"db.system.name": "postgresql"}
        exported = b"".join(collector.bodies)
        numbers = (
            syssn,
            MCHID,
            APPCODE,
            ALIPAY_CODE,
            BARCODE["out_trade_no"],
            f"key-of-{APPCODE}",
            "127.0.0.1",
        )
        assert [number for number in numbers if number.encode() in exported] == []
        assert set(collector.paths) == {"/v1/traces"}


async def test_without_a_traceparent_each_call_begins_a_trace(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting(monkeypatch) as collector:
        async with gateway(database_url, "on") as client:
            for _ in range(2):
                assert (await call(client, "query", syssn="1")).status_code == 200
            assert (await call(client, "query", sign="0" * 32)).json()["respcd"] == "1108"
        spans = [span for span in collector.spans if span.name == "POST /trade/v1/query"]
        assert len({span.trace_id for span in spans}) == 3
        assert {span.parent_span_id for span in spans} == {b""}
        assert sorted(attributes_of(span)["tael.respcd"] for span in spans) == ["0000", "0000", "1108"]


async def test_nothing_is_exported_unless_it_is_switched_on(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting(monkeypatch) as collector:
        async with gateway(database_url, "off") as client:
            await pay(client)
        assert collector.bodies == []


@pytest.mark.parametrize("traces", ["on", "off"])
def test_log_lines_within_a_span_name_it(
    tmp_path: Path, traces: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is unavailable, which is logged while the call is served."""
    query = urlencode(QUERY).encode()
    head = (
        f"POST /trade/v1/query HTTP/1.1\r\nHost: x\r\nX-QF-APPCODE: {APPCODE}\r\n"
        f"X-QF-SIGN: {signed(QUERY, 'any key')}\r\ntraceparent: 00-{TRACE}-{PARENT}-01\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(query)}\r\n\r\n"
    )
    with collecting(monkeypatch) as collector:
        with process_of_gateway(tmp_path, TAEL_TRACES=traces) as process:
            assert process.ask(head.encode(), query)[2]["respcd"] == "1112"
        # The process was asked to end, and has sent the spans that it still had.
        assert [span.name for span in collector.spans if span.name == SERVED] == [SERVED] * (traces == "on")
    (within,) = [line for line in process.lines if "call" in line]
    if traces == "on":
        assert within["trace_id"] == TRACE
        assert re.fullmatch("[0-9a-f]{16}", within["span_id"])
        assert within["span_id"] != PARENT
    outside = [line for line in process.lines if traces == "off" or line is not within]
    assert outside
    assert not [line for line in outside if line.keys() & {"trace_id", "span_id"}]
