"""Every call reports whether a response came, none came, or no byte was sent. Real servers, real sockets."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import pytest
from aiohttp import web

from tael.base.transport import (
    HEAD_BYTES,
    MAX_ANSWER_BYTES,
    MAX_DOWNLOADS,
    Answer,
    NoAnswer,
    NothingSent,
    Transport,
)
from tests.support.ports import reserved_ports
from tests.support.serving import serving

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PATIENCE_S = 10.0


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport() as entered:
        yield entered


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[str]:
    """The url of a raw TCP server."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"


async def test_a_response_is_returned_whole(transport: Transport) -> None:
    async def serve(request: web.Request) -> web.Response:
        body = await request.read()
        return web.Response(
            status=418, body=request.method.encode() + b" " + body, headers={"X-QF-Sign": "AB"}
        )

    async with serving(serve) as url:
        answer = await transport.call(
            "POST", url, body=b"\x00\xff", headers={"X-A": "b"}, timeout_s=PATIENCE_S
        )
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body, answer.headers["x-qf-sign"]) == (418, b"POST \x00\xff", "AB")


async def test_the_query_is_sent_as_it_was_signed(transport: Transport) -> None:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(text=request.raw_path)

    path = "/gateway.do?b=%2b+%20%E5%BA%97&a=1&sign=x%3D%3d"
    async with serving(serve) as url:
        answer = await transport.call("GET", url + path, timeout_s=PATIENCE_S)
    assert isinstance(answer, Answer)
    assert answer.body.decode() == path


async def test_a_download_is_written_and_limited(transport: Transport) -> None:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 200_000)

    async with serving(serve) as url:
        target = BytesIO()
        done = await transport.download(
            "GET", url, timeout_s=PATIENCE_S, account="a", target=target, max_bytes=200_000
        )
        assert isinstance(done, Answer)
        assert (done.status, len(done.body), target.getvalue()) == (200, HEAD_BYTES, b"x" * 200_000)
        target = BytesIO()
        done = await transport.download(
            "GET", url, timeout_s=PATIENCE_S, account="a", target=target, max_bytes=199_999
        )
        assert done == NoAnswer("the response is too large")
        assert len(target.getvalue()) <= 199_999


async def test_downloads_take_no_connection_of_payments() -> None:
    held = asyncio.Event()

    async def serve(request: web.Request) -> web.Response:
        if request.path == "/file":
            await held.wait()
        return web.Response(text="paid")

    async with (
        serving(serve) as url,
        Transport(connections=1, wait_s=0.0) as transport,
        asyncio.TaskGroup() as group,
    ):
        limits: dict[str, Any] = {"timeout_s": PATIENCE_S, "account": "a"}
        for _ in range(MAX_DOWNLOADS // 2):
            group.create_task(
                transport.download("GET", url + "/file", target=BytesIO(), max_bytes=9, **limits)
            )
        await asyncio.sleep(0)
        assert isinstance(await transport.call("GET", url, **limits), Answer)
        refused = await transport.download("GET", url + "/file", target=BytesIO(), max_bytes=9, **limits)
        assert refused == NothingSent("no free connection")
        held.set()


async def test_a_refused_connection_sent_nothing(transport: Transport) -> None:
    with reserved_ports(1) as (port,):
        url = f"http://127.0.0.1:{port}/"
        result = await transport.call("POST", url, body=b"money", timeout_s=PATIENCE_S)
    assert result == NothingSent("connection refused")


async def test_an_unauthenticated_peer_is_sent_nothing(transport: Transport) -> None:
    received = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read(1 << 16))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")  # no TLS here

    async with talking(talk) as url:
        result = await transport.call(
            "POST",
            url.replace("http:", "https:"),
            body=b"money",
            timeout_s=PATIENCE_S,
            tls=ssl.create_default_context(),
        )
    assert isinstance(result, NothingSent)
    assert b"money" not in received


