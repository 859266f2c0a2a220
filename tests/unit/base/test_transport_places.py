"""Each wallet has its own connections, shared by its accounts; a call that got none in time was certainly not sent."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from tael.base.egress import EgressPolicy
from tael.base.transport import (
    MAX_WAITING,
    NO_CONNECTION,
    Answer,
    CallSlots,
    NoAnswer,
    NothingSent,
    Result,
    Transport,
)
from tests.support.metrics import sample
from tests.support.serving import serving
from tests.unit.base.test_transport import PATIENCE_S

NOT_SENT = NothingSent(NO_CONNECTION)


@dataclass
class BlockingServer:
    """Answers no request until `open` is set; `received` holds the body of every request."""

    url: str = ""
    open: asyncio.Event = field(default_factory=asyncio.Event)
    received: list[str] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, request: web.Request) -> web.Response:
        async with self.arrived:
            self.received.append((await request.read()).decode())
            self.arrived.notify_all()
        await self.open.wait()
        return web.Response()

    async def until_received(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self.arrived:
            await self.arrived.wait_for(lambda: len(self.received) >= times)


@asynccontextmanager
async def blocking_server() -> AsyncIterator[BlockingServer]:
    server = BlockingServer()
    async with serving(server.serve) as server.url:
        try:
            yield server
        finally:
            server.open.set()


def ask(transport: Transport, url: str, account: str) -> "asyncio.Task[Result]":
    return asyncio.create_task(
        transport.call("POST", url, body=account.encode(), timeout_s=PATIENCE_S, account=account)
    )


async def test_a_call_without_a_connection_is_not_sent() -> None:
    async with blocking_server() as wallet, Transport(connections=4, wait_s=0.01) as transport:
        hanging = [ask(transport, wallet.url, account) for account in ("a", "a", "b", "b")]
        await wallet.until_received(4)

        assert [await ask(transport, wallet.url, account) for account in ("a", "b", "c")] == [NOT_SENT] * 3

        wallet.open.set()
        assert all(isinstance(result, Answer) for result in await asyncio.gather(*hanging))
        assert isinstance(await ask(transport, wallet.url, "c"), Answer)
        assert sorted(wallet.received) == ["a", "a", "b", "b", "c"]


async def test_one_account_cannot_use_up_the_connections_to_its_wallet() -> None:
    async with blocking_server() as wallet, Transport(connections=4, wait_s=0.01) as transport:
        hanging = [ask(transport, wallet.url, "a") for _ in range(9)]
        await wallet.until_received(2)

        other = ask(transport, wallet.url, "b")
        await wallet.until_received(3)

        wallet.open.set()
        assert isinstance(await other, Answer)
        results = await asyncio.gather(*hanging)
        assert sorted(wallet.received) == ["a"] * sum(isinstance(one, Answer) for one in results) + ["b"]


async def test_while_a_wallet_hangs_with_all_its_connections_another_answers_from_the_first_call() -> None:
    async def serve(_: web.Request) -> web.Response:
        return web.Response()

    async with (
        blocking_server() as hung,
        serving(serve) as well,
        Transport(connections=4, wait_s=0.01) as to_hung,
        Transport(connections=4, wait_s=0.01) as to_well,
    ):
        hanging = [ask(to_hung, hung.url, account) for account in ("a", "a", "b", "b")]
        await hung.until_received(4)
        for _ in range(9):
            assert isinstance(await ask(to_well, well, "a"), Answer)
        hung.open.set()
        await asyncio.gather(*hanging)


async def test_a_call_that_waited_is_sent_when_a_connection_is_free() -> None:
    async with blocking_server() as wallet, Transport(connections=2, wait_s=PATIENCE_S) as transport:
        first, second = ask(transport, wallet.url, "a"), ask(transport, wallet.url, "a")
        await wallet.until_received(1)
        wallet.open.set()
        assert isinstance(await first, Answer)
        assert isinstance(await second, Answer)


async def test_the_wait_for_a_connection_is_part_of_the_deadline_and_then_nothing_was_sent() -> None:
    async with blocking_server() as wallet, Transport(connections=2, wait_s=0.01) as transport:
        hanging = ask(transport, wallet.url, "a")
        await wallet.until_received(1)
        result = await transport.call("POST", wallet.url, timeout_s=0.001, account="a")
        assert result == NOT_SENT
        wallet.open.set()
        await hanging


async def test_a_freed_place_goes_to_the_account_with_the_fewest_calls_in_flight() -> None:
    slots = CallSlots(4, PATIENCE_S)
    assert [await slots.take(account) for account in ("a", "a", "b", "b")] == [True] * 4
    begun: list[str] = []

    async def wait(account: str) -> None:
        assert await slots.take(account)
        begun.append(account)

    waiting = [asyncio.create_task(wait(account)) for account in ("a", "a", "b", "c")]
    await asyncio.sleep(0)
    for account in ("a", "b", "a"):
        slots.free(account)
    await asyncio.sleep(0.001)
    assert begun[0] == "c"
    assert sorted(begun) == ["a", "b", "c"]
    slots.free("c")
    await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_S)


async def test_a_cancelled_call_leaves_its_place_to_others() -> None:
    slots = CallSlots(2, PATIENCE_S)
    assert await slots.take("a")
    waits, granted = (asyncio.create_task(slots.take("a")) for _ in range(2))
    await asyncio.sleep(0)
    waits.cancel()
    await asyncio.sleep(0)
    slots.free("a")  # given to the second, which is cancelled before it runs
    granted.cancel()
    await asyncio.wait({waits, granted})
    assert await slots.take("a")
    assert await slots.take("b")


async def test_no_more_calls_wait_than_the_limit_allows() -> None:
    slots = CallSlots(2, PATIENCE_S)
    assert await slots.take("a")
    waiting = [asyncio.create_task(slots.take("a")) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    assert not await asyncio.wait_for(slots.take("a"), PATIENCE_S)
    assert await slots.take("b")
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


@pytest.fixture
def hanging_lookup() -> Iterator[Any]:
    """A name server that answers no query until the test is over."""
    over = threading.Event()

    def lookup(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        over.wait(PATIENCE_S)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    yield lookup
    over.set()


@pytest.mark.parametrize("reach", [None, EgressPolicy()], ids=["wallet", "webhook"])
async def test_a_deadline_that_passes_before_a_connection_means_that_nothing_was_sent(
    hanging_lookup: Any, reach: EgressPolicy | None
) -> None:
    async with Transport(reach, hanging_lookup) as transport:
        result = await transport.call("POST", "http://wallet.example/", body=b"money", timeout_s=0.01)
    assert result == NothingSent("connection timed out")


async def test_names_resolve_while_the_default_executor_is_blocked() -> None:
    async def serve(_: web.Request) -> web.Response:
        return web.Response()

    over = threading.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    holding = loop.run_in_executor(None, over.wait, PATIENCE_S)
    try:
        async with serving(serve) as url, Transport() as transport:
            named = url.replace("127.0.0.1", "localhost")
            assert isinstance(await transport.call("POST", named, timeout_s=PATIENCE_S / 2), Answer)
        assert not holding.done()
    finally:
        over.set()
        await holding


async def test_a_request_repeated_on_a_new_connection_may_have_been_sent_on_the_first() -> None:
    answered = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await answered.wait()
        await reader.readuntil(b"\r\n\r\n")  # read, then the connection is closed
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    url = "http://{}:{}/".format(*server.sockets[0].getsockname())
    async with Transport() as transport:
        assert isinstance(await transport.call("GET", url, timeout_s=PATIENCE_S), Answer)
        server.close()
        answered.set()
        assert isinstance(await transport.call("GET", url, timeout_s=PATIENCE_S), NoAnswer)


@pytest.mark.parametrize(
    ("method", "bodies"), [("GET", [b"first", b"second"]), ("POST", [b"first"])], ids=["GET", "POST"]
)
async def test_only_a_query_is_repeated_if_the_kept_connection_was_closed(
    method: str, bodies: list[bytes]
) -> None:
    """A server may close a connection while a request is under way to it. A second payment is never made."""
    taken: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_first = not taken
        for _ in range(1 + is_first):
            await reader.readuntil(b"\r\n\r\n")
            if is_first and taken:
                break  # the second request on the first connection is read, and not answered
            taken.append(b"first" if is_first else b"second")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server, Transport() as transport:
        url = "http://{}:{}/".format(*server.sockets[0].getsockname())
        assert isinstance(await transport.call(method, url, timeout_s=PATIENCE_S), Answer)
        again = await transport.call(method, url, timeout_s=PATIENCE_S)
    assert taken == bodies
    assert isinstance(again, Answer if method == "GET" else NoAnswer)


async def test_calls_with_and_without_a_connection_are_in_the_metrics() -> None:
    """Of one account, which may have half of the connections."""
    async with (
        blocking_server() as wallet,
        Transport(connections=4, wait_s=PATIENCE_S, protocol="slow") as transport,
    ):
        asked = [ask(transport, wallet.url, "a") for _ in range(5)]
        await wallet.until_received(2)
        assert sample("tael_wallet_calls_in_progress", protocol="slow") == 2
        assert sample("tael_wallet_calls_waiting", protocol="slow") == 3
        wallet.open.set()
        await asyncio.gather(*asked)
        assert sample("tael_wallet_calls_in_progress", protocol="slow") == 0
        assert sample("tael_wallet_calls_waiting", protocol="slow") == 0
