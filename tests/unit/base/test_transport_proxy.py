"""Calls through a proxy, over a real CONNECT: TLS ends at the wallet, and a call refused by the proxy was not sent."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
import trustme
from aiohttp import web

from tael.base.http_request import USER_AGENT
from tael.base.secret import Secret
from tael.base.transport import Answer, NothingSent, Transport
from tael.channels.outcomes import NotSent
from tael.config import read_settings
from tael.services import open_services
from tests.support.ports import reserved_ports
from tests.support.wechat import account as wechat_account
from tests.support.wechat import order

PATIENCE_S = 10.0


@dataclass
class Proxy:
    """A proxy: the requests that it received, and its response to CONNECT."""

    status: int = 200
    url: str = ""
    heads: list[str] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        if self.status != 200:
            writer.write(f"HTTP/1.1 {self.status} No\r\nContent-Length: 0\r\n\r\n".encode())
            writer.close()
            return
        port = int(head.split()[1].rpartition(":")[2])
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(pump(reader, server_writer), pump(server_reader, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while octets := await reader.read(65_536):
            writer.write(octets)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxy_answering(status: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(status)
    async with await asyncio.start_server(proxy.talk, "127.0.0.1", 0) as server:
        proxy.url = f"http://user:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield proxy


@asynccontextmanager
async def wallet() -> AsyncIterator[tuple[str, ssl.SSLContext, list[str]]]:
    """A server with TLS: its url by the name of its certificate, a context that trusts it, and its callers."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    callers: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        callers.append(request.headers["User-Agent"])
        return web.Response(body=b"paid " + await request.read())

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    try:
        yield f"https://127.0.0.1:{port}/pay", trusting, callers
    finally:
        await runner.cleanup()


async def test_a_wallet_is_called_through_the_proxy_and_verified_end_to_end() -> None:
    async with (
        wallet() as (url, trusting, callers),
        proxy_answering(200) as proxy,
        Transport(proxy=Secret(proxy.url)) as transport,
    ):
        answer = await transport.call("POST", url, body=b"10", timeout_s=PATIENCE_S, tls=trusting)
        distrusting = await transport.call("POST", url, timeout_s=PATIENCE_S)
    assert isinstance(answer, Answer)
    assert answer.body == b"paid 10"
    assert callers == [USER_AGENT]
    assert proxy.heads[0].startswith(f"CONNECT {url.split('/')[2]} HTTP/1.1")
    assert "Proxy-Authorization: Basic " in proxy.heads[0]
    assert isinstance(distrusting, NothingSent)
    assert distrusting.reason.startswith("TLS: the server's certificate is not accepted: ")


async def test_a_call_without_tls_is_forwarded_by_the_proxy_with_its_credentials() -> None:
    heads: list[str] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"10")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npaid")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Transport(proxy=Secret(f"http://user:secret@127.0.0.1:{port}")) as transport:
            url = "http://wallet.example/pay?a=%2b#top"
            answer = await transport.call("POST", url, body=b"10", timeout_s=PATIENCE_S)
    assert isinstance(answer, Answer)
    assert answer.body == b"paid"
    lines = heads[0].split("\r\n")
    assert lines[0] == "POST http://wallet.example/pay?a=%2b HTTP/1.1"
    assert "Host: wallet.example" in lines
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'user:secret').decode()}" in lines


async def test_a_call_that_the_proxy_refuses_was_not_sent() -> None:
    async with (
        wallet() as (url, trusting, callers),
        proxy_answering(403) as proxy,
        Transport(proxy=Secret(proxy.url)) as transport,
    ):
        refused = await transport.call("POST", url, timeout_s=PATIENCE_S, tls=trusting)
    assert refused == NothingSent("the proxy refuses to connect: HTTP 403")
    assert callers == []


async def test_an_unreachable_proxy_sends_nothing() -> None:
    with reserved_ports(1) as (port,):
        async with Transport(proxy=Secret(f"http://127.0.0.1:{port}")) as transport:
            result = await transport.call("POST", "https://wallet.example/", timeout_s=PATIENCE_S)
    assert result == NothingSent("the proxy cannot be reached")


async def test_without_the_setting_no_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with wallet() as (url, trusting, _), proxy_answering(403) as proxy:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with Transport() as transport:
            answer = await transport.call("POST", url, timeout_s=PATIENCE_S, tls=trusting)
    assert isinstance(answer, Answer)
    assert proxy.heads == []


async def test_webhooks_use_no_proxy() -> None:
    environment = {
        "TAEL_DATABASE_URL": "postgresql://tael:x@127.0.0.1:1/tael",
        "TAEL_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode(),
        "TAEL_WALLET_PROXY": "http://127.0.0.1:9",
    }
    async with open_services(read_settings(environment)) as services:
        assert services.first.deliveries.transport.proxy is None
        account = wechat_account()
        outcome = await services.first.payments.wallets.channels["wechat_v2"].query(order("800201", account))
    assert outcome == NotSent("the proxy cannot be reached")


async def test_failures_of_names_and_certificates_are_explained() -> None:
    async with wallet() as (url, _, callers), Transport() as transport:
        unknown = await transport.call("POST", "https://nowhere.invalid/", timeout_s=PATIENCE_S)
        untrusted = await transport.call("POST", url, timeout_s=PATIENCE_S)
    assert unknown == NothingSent("the host name cannot be resolved")
    assert isinstance(untrusted, NothingSent)
    assert untrusted.reason == (
        "TLS: the server's certificate is not accepted: unable to get local issuer certificate"
    )
    assert callers == []
