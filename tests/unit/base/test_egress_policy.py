"""A transport with an egress policy checks the address that it connects to: real sockets, and a stub name server."""

import asyncio
import socket
from typing import Any

import pytest
from aiohttp import web

from tael.base.egress import EgressPolicy
from tael.base.transport import NOT_ALLOWED, Answer, Lookup, NothingSent, Transport
from tests.support.serving import serving
from tests.unit.base.test_transport import PATIENCE_S

DEMO = EgressPolicy(loopback=True, any_port=True)


def names(*turns: list[str]) -> tuple[Lookup, list[str]]:
    """A name server that returns these addresses in turn, and records its queries."""
    asked: list[str] = []

    def lookup(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        addresses = turns[min(len(asked), len(turns)) - 1]
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in addresses
        ]

    return lookup, asked


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "127.1", "0x7f.1", "localhost", "0.0.0.0"],
)
async def test_loopback_is_not_called_however_it_is_written(host: str) -> None:
    requests: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        requests.append(request.path)
        return web.Response()

    async with serving(serve) as url, Transport(EgressPolicy(any_port=True)) as transport:
        port = url.rpartition(":")[2]
        result = await transport.call("POST", f"http://{host}:{port}/", timeout_s=PATIENCE_S)
    if host in ("2130706433", "127.1"):  # the HTTP client itself does not take these for addresses
        assert isinstance(result, NothingSent)
    else:
        assert result == NothingSent(NOT_ALLOWED)
    assert requests == []


async def test_a_name_is_checked_by_the_address_that_is_connected_to() -> None:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(text=request.host)

    lookup, asked = names(["127.0.0.1"])
    async with serving(serve) as url:
        target = url.replace("127.0.0.1", "merchant.example")
        async with Transport(DEMO, lookup) as transport:
            answer = await transport.call("POST", target, timeout_s=PATIENCE_S)
        assert isinstance(answer, Answer)
        assert answer.body.startswith(b"merchant.example:")
        async with Transport(EgressPolicy(any_port=True), lookup) as transport:
            assert await transport.call("POST", target, timeout_s=PATIENCE_S) == NothingSent(NOT_ALLOWED)
    assert asked == ["merchant.example"] * 2


async def test_internal_addresses_among_several_are_left_out() -> None:
    async def serve(request: web.Request) -> web.Response:
        return web.Response()

    lookup, _ = names(["10.0.0.1", "127.0.0.1", "192.168.0.1"])
    async with serving(serve) as url, Transport(DEMO, lookup) as transport:
        target = url.replace("127.0.0.1", "merchant.example")
        assert isinstance(await transport.call("POST", target, timeout_s=PATIENCE_S), Answer)
    inside, _ = names(["10.0.0.1", "fd00::1", "169.254.169.254"])
    async with Transport(DEMO, inside) as transport:
        result = await transport.call("POST", "http://merchant.example/", timeout_s=PATIENCE_S)
    assert result == NothingSent(NOT_ALLOWED)


async def test_a_name_that_later_resolves_to_an_internal_address_is_not_called() -> None:
    requests: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        requests.append(request.path)
        return web.Response(headers={"Connection": "close"})

    lookup, asked = names(["127.0.0.1"], ["10.0.0.1"])
    async with serving(serve) as url:
        target = url.replace("127.0.0.1", "merchant.example")
        async with Transport(DEMO, lookup) as transport:
            assert isinstance(await transport.call("POST", f"{target}/1", timeout_s=PATIENCE_S), Answer)
        async with Transport(DEMO, lookup) as transport:
            assert await transport.call("POST", f"{target}/2", timeout_s=PATIENCE_S) == NothingSent(
                NOT_ALLOWED
            )
    assert (len(asked), requests) == (2, ["/1"])


async def test_another_port_is_not_called() -> None:
    result = None
    async with Transport(EgressPolicy(loopback=True)) as transport:
        result = await transport.call("POST", "http://127.0.0.1:5432/", timeout_s=PATIENCE_S)
    assert result == NothingSent(NOT_ALLOWED)


async def test_an_unknown_name_sends_nothing() -> None:
    def lookup(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown name")

    async with Transport(DEMO, lookup) as transport:
        result = await transport.call("POST", "http://merchant.example/", timeout_s=PATIENCE_S)
    assert isinstance(result, NothingSent)
    assert result != NothingSent(NOT_ALLOWED)


async def test_a_response_is_read_up_to_its_limit() -> None:
    ended = asyncio.Event()

    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"a" * 1000)
        await ended.wait()
        return response

    async with serving(serve) as url, Transport(DEMO) as transport:
        answer = await transport.call("POST", url, timeout_s=PATIENCE_S, cut_at=1000)
        ended.set()
    assert isinstance(answer, Answer)
    assert answer.body == b"a" * 1000
