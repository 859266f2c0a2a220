"""Clients that offer HTTP/2 in a request over plain HTTP, as Java's does: the offer is ignored."""

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import parse_headers
from typing import BinaryIO
from urllib.parse import urlencode, urlsplit

import pytest

from tests.end_to_end.merchant import FORM, Merchant, new_reference
from tests.end_to_end.rig import Members
from tests.support.http_calls import CALL_LIMIT_S

OFFER = [
    ("Connection", "Upgrade, HTTP2-Settings"),
    ("Upgrade", "h2c"),
    ("HTTP2-Settings", "AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA"),
]


class Wire:
    """One connection, on which a test sends bytes."""

    def __init__(self, connection: socket.socket, incoming: BinaryIO) -> None:
        self._connection = connection
        self._incoming = incoming

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self._connection.sendall(part)

    def answer(self) -> tuple[int, Members]:
        status = int(self._incoming.readline().split()[1])
        headers = parse_headers(self._incoming)
        return status, json.loads(self._incoming.read(int(headers["Content-Length"])))

    def is_ended(self) -> bool:
        return self._incoming.read(1) == b""


@contextmanager
def wire_to(url: str) -> Iterator[Wire]:
    where = urlsplit(url)
    with socket.create_connection((str(where.hostname), int(where.port or 0)), CALL_LIMIT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("rb") as incoming:
            yield Wire(connection, incoming)


def head(path: str, headers: Sequence[tuple[str, str]]) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        *(f"{name}: {value}" for name, value in headers),
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def query(shop: Merchant, reference: str) -> tuple[bytes, list[tuple[str, str]]]:
    """The body and the headers of a query that finds nothing."""
    params = {"mchid": shop.mchid, "out_trade_no": reference}
    return urlencode(params).encode(), [*shop.headers(shop.sign(params), FORM), *OFFER]


def whole(body: bytes, headers: list[tuple[str, str]]) -> list[bytes]:
    return [head("/trade/v1/query", [*headers, ("Content-Length", str(len(body)))]) + body]


def in_two(body: bytes, headers: list[tuple[str, str]]) -> list[bytes]:
    return [head("/trade/v1/query", [*headers, ("Content-Length", str(len(body)))]), body]


def chunked(body: bytes, headers: list[tuple[str, str]]) -> list[bytes]:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:]))
    return [head("/trade/v1/query", [*headers, ("Transfer-Encoding", "chunked")]), chunks, b"0\r\n\r\n"]


@pytest.mark.parametrize("written", [whole, in_two, chunked])
def test_the_body_after_an_offer_arrives_and_the_connection_stays_open(
    shop: Merchant, written: Callable[[bytes, list[tuple[str, str]]], list[bytes]]
) -> None:
    with wire_to(shop.demo.gateway) as wire:
        for _ in range(3):
            wire.send(*written(*query(shop, new_reference())))
            status, members = wire.answer()
            assert (status, members["respcd"], members["data"]) == (200, "0000", [])


def test_requests_with_offers_may_be_pipelined(shop: Merchant) -> None:
    with wire_to(shop.demo.gateway) as wire:
        wire.send(b"".join(part for _ in range(3) for part in whole(*query(shop, new_reference()))))

        assert [wire.answer()[1]["respcd"] for _ in range(3)] == ["0000"] * 3


def test_connection_close_is_honoured_despite_an_offer(shop: Merchant) -> None:
    body, headers = query(shop, new_reference())
    headers = [("Connection", "close, Upgrade, HTTP2-Settings"), *headers[:-3], *OFFER[1:]]
    with wire_to(shop.demo.gateway) as wire:
        wire.send(*whole(body, headers))

        assert wire.answer()[1]["respcd"] == "0000"
        assert wire.is_ended()


def test_a_websocket_is_not_served_and_its_offer_is_ignored(shop: Merchant) -> None:
    body, headers = query(shop, new_reference())
    with wire_to(shop.demo.gateway) as wire:
        wire.send(*whole(body, [*headers[:-3], ("Connection", "Upgrade"), ("Upgrade", "websocket")]))

        assert wire.answer()[1]["respcd"] == "0000"


def test_the_wallets_ignore_an_offer_as_well(shop: Merchant) -> None:
    body = b'{"wallet": "alipay"}'
    with wire_to(shop.demo.sandbox) as wire:
        wire.send(head("/control/codes", [*OFFER, ("Content-Length", str(len(body)))]), body)

        status, members = wire.answer()
        assert (status, str(members["auth_code"]).isdigit()) == (200, True)
