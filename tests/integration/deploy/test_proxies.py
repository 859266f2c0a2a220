"""The samples for nginx and Caddy, run by these programs: what they pass to the gateway, refuse and log."""

import asyncio
import base64
import re
import ssl
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

import pytest

from tael.api.uploads import MAX_UPLOAD_BYTES
from tael.config import HttpLimits
from tael.main import application
from tael.operations.store import Store
from tests.integration.api.test_rate_limits import signed
from tests.integration.cli.test_listeners import started
from tests.integration.deploy.proxy import (
    CADDY_SAMPLE,
    NAME,
    NGINX_SAMPLE,
    Proxy,
    Upstream,
    connected,
    echo,
    head_of,
    program_of,
    running,
    send,
    stub,
)
from tests.support.ports import HOST, reserved_ports
from tests.support.routes import ROUTES_ONLY
from tests.support.store import ENCRYPTION_KEY
from tests.support.values import MCHID

OPERATIONS: Final = ("/healthz", "/readyz", "/metrics")
OTHER_PATHS: Final = (
    *OPERATIONS,
    "/",
    "/control/clock",
    "/trade/v2/query",
    "/trade/v1",
    "/cashier/",
    "/checkstander",
    "/notices/x",
    "/trade/v1/../../metrics",
    "/trade/v1/%2e%2e/%2e%2e/metrics",
    "//metrics",
)
#: In a query, a path or a header, and never in a log.
SECRET: Final = "5ecre7"
FORM: Final = "Content-Type: application/x-www-form-urlencoded"
KIB: Final = 1024
#: Caddy's HTTP client repeats a GET on a kept connection, which changes nothing.
SENT_ONCE: Final = {"nginx": ("POST", "GET"), "caddy": ("POST",)}