@pytest.mark.parametrize(
    "url",
    ["nonsense", "ftp://127.0.0.1/", "http://", "http://[::1", "http://127.0.0.1:99999/", "http://h:port/"],
)
async def test_an_invalid_url_sends_nothing(transport: Transport, url: str) -> None:
    assert isinstance(await transport.call("POST", url, timeout_s=PATIENCE_S), NothingSent)


async def test_a_peer_that_closes_after_reading_gave_no_response(transport: Transport) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"money")

    async with talking(talk) as url:
        result = await transport.call("POST", url, body=b"money", timeout_s=PATIENCE_S)
    assert result == NoAnswer("the connection was closed before a response")


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\nnotgzip",
    ],
    ids=["cut", "cut chunk", "not HTTP", "not gzip"],
)
async def test_half_a_response_is_none(transport: Transport, sent: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"money")
        writer.write(sent)
        await writer.drain()

    async with talking(talk) as url:
        result = await transport.call("POST", url, body=b"money", timeout_s=PATIENCE_S)
    assert result == NoAnswer("the response is incomplete, or not HTTP")


async def test_a_peer_that_is_too_slow_gave_no_response(transport: Transport) -> None:
    asked = asyncio.Event()
    ended = asyncio.Event()

    async def serve(request: web.Request) -> web.Response:
        asked.set()
        await ended.wait()
        return web.Response()

    async with serving(serve) as url:
        result = await transport.call("POST", url, timeout_s=0.4)
        ended.set()
    assert asked.is_set()
    assert result == NoAnswer("no response in time")


async def test_a_response_that_trickles_is_bounded_by_the_same_deadline(transport: Transport) -> None:
    ended = asyncio.Event()

    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"a")
        await ended.wait()
        return response

    async with serving(serve) as url:
        result = await transport.call("POST", url, timeout_s=0.4)
        ended.set()
    assert result == NoAnswer("no response in time")


async def test_the_largest_response_is_read_and_one_byte_more_is_refused(transport: Transport) -> None:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=bytes(MAX_ANSWER_BYTES + int(request.query["more"])))

    async with serving(serve) as url:
        largest = await transport.call("GET", f"{url}/?more=0", timeout_s=PATIENCE_S)
        too_large = await transport.call("GET", f"{url}/?more=1", timeout_s=PATIENCE_S)
    assert isinstance(largest, Answer)
    assert len(largest.body) == MAX_ANSWER_BYTES
    assert isinstance(too_large, NoAnswer)


async def test_a_small_response_that_unpacks_to_a_large_one_is_refused(transport: Transport) -> None:
    packed = gzip.compress(bytes(8 * MAX_ANSWER_BYTES))

    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    async with serving(serve) as url:
        result = await transport.call("GET", url, timeout_s=PATIENCE_S)
    assert isinstance(result, NoAnswer)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_response_and_not_followed(transport: Transport, status: int) -> None:
    asked: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with serving(serve) as url:
        answer = await transport.call("POST", f"{url}/here", body=b"money", timeout_s=PATIENCE_S)
    assert isinstance(answer, Answer)
    assert answer.status == status
    assert asked == ["/here"]


async def test_cookies_are_not_kept(transport: Transport) -> None:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(text=request.headers.get("Cookie", "none"), headers={"Set-Cookie": "a=b"})

    async with serving(serve) as url:
        await transport.call("GET", url, timeout_s=PATIENCE_S)
        second = await transport.call("GET", url, timeout_s=PATIENCE_S)
    assert isinstance(second, Answer)
    assert second.body == b"none"


async def test_a_transport_verifies_its_peers_and_is_entered_first(transport: Transport) -> None:
    with pytest.raises(RuntimeError, match="verifies"):
        await transport.call("GET", "https://127.0.0.1/", timeout_s=PATIENCE_S, tls=False)
    with pytest.raises(RuntimeError, match="enter the Transport"):
        await Transport().call("GET", "https://127.0.0.1/", timeout_s=PATIENCE_S)
