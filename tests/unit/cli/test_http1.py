"""HTTP/1.1 on a real socket, with short limits: each refusal has one response, in order, and one log line."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import pytest
import uvicorn

from tael.cli.http1 import Http1Protocol, Limits

ROOT: Final = Path(__file__).parents[3]
WAIT_S: Final = 10.0
SHORT_S: Final = 0.2
LONG: Final = Limits(max_head_s=WAIT_S, max_body_s=WAIT_S, max_idle_s=WAIT_S)
OFFER: Final = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\n"

Application = Callable[..., Awaitable[None]]


@dataclass(slots=True)
class Served:
    """A listener; `bodies` are those that reached the application, `left` is set when a client disconnects."""

    port: int = 0
    bodies: list[bytes] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    written: list[bytes] = field(default_factory=list)  #: each part that a protocol gave to its transport

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        """Echoes path and body. /slow waits for the gate, /early responds before the body has come."""
        body = b""
        while scope["path"] != "/early":
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.bodies.append(body)
        if scope["path"] == "/slow":
            await self.gate.wait()
        answer = json.dumps([scope["method"], scope["path"], body.decode()]).encode()
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["path"] == "/parts":
            await send({"type": "http.response.body", "body": answer[:2], "more_body": True})
            answer = answer[2:]
        await send({"type": "http.response.body", "body": answer})


class CountingTransport:
    """asyncio's transport; `written` is what was given to it at a time."""

    def __init__(self, transport: asyncio.Transport, written: list[bytes]) -> None:
        self._transport = transport
        self._written = written

    def write(self, data: bytes) -> None:
        self._written.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@asynccontextmanager