def public_paths() -> list[str]:
    """Of every route of the application except those for operations, with made-up parts."""
    paths = [route.path for route in application(ROUTES_ONLY).routes]  # type: ignore[attr-defined]
    return [re.sub(r"{\w+}", SECRET, path) for path in paths if path not in OPERATIONS]


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    name: str = request.param
    program = program_of(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    with (
        reserved_ports(2) as (port, upstream_port),
        running(name, program, port, upstream_port, tmp_path_factory.mktemp(name)) as started_proxy,
    ):
        yield started_proxy


# ---- the samples as text ---------------------------------------------------------------------------------------------


def test_every_public_route_is_in_both_samples() -> None:
    (nginx,) = re.findall(
        r"^    location ~ (\^\S+) {\n        proxy_pass", NGINX_SAMPLE.read_text("utf-8"), re.MULTILINE
    )
    (caddy,) = re.findall(r"^\t@public path (.*)$", CADDY_SAMPLE.read_text("utf-8"), re.MULTILINE)
    assert public_paths()
    for path in public_paths():
        assert re.search(nginx, path), path
        assert any(fnmatchcase(path, pattern) for pattern in caddy.split()), path
    for path in OPERATIONS:
        assert not re.search(nginx, path), path
        assert not any(fnmatchcase(path, pattern) for pattern in caddy.split()), path


def test_idle_connections_to_the_gateway_are_closed_before_the_gateway_closes_them() -> None:
    (nginx,) = re.findall(r"^    keepalive_timeout (\d+)s;\n}", NGINX_SAMPLE.read_text("utf-8"), re.MULTILINE)
    (caddy,) = re.findall(r"^\t+keepalive (\d+)s$", CADDY_SAMPLE.read_text("utf-8"), re.MULTILINE)
    for seconds in (nginx, caddy):
        assert 60 < int(seconds) < HttpLimits().max_idle_s


def test_the_gateway_s_own_limits_are_reached_first() -> None:
    """So that a merchant gets the gateway's response."""
    nginx = re.findall(r"client_max_body_size (\d+)([km]);", NGINX_SAMPLE.read_text("utf-8"))
    caddy = re.findall(r"max_size (\d+)([KM])iB", CADDY_SAMPLE.read_text("utf-8"))
    for sizes in (nginx, caddy):
        form, upload = sorted(int(number) * {"k": KIB, "m": KIB**2}[unit.lower()] for number, unit in sizes)
        assert HttpLimits().max_form_bytes < form < 2 * HttpLimits().max_form_bytes
        assert upload > MAX_UPLOAD_BYTES


# ---- what passes -----------------------------------------------------------------------------------------------------


async def test_a_signed_call_passes_and_the_gateway_sees_who_sent_it(
    proxy: Proxy, store: Store, database_url: str
) -> None:
    """From an address that the proxy alone can know, whatever the client claims."""
    settings = {
        "TAEL_DATABASE_URL": database_url,
        "TAEL_ENCRYPTION_KEY": base64.b64encode(ENCRYPTION_KEY).decode(),
        "TAEL_PUBLIC_URL": f"https://{NAME}",
    }
    serve = ["tael.cli", "serve", "--port", str(proxy.upstream_port), "--allow-http"]
    body = f"mchid={MCHID}".encode()
    headers = [FORM, "X-QF-APPCODE: app1", f"X-QF-SIGN: {signed({'mchid': MCHID}, 'key-of-app1')}"]
    forged = [FORM, "X-QF-APPCODE: app1", f"X-QF-SIGN: {'0' * 32}", "X-Forwarded-For: 203.0.113.9"]
    with started(proxy.upstream_port, serve, settings) as process:
        answer = await send(proxy, "/trade/v1/query", body, "POST", headers)
        assert answer.status == 200
        assert b'"respcd": "0000"' in answer.body
        assert "\r\nx-qf-sign: " in answer.head
        assert "\r\nstrict-transport-security: max-age=31536000" in answer.head

        assert (
            b'"respcd": "1108"'
            in (await send(proxy, "/trade/v1/query", body, "POST", forged, "127.0.0.2")).body
        )
        assert (await send(proxy, "/metrics")).status == 404
    (refused,) = [line for line in process.lines if line["event"] == "authentication.failed"]
    assert refused["peer"] == "127.0.0.2"


async def test_every_route_passes_unchanged_and_nothing_else(proxy: Proxy) -> None:
    async with stub(proxy.upstream_port) as upstream:
        for path in public_paths():
            answer = await send(proxy, f"{path}?a=%2F&a=b+c")
            assert answer.status == 200, path
            assert f"GET {path}?a=%2F&a=b+c HTTP/1.1".encode() in answer.body
        passed = len(upstream.heads)
        assert passed == len(public_paths())
        for path in OTHER_PATHS:
            answer = await send(proxy, path)
            assert answer.status == 404, path
            assert "\r\nstrict-transport-security: max-age=31536000" in answer.head
        assert len(upstream.heads) == passed


async def test_another_name_gets_no_certificate(proxy: Proxy) -> None:
    any_certificate = ssl.create_default_context()
    any_certificate.check_hostname, any_certificate.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection(HOST, proxy.port, ssl=any_certificate, server_hostname="other.example")


async def read_and_echo(
    upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    for length in re.findall(r"content-length: (\d+)", upstream.heads[-1].lower()):
        await reader.readexactly(int(length))
    await echo(upstream, reader, writer)


# ---- limits ----------------------------------------------------------------------------------------------------------


async def test_a_body_above_the_limit_is_413(proxy: Proxy) -> None:
    async with stub(proxy.upstream_port, read_and_echo):
        largest = b"x" * HttpLimits().max_form_bytes
        assert (await send(proxy, "/trade/v1/payment", largest, "POST", [FORM])).status == 200
        answer = await send(proxy, "/trade/v1/payment", b"x" * (129 * KIB), "POST", [FORM])
        assert answer.status == 413
        assert (await send(proxy, "/mch/v1/signup", b"x" * (129 * KIB), "POST")).status == 200


async def test_a_head_above_the_limit_is_refused(proxy: Proxy) -> None:
    async with stub(proxy.upstream_port) as upstream:
        assert (await send(proxy, f"/trade/v1/query?x={'y' * 8_000}")).status == 200
        too_long = await send(proxy, f"/trade/v1/query?x={'y' * 80_000}")
        assert too_long.status in (414, 431)
        too_many = await send(proxy, "/trade/v1/query", headers=[f"X-{n}: {'y' * 8_000}" for n in range(10)])
        assert too_many.status in (400, 431)
    assert len(upstream.heads) == 1


# ---- what streams, and what is sent once -----------------------------------------------------------------------------


async def test_an_upload_reaches_the_gateway_while_it_arrives(proxy: Proxy) -> None:
    arrived = asyncio.Event()

    async def read_slowly(
        upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert await reader.readexactly(5) == b"first"
        arrived.set()
        assert await reader.readexactly(4) == b"last"
        await echo(upstream, reader, writer)

    async with stub(proxy.upstream_port, read_slowly), connected(proxy) as (reader, writer):
        writer.write(head_of(proxy, "/mch/v1/signup", "POST", 9) + b"first")
        await arrived.wait()
        writer.write(b"last")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_a_bill_reaches_the_merchant_while_it_is_sent(proxy: Proxy) -> None:
    taken = asyncio.Event()

    async def send_slowly(_: Upstream, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst")
        await taken.wait()
        writer.write(b"last")

    async with stub(proxy.upstream_port, send_slowly), connected(proxy) as (reader, writer):
        writer.write(head_of(proxy, "/download/v1/trade_bill", "GET", 0))
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(5) == b"first"
        taken.set()
        assert await reader.readexactly(4) == b"last"


async def test_a_request_that_gets_no_response_is_not_sent_again(proxy: Proxy) -> None:
    """On a kept connection, which a proxy may take for one that was closed before the request."""

    async def respond_once(
        upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if len(upstream.heads) > 1:
            raise ConnectionError
        await echo(upstream, reader, writer)

    for method in SENT_ONCE[proxy.name]:
        async with stub(proxy.upstream_port, respond_once) as upstream:
            assert (await send(proxy, "/trade/v1/query", method=method)).status == 200
            assert (await send(proxy, "/trade/v1/query", method=method)).status == 502
        assert len(upstream.heads) == 2, method


# ---- logs ------------------------------------------------------------------------------------------------------------


async def test_no_log_has_a_query_a_token_or_a_header(proxy: Proxy) -> None:
    """Neither of requests that pass, nor of those that the proxy refuses or cannot deliver."""
    query, headers = f"sign={SECRET}", [f"X-QF-SIGN: {SECRET}", f"Referer: https://{NAME}/?{SECRET}"]
    targets = [
        f"/trade/v1/query?{query}",
        f"/tool/v1/get_weixin_oauth_code?{query}",
        f"/cashier/pay/{SECRET}/{SECRET}/{SECRET}/state?{query}",
        f"/checkstand/{SECRET}/{SECRET}",
        f"/notices/alipay/{SECRET}",
        f"/return/alipay/{SECRET}?{query}",
        f"/unknown/path?{query}",
    ]
    async with stub(proxy.upstream_port, read_and_echo) as upstream:
        async with connected(proxy) as (reader, writer):
            writer.write(
                f"GET {targets[0]} HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n".encode()
            )
            await reader.read()
        assert not upstream.heads
        for target in targets:
            assert (await send(proxy, target, headers=headers)).status in (200, 404)
        assert (await send(proxy, targets[0], b"x" * (129 * KIB), "POST", headers)).status == 413
        assert (await send(proxy, f"/trade/v1/query?{query}{'y' * 80_000}")).status in (414, 431)
    for target in targets[:-1]:
        assert (await send(proxy, target, headers=headers)).status == 502

    until = time.monotonic() + 10
    while '/unknown/path"' not in proxy.logged() or "/cashier/pay/" not in proxy.logged():
        assert time.monotonic() < until
        await asyncio.sleep(0.02)
    assert "/trade/v1/query" in proxy.logged()
    assert "502" in proxy.logged()
    assert SECRET not in proxy.logged()
