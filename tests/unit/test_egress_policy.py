"""A transport with a reach judges the very address that it connects to: real sockets, names answered by a stub."""

import asyncio
import socket
from typing import Any

import pytest
from aiohttp import web

from tael.base.egress import EgressPolicy
from tael.base.transport import NOT_ALLOWED, Answer, Lookup, NothingSent, Transport
from tests.support.serving import serving
from tests.unit.test_transport import PATIENCE_S

DEMO = EgressPolicy(loopback=True, any_port=True)


def names(*turns: list[str]) -> tuple[Lookup, list[str]]:
    """A name server that answers these addresses in turn, and what it was asked."""
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
    heard: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        heard.append(request.path)
        return web.Response()

    async with serving(serve) as url, Transport(EgressPolicy(any_port=True)) as transport:
        port = url.rpartition(":")[2]
        result = await transport.call("POST", f"http://{host}:{port}/", timeout_s=PATIENCE_S)
    if host in ("2130706433", "127.1"):  # these the client itself takes for no address
        assert isinstance(result, NothingSent)
    else:
        assert result == NothingSent(NOT_ALLOWED)
    assert heard == []


async def test_a_name_is_judged_by_the_address_that_is_connected_to() -> None:
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


async def test_of_several_addresses_those_inside_are_left_out() -> None:
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


async def test_a_name_that_turns_inwards_after_its_first_answer_reaches_nothing() -> None:
    heard: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        heard.append(request.path)
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
    assert (len(asked), heard) == (2, ["/1"])


async def test_another_port_is_not_called() -> None:
    result = None
    async with Transport(EgressPolicy(loopback=True)) as transport:
        result = await transport.call("POST", "http://127.0.0.1:5432/", timeout_s=PATIENCE_S)
    assert result == NothingSent(NOT_ALLOWED)


async def test_a_name_that_is_nobodys_sends_nothing() -> None:
    def lookup(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "nobody")

    async with Transport(DEMO, lookup) as transport:
        result = await transport.call("POST", "http://merchant.example/", timeout_s=PATIENCE_S)
    assert isinstance(result, NothingSent)
    assert result != NothingSent(NOT_ALLOWED)


async def test_an_answer_is_read_as_far_as_it_is_wanted() -> None:
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
