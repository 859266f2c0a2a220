"""HTTP calls of tests, byte for byte: over a new connection, or over one that is kept for all calls of a thread.

To open a connection takes longer than most calls. A kept one that the server has closed meanwhile is opened again
before it is used; no request is ever sent twice.
"""

import http.client
import json
import select
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

CALL_LIMIT_S: Final = 30

Members = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response's bytes. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def members(self) -> Members:
        members = json.loads(self.body)
        assert isinstance(members, dict)
        return members

    def __getitem__(self, name: str) -> Any:
        return self.members[name]

    @property
    def respcd(self) -> str:
        return str(self.members["respcd"])

    @property
    def sign(self) -> str | None:
        return self.headers.get("x-qf-sign")


class _Connections(dict[tuple[str, int], http.client.HTTPConnection]):
    """By server. They are closed with their thread."""

    def __del__(self) -> None:
        for connection in self.values():
            connection.close()


class _Kept(threading.local):
    def __init__(self) -> None:
        self.connections = _Connections()


_kept = _Kept()


def call(
    base: str, method: str, target: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()
) -> Answer:
    """Send these bytes, with only Host and Content-Length added. `base` begins with http://."""
    connection = _opened(*_server(base))
    try:
        return _exchange(connection, method, target, body, headers)
    finally:
        connection.close()


def call_kept(
    base: str, method: str, target: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()
) -> Answer:
    """As `call`, over this thread's connection to the server."""
    server = _server(base)
    connection = _kept.connections.pop(server, None)
    if connection is None or _is_closed(connection):
        connection = _opened(*server)
    try:
        answer = _exchange(connection, method, target, body, headers)
    except BaseException:
        connection.close()
        raise
    if connection.sock is not None:  # it is closed already if the server asked for that
        _kept.connections[server] = connection
    return answer


def _server(base: str) -> tuple[str, int]:
    parts = urlsplit(base)
    return parts.hostname or "", parts.port or http.client.HTTP_PORT


def _opened(host: str, port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(host, port, timeout=CALL_LIMIT_S)


def _is_closed(connection: http.client.HTTPConnection) -> bool:
    """Whether there is something to read where nothing was asked for: the server's end."""
    is_readable = bool(select.select([connection.sock], [], [], 0)[0])
    if is_readable:
        connection.close()
    return is_readable


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: bytes,
    headers: Iterable[tuple[str, str]],
) -> Answer:
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    return Answer(
        response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    )
