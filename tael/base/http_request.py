"""One request and its response, over a connection of aiohttp's pool.

aiohttp keeps the connections, resolves names, and does TLS, proxies and the parsing of responses. Its session is not
used: for each request it prepares redirects, cookies, streamed bodies and a task that writes, which costs more than
all the rest. Here the head of a request is a text and is written with its body at once.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from ssl import SSLContext
from typing import Final

import aiohttp
from aiohttp.connector import Connection
from aiohttp.streams import StreamReader
from msgspec import Struct
from yarl import URL

USER_AGENT: Final = f"tael/{version('tael')}"
#: In a head they could begin another header or request.
CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
DEFAULT_CONTENT_TYPE: Final = "application/octet-stream"
SWITCHING_PROTOCOLS: Final = 101


@dataclass(frozen=True, slots=True)
class Target:
    """A server and how it is reached. `request` is what aiohttp's pool looks connections up with; it is never sent."""

    request: aiohttp.ClientRequest
    headers: Mapping[str, str]  #: lines of a head, by their names in lower case
    is_forwarded: bool  #: a proxy forwards the request, instead of opening a tunnel


def target_of(url: URL, tls: SSLContext | bool, proxy: URL | None) -> Target:
    """The server that `url` names; its path and query do not matter."""
    agent = {"User-Agent": USER_AGENT}
    request = aiohttp.ClientRequest(
        "GET",
        url,
        headers=agent,
        ssl=tls,
        proxy=proxy,
        proxy_headers=agent if proxy else None,
        loop=asyncio.get_running_loop(),
    )
    lines = {name.lower(): _line(name, value) for name, value in request.headers.items()}
    if proxy is None or request.is_ssl():
        return Target(request, lines, is_forwarded=False)
    return Target(request, lines | _credentials(proxy), is_forwarded=True)


class Request(Struct, frozen=True):
    """What is sent to a target."""

    method: str
    url: URL
    body: bytes
    headers: Mapping[str, str]

    def octets(self, target: Target) -> bytes:
        """The request line, the headers and the body. Raises ValueError for control characters in the first two."""
        path = str(self.url.with_fragment(None)) if target.is_forwarded else self.url.raw_path_qs
        _check(path)
        lines = dict(target.headers)
        lines["content-length"] = f"Content-Length: {len(self.body)}\r\n"
        lines["content-type"] = f"Content-Type: {DEFAULT_CONTENT_TYPE}\r\n"
        for name, value in self.headers.items():
            lines[name.lower()] = _line(name, value)
        head = f"{self.method} {path} HTTP/1.1\r\n{''.join(lines.values())}\r\n"
        return head.encode() + self.body


class Response(Struct, frozen=True):
    """The head of a response, and its body to read. The connection must be released afterwards."""

    status: int
    headers: Mapping[str, str]  #: names in lower case
    body: StreamReader
    connection: Connection


async def ask(connection: Connection, octets: bytes, *, has_body: bool) -> Response:
    """Send a request and wait for the head of the response. After an error the connection is closed.

    `has_body` is False if the method's responses have none. Raises aiohttp.ClientError, HttpProcessingError.
    """
    try:
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None or transport.is_closing():
            raise aiohttp.ServerDisconnectedError
        protocol.set_response_params(skip_payload=not has_body, read_until_eof=True)
        transport.write(octets)
        message, body = await protocol.read()
        while message.code < 200 and message.code != SWITCHING_PROTOCOLS:
            message, body = await protocol.read()
    except BaseException:
        connection.close()
        raise
    headers = {name.lower(): value for name, value in message.headers.items()}
    return Response(message.code, headers, body, connection)


def _credentials(proxy: URL) -> dict[str, str]:
    """Those in the URL of a proxy, as the line of a head."""
    to_proxy = aiohttp.ClientRequest("GET", proxy, loop=asyncio.get_running_loop())
    credentials = to_proxy.headers.get("Authorization")
    name = "Proxy-Authorization"
    return {} if credentials is None else {name.lower(): _line(name, credentials)}


def _line(name: str, value: str) -> str:
    """Raises ValueError for control characters."""
    _check(name)
    _check(value)
    return f"{name}: {value}\r\n"


def _check(text: str) -> None:
    if CONTROL_CHARACTERS.search(text):
        raise ValueError("a control character in the head of a request")