async def serving(limits: Limits = LONG) -> AsyncIterator[Served]:
    class Protocol(Http1Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            counting = CountingTransport(cast(asyncio.Transport, transport), served.written)
            super().connection_made(cast(asyncio.Transport, counting))

    Protocol.limits = limits
    served = Served()
    config = uvicorn.Config(
        served.application,
        http=Protocol,
        lifespan="off",
        ws="none",
        interface="asgi3",
        access_log=False,
        log_config=None,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    listener = await asyncio.get_running_loop().create_server(
        lambda: Protocol(config, server.server_state, {}), "127.0.0.1", 0
    )
    served.port = listener.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        served.gate.set()
        listener.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*server.server_state.tasks, return_exceptions=True)


@dataclass(slots=True)
class Wire:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self) -> tuple[int, Any]:
        async with asyncio.timeout(WAIT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            return int(head.split()[1]), json.loads(await self.reader.readexactly(length))

    async def is_ended(self) -> bool:
        async with asyncio.timeout(WAIT_S):
            return await self.reader.read(1) == b""


@asynccontextmanager
async def wire_to(served: Served, *parts: bytes) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        writer.write(b"".join(parts))
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def request(path: str, body: bytes = b"", headers: bytes = b"", method: str = "POST") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + headers + b"\r\n" + body


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert not [record for record in caplog.records if record.exc_info]
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_gateway_and_sandbox_have_the_same_text() -> None:
    assert (ROOT / "tael/cli/http1.py").read_text() == (ROOT / "tael_sandbox/http1.py").read_text()


# ---- offers and methods ------------------------------------------------------------------------------------


async def test_hundreds_of_pipelined_offers_are_answered_in_order(caplog: pytest.LogCaptureFixture) -> None:
    sent = [request(f"/{number}", b"a=%d" % number, OFFER) for number in range(900)]
    async with serving() as served, wire_to(served, *sent) as wire:
        for number in range(900):
            assert await wire.answer() == (200, ["POST", f"/{number}", f"a={number}"])
    assert lines(caplog) == []


async def test_connect_is_refused_as_a_method_and_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for target in ("pay.example:443", "/trade/v1/payment"):
        async with serving() as served, wire_to(served, request(target, method="CONNECT")) as wire:
            status, members = await wire.answer()
            assert (status, members["error"]) == (405, "no such method here")
            assert await wire.is_ended()
            assert served.bodies == []
    assert len(lines(caplog)) == 2


async def test_connect_does_not_overtake_earlier_responses() -> None:
    sent = (request("/slow"), request("/b", b"b", OFFER), request("x:1", method="CONNECT"), request("/c"))
    async with serving() as served, wire_to(served, *sent) as wire:
        served.gate.set()
        assert [(await wire.answer())[0] for _ in range(3)] == [200, 200, 405]
        assert await wire.is_ended()
        assert served.bodies == [b"", b"b"]


@pytest.mark.parametrize(
    "bad",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST nowhere HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_a_malformed_request_is_400_with_at_most_one_log_line(
    bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as served, wire_to(served, bad, b"x" * 1000) as wire:
        status, members = await wire.answer()
        assert (status, members["error"]) == (400, "the request is malformed")
        assert await wire.is_ended()
    assert len(lines(caplog)) <= 1
    assert all(len(line) < 100 for line in lines(caplog))


async def test_a_malformed_request_does_not_overtake_an_earlier_response() -> None:
    async with serving() as served, wire_to(served, request("/slow", b"paid"), b"\0\0\0\0") as wire:
        served.gate.set()
        assert [(await wire.answer())[0] for _ in range(2)] == [200, 400]
        assert await wire.is_ended()


# ---- limits ------------------------------------------------------------------------------------------------


async def test_a_head_that_does_not_end_is_408(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        serving(Limits(max_head_s=SHORT_S)) as served,
        wire_to(served, b"POST / HTTP/1.1\r\nHo") as wire,
    ):
        assert (await wire.answer())[0] == 408
        assert await wire.is_ended()
    assert len(lines(caplog)) <= 1


async def test_a_head_that_trickles_has_the_same_time() -> None:
    async with serving(Limits(max_head_s=SHORT_S)) as served, wire_to(served, b"POST / HTTP/1.1\r\n") as wire:
        answer = asyncio.create_task(wire.answer())
        while not answer.done():
            wire.writer.write(b"A: b\r\n")
            await asyncio.sleep(SHORT_S / 10)
        assert (await answer)[0] == 408


@pytest.mark.parametrize("begun", [b"", b"\r\n"])
async def test_a_connection_without_a_request_is_closed(
    begun: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(Limits(max_head_s=SHORT_S)) as served, wire_to(served, begun) as wire:
        assert await wire.is_ended()
    assert lines(caplog) == []


async def test_a_body_that_does_not_end_is_408_and_the_application_sees_a_disconnect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    half = request("/", b"12345")[:-2]
    async with serving(Limits(max_body_s=SHORT_S)) as served, wire_to(served, half) as wire:
        assert (await wire.answer())[0] == 408
        assert await wire.is_ended()
        assert (served.left.is_set(), served.bodies) == (True, [])
    assert lines(caplog) == []


async def test_a_response_may_take_longer_than_a_head_or_a_body() -> None:
    limits = Limits(max_head_s=SHORT_S, max_body_s=SHORT_S, max_idle_s=SHORT_S)
    async with serving(limits) as served, wire_to(served, request("/slow"), b"POST /b HTTP/1.1\r\n") as wire:
        await asyncio.sleep(3 * SHORT_S)
        served.gate.set()
        wire.writer.write(b"\r\n")
        assert [(await wire.answer())[0] for _ in range(2)] == [200, 200]


async def test_an_unread_body_has_a_time_limit_too() -> None:
    half = request("/early", b"12345")[:-2]
    async with serving(Limits(max_body_s=SHORT_S)) as served, wire_to(served, half) as wire:
        assert (await wire.answer())[0] == 200
        assert await wire.is_ended()


async def read_all(wire: Wire, answers: int) -> None:
    for _ in range(answers):
        await wire.answer()


@pytest.mark.parametrize("size", [50_000, 1_000_000])
async def test_a_client_that_does_not_read_its_responses_is_disconnected(size: int) -> None:
    sent = request("/", b"x" * size) * (20_000_000 // size)
    async with (
        serving(Limits(max_body_s=SHORT_S, max_idle_s=WAIT_S)) as served,
        wire_to(served, sent) as wire,
    ):
        await asyncio.sleep(4 * SHORT_S)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await read_all(wire, 20_000_000 // size)


async def test_an_idle_connection_is_closed() -> None:
    async with serving(Limits(max_idle_s=SHORT_S)) as served, wire_to(served, request("/")) as wire:
        assert (await wire.answer())[0] == 200
        assert await wire.is_ended()


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
async def test_a_head_that_is_too_long_is_431(end: bytes) -> None:
    long = b"POST / HTTP/1.1\r\nA: " + b"a" * 3_000_000 + end
    async with serving(Limits(max_head_bytes=1_000)) as served, wire_to(served, long) as wire:
        assert (await wire.answer())[0] == 431
        assert await wire.is_ended()
        assert served.bodies == []


async def test_a_body_before_a_head_does_not_count_as_its_head() -> None:
    first = request("/a", b"x" * 50_000)
    sent = (first, b"POST /b HTTP/1.1\r\n")
    async with serving(Limits(max_head_bytes=1_000)) as served, wire_to(served, *sent) as wire:
        assert (await wire.answer())[0] == 200
        wire.writer.write(b"\r\n")
        assert (await wire.answer())[0] == 200


async def test_connections_above_the_limit_are_503_and_those_below_it_continue(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(Limits(max_connections=2)) as served:
        async with wire_to(served, request("/a")) as first, wire_to(served, request("/b")) as second:
            assert [(await wire.answer())[0] for wire in (first, second)] == [200, 200]
            for _ in range(3):
                async with wire_to(served, request("/c")) as surplus:
                    assert await surplus.answer() == (503, {"error": "too many connections", "field": None})
                    assert await surplus.is_ended()
            first.writer.write(request("/a"))
            assert (await first.answer())[0] == 200
        assert served.bodies == [b""] * 3
    assert len(lines(caplog)) == 1


async def test_a_client_that_disconnects_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as served:
        async with wire_to(served, request("/", b"12345")[:-2]):
            pass
        async with asyncio.timeout(WAIT_S):
            await served.left.wait()
    assert lines(caplog) == []


async def test_expect_100_continue_is_answered() -> None:
    whole = request("/", b"12345", b"Expect: 100-continue\r\n")
    async with serving() as served, wire_to(served, whole[:-5]) as wire:
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.writer.write(whole[-5:])
        assert await wire.answer() == (200, ["POST", "/", "12345"])


# ---- responses ---------------------------------------------------------------------------------------------


async def test_a_response_is_given_to_the_transport_at_once() -> None:
    async with serving() as served, wire_to(served, request("/a"), request("/b")) as wire:
        assert await wire.answer() == (200, ["POST", "/a", ""])
        assert await wire.answer() == (200, ["POST", "/b", ""])
        assert [part.partition(b"\r\n\r\n")[2] for part in served.written] == [
            b'["POST", "/a", ""]',
            b'["POST", "/b", ""]',
        ]


async def test_a_body_in_parts_begins_with_the_head() -> None:
    async with serving() as served, wire_to(served, request("/parts")) as wire:
        assert await wire.answer() == (200, ["POST", "/parts", ""])
        assert [part[-2:] for part in served.written] == [b'["', b'"]']


async def test_a_response_without_a_body_has_its_head() -> None:
    async with serving() as served, wire_to(served, request("/", method="HEAD"), request("/a")) as wire:
        head = await wire.reader.readuntil(b"\r\n\r\n")
        assert b"content-length: 17\r\n" in head
        assert await wire.answer() == (200, ["POST", "/a", ""])


async def test_a_response_without_a_body_has_its_head_before_the_connection_closes() -> None:
    closing = request("/", method="HEAD", headers=b"Connection: close\r\n")
    async with serving() as served, wire_to(served, closing) as wire:
        assert b"content-length: 17\r\n" in await wire.reader.readuntil(b"\r\n\r\n")
        assert await wire.is_ended()
