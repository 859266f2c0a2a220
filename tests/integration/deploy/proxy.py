"""nginx and Caddy with the samples in `deploy`, on a test's own ports, certificates and logs; and a client for them."""

import asyncio
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trustme

from tests.integration.cli.test_listeners import ROOT, listens
from tests.support.ports import HOST

NAME: Final = "pay.example"
NGINX_SAMPLE: Final = ROOT / "deploy" / "nginx" / "tael.conf"
CADDY_SAMPLE: Final = ROOT / "deploy" / "caddy" / "Caddyfile"
START_LIMIT_S: Final = 20.0
WAIT_S: Final = 20.0

Replacements = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy. `logs` is the folder of everything that it writes."""

    name: str
    port: int
    upstream_port: int
    logs: Path
    trust: ssl.SSLContext

    def logged(self) -> str:
        return "".join(path.read_text("utf-8") for path in sorted(self.logs.iterdir()))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    head: str
    body: bytes


@asynccontextmanager
async def connected(
    proxy: Proxy, source: str = HOST
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TLS connection from the address `source`, whose certificate is verified."""
    async with asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection(
            HOST, proxy.port, ssl=proxy.trust, server_hostname=NAME, local_addr=(source, 0)
        )
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def send(
    proxy: Proxy,
    target: str,
    body: bytes = b"",
    method: str = "GET",
    headers: Sequence[str] = (),
    source: str = HOST,
) -> Answer:
    """The response to one request on a connection of its own."""
    async with connected(proxy, source) as (reader, writer):
        writer.write(head_of(proxy, target, method, len(body), ["Connection: close", *headers]) + body)
        return parsed(await reader.read())


def head_of(proxy: Proxy, target: str, method: str, length: int, headers: Sequence[str] = ()) -> bytes:
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {NAME}:{proxy.port}",
        f"Content-Length: {length}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def parsed(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    return Answer(int(head.split()[1]), head.decode().lower(), body)


# ---- what is behind it -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Upstream:
    """What has reached a stub in place of the gateway."""

    heads: list[str] = field(default_factory=list)


Respond = Callable[[Upstream, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def echo(upstream: Upstream, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Responds with the request's first line."""
    line = upstream.heads[-1].partition("\r\n")[0].encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(line), line))


@asynccontextmanager
async def stub(port: int, respond: Respond = echo) -> AsyncIterator[Upstream]:
    """In the gateway's place on `port`. `respond` gets each request once its head has arrived, and reads the body."""
    upstream = Upstream()
    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        try:
            while True:
                upstream.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                await respond(upstream, reader, writer)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # the end, or a body that `respond` has not read
        finally:
            open_now.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, HOST, port)
    try:
        yield upstream
    finally:
        server.close()
        for writer in list(open_now):
            writer.transport.abort()


# ---- starting it -----------------------------------------------------------------------------------------------------


@contextmanager
def running(name: str, program: str, port: int, upstream_port: int, folder: Path) -> Iterator[Proxy]:
    """The proxy `name`, nginx or caddy, in front of `upstream_port`."""
    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    certificate = authority.issue_cert(NAME)
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(folder / "cert.pem", append=True)
    logs = folder / "logs"
    logs.mkdir()
    prepare = {"nginx": _nginx, "caddy": _caddy}[name]
    arguments = prepare(port, upstream_port, folder)
    with (logs / "standard-error.log").open("wb") as output:
        process = subprocess.Popen(
            [program, *arguments],
            env=os.environ
            | {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
            stdout=output,
            stderr=output,
        )
    try:
        until = time.monotonic() + START_LIMIT_S
        while not listens(port):
            assert process.poll() is None, (logs / "standard-error.log").read_text()
            assert time.monotonic() < until
            time.sleep(0.02)
        yield Proxy(name, port, upstream_port, logs, trust)
    finally:
        process.terminate()
        process.wait(WAIT_S)


def _nginx(port: int, upstream_port: int, folder: Path) -> list[str]:
    certificates = f"/etc/letsencrypt/live/{NAME}"
    site = replaced(
        NGINX_SAMPLE.read_text("utf-8"),
        ("server 127.0.0.1:8000;", f"server {HOST}:{upstream_port};"),
        ("    listen [::]:443 ssl default_server;\n", ""),
        ("    listen [::]:443 ssl;\n", ""),
        ("listen 443 ssl default_server;", f"listen {HOST}:{port} ssl default_server;"),
        ("listen 443 ssl;", f"listen {HOST}:{port} ssl;"),
        (f"{certificates}/fullchain.pem", f"{folder}/cert.pem"),
        (f"{certificates}/privkey.pem", f"{folder}/key.pem"),
        ("access_log /var/log/nginx/", f"access_log {folder}/logs/"),
        ("error_log /var/log/nginx/", f"error_log {folder}/logs/"),
    )
    (folder / "tael.conf").write_text(site)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; events {{}}\n"
        f"http {{ {paths} access_log {folder}/logs/access.log; include {folder}/tael.conf; }}\n"
    )
    return ["-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def _caddy(port: int, upstream_port: int, folder: Path) -> list[str]:
    site = replaced(
        CADDY_SAMPLE.read_text("utf-8"),
        ("127.0.0.1:8000", f"{HOST}:{upstream_port}"),
        ("auto_https disable_redirects", f"auto_https disable_redirects\n\tadmin off\n\tdefault_bind {HOST}"),
        (f"\n{NAME} {{", f"\nhttps://{NAME}:{port} {{\n\ttls {folder}/cert.pem {folder}/key.pem"),
        ("/var/log/caddy/", f"{folder}/logs/"),
    )
    (folder / "Caddyfile").write_text(site)
    return ["run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def replaced(text: str, *replacements: tuple[str, str]) -> str:
    """Each replacement must be of one place in the sample."""
    for old, new in replacements:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def program_of(name: str) -> str | None:
    """Debian has nginx in a folder that is not in every user's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
