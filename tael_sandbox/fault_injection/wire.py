"""The wire between a caller and the wallets, with the faults of the list in it.

One wrapper round the whole app: it reads a wallet's request, lets the wallet answer or not, and spoils the
answer. `/control` and the payer's pages never come to harm. `FaultyProtocol` lets it reset a connection.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tael_sandbox.fault_injection.faults import AFTER_KINDS, ANSWER_KINDS, BEFORE_KINDS, Armed, Fault, Faults
from tael_sandbox.http1 import Http1Protocol
from tael_sandbox.tampering import Ask, Tampering

BODY_LIMIT_BYTES: Final = 256 * 1024  #: what is longer is left to the wallet to refuse
_TRANSPORT: Final = "tael_sandbox.transport"
#: Close at once and throw away what is unsent: the peer gets a reset.
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class FaultyProtocol(Http1Protocol):
    """Our HTTP/1.1, with the connection itself in the scope of each request."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_TRANSPORT: {"transport": self.transport}}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, read whole, and the way back to who sent it."""

    ask: Ask
    tampering: Tampering
    scope: Scope
    receive: Receive
    send: Send


class FaultyWire:
    def __init__(self, app: ASGIApp, faults: Faults, tamperings: Sequence[Tampering]) -> None:
        self._app = app
        self._faults = faults
        self._tamperings = tamperings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tampering = self._tampering_at(scope)
        if tampering is None:
            await self._app(scope, receive, send)
            return
        read, body = await _read(receive)
        replayed = _replay(read, receive)
        ask = Ask(scope["path"], scope["query_string"], body)
        is_whole = read[-1]["type"] == "http.request" and len(body) <= BODY_LIMIT_BYTES
        operation = tampering.operation_of(ask) if is_whole else None
        if operation is None:
            await self._app(scope, replayed, send)
            return
        drawn = self._faults.drawn(operation.wallet, operation.name, ANSWER_KINDS)
        await self._answer(Exchange(ask, tampering, scope, replayed, send), drawn)

    def _tampering_at(self, scope: Scope) -> Tampering | None:
        if scope["type"] != "http" or self._faults.is_empty:
            return None
        return next(
            (tampering for tampering in self._tamperings if tampering.listens_at(scope["path"])), None
        )

    async def _answer(self, exchange: Exchange, drawn: list[Armed]) -> None:
        """The first fault that can be done is done: one call has one fault."""
        for place, armed in enumerate(drawn):
            if armed.fault.kind not in BEFORE_KINDS:
                await self._answer_and_spoil(exchange, drawn[place:])
                return
            if await self._is_done_instead(exchange, armed):
                return
        await self._app(exchange.scope, exchange.receive, exchange.send)

    async def _is_done_instead(self, exchange: Exchange, armed: Armed) -> bool:
        """Does what takes the answer's place; False if it cannot be done to this request."""
        instead: Response | None = None
        if armed.fault.kind == "http_500":
            instead = PlainTextResponse("Internal Server Error", 500)
        elif armed.fault.kind == "system_error":
            instead = exchange.tampering.system_error(exchange.ask)
            if instead is None:
                return False
        if not self._faults.hit(armed):
            return False
        if instead is not None:
            await instead(exchange.scope, exchange.receive, exchange.send)
        elif armed.fault.kind == "timeout_before":
            await _fall_silent(exchange, armed.fault)
        else:
            await _reset(exchange)
        return True

    async def _answer_and_spoil(self, exchange: Exchange, drawn: list[Armed]) -> None:
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._app(exchange.scope, exchange.receive, keep)
        body = b"".join(message.get("body", b"") for message in answer)
        for armed in drawn:
            fault = armed.fault
            if fault.kind in BEFORE_KINDS:  # too late for it
                continue
            spoiled = body if fault.kind in AFTER_KINDS else _spoiled(exchange, fault.kind, body)
            if spoiled is None or not self._faults.hit(armed):
                continue
            if fault.kind == "timeout_after":
                await _fall_silent(exchange, fault)
                return
            if fault.kind == "slow":
                assert fault.delay_s is not None
                await asyncio.sleep(fault.delay_s)
            body = spoiled
            break
        await _send(exchange.send, answer[0], body)


def _spoiled(exchange: Exchange, kind: str, answer: bytes) -> bytes | None:
    if kind == "bad_signature":
        return exchange.tampering.missigned(answer)
    return exchange.tampering.misquoted(exchange.ask, answer)


async def _send(send: Send, start: Message, body: bytes) -> None:
    headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
    await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


async def _fall_silent(exchange: Exchange, fault: Fault) -> None:
    """Holds the connection until the caller gives up, or resets it when that takes too long."""
    assert fault.hold_s is not None
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_caller_is_gone(exchange.receive), fault.hold_s)
        return
    await _reset(exchange)


async def _reset(exchange: Exchange) -> None:
    extension: MutableMapping[str, Any] = exchange.scope["extensions"][_TRANSPORT]
    transport: asyncio.Transport = extension["transport"]
    connection = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # gone already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
    await _caller_is_gone(exchange.receive)  # else the server would answer 500 into the void


async def _caller_is_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read(receive: Receive) -> tuple[list[Message], bytes]:
    """The messages of the request's body, as far as a wallet would read them."""
    read: list[Message] = []
    body = bytearray()
    while len(body) <= BODY_LIMIT_BYTES:
        message = await receive()
        read.append(message)
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return read, bytes(body)


def _replay(read: list[Message], receive: Receive) -> Receive:
    waiting = list(reversed(read))

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed
