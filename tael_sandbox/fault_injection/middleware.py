"""ASGI middleware that applies the list of faults to requests for the wallets.

It wraps the whole app: it reads a wallet's request, lets the wallet respond or not, and changes the response.
`/control` and the payer's pages are never affected. `ResettableProtocol` lets it reset a connection.
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

from tael_sandbox.fault_injection.faults import (
    AFTER_KINDS,
    ANSWER_KINDS,
    BEFORE_KINDS,
    ArmedFault,
    Fault,
    Faults,
)
from tael_sandbox.fault_injection.tampering import Tampering, WalletRequest
from tael_sandbox.http1 import Http1Protocol

BODY_LIMIT_BYTES: Final = 256 * 1024  #: the wallet refuses longer bodies itself
_TRANSPORT: Final = "tael_sandbox.transport"
#: Close at once and discard unsent data: the peer gets a reset.
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class ResettableProtocol(Http1Protocol):
    """HTTP/1.1 with the connection's transport in the scope of each request."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_TRANSPORT: {"transport": self.transport}}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with its whole body, and the ASGI callables to respond with."""

    request: WalletRequest
    tampering: Tampering
    scope: Scope
    receive: Receive
    send: Send


class FaultMiddleware:
    def __init__(self, app: ASGIApp, faults: Faults, tamperings: Sequence[Tampering]) -> None:
        self._app = app
        self._faults = faults
        self._tamperings = tamperings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tampering = self._tampering_for(scope)
        if tampering is None:
            await self._app(scope, receive, send)
            return
        messages, body = await _read_body(receive)
        replay = _replay(messages, receive)
        request = WalletRequest(scope["path"], scope["query_string"], body)
        is_whole = messages[-1]["type"] == "http.request" and len(body) <= BODY_LIMIT_BYTES
        operation = tampering.operation_of(request) if is_whole else None
        if operation is None:
            await self._app(scope, replay, send)
            return
        triggered = self._faults.triggered(operation.wallet, operation.name, ANSWER_KINDS)
        await self._respond(Exchange(request, tampering, scope, replay, send), triggered)

    def _tampering_for(self, scope: Scope) -> Tampering | None:
        if scope["type"] != "http" or self._faults.is_empty:
            return None
        return next(
            (tampering for tampering in self._tamperings if tampering.serves_path(scope["path"])), None
        )

    async def _respond(self, exchange: Exchange, triggered: list[ArmedFault]) -> None:
        """Applies the first applicable fault; a call has at most one."""
        for place, armed in enumerate(triggered):
            if armed.fault.kind not in BEFORE_KINDS:
                await self._respond_and_tamper(exchange, triggered[place:])
                return
            if await self._replace_response(exchange, armed):
                return
        await self._app(exchange.scope, exchange.receive, exchange.send)

    async def _replace_response(self, exchange: Exchange, armed: ArmedFault) -> bool:
        """Applies a fault in place of the wallet's work. False if it does not apply to this request."""
        replacement: Response | None = None
        if armed.fault.kind == "http_500":
            replacement = PlainTextResponse("Internal Server Error", 500)
        elif armed.fault.kind == "system_error":
            replacement = exchange.tampering.system_error(exchange.request)
            if replacement is None:
                return False
        if not self._faults.record_hit(armed):
            return False
        if replacement is not None:
            await replacement(exchange.scope, exchange.receive, exchange.send)
        elif armed.fault.kind == "timeout_before":
            await _hang(exchange, armed.fault)
        else:
            await _reset(exchange)
        return True

    async def _respond_and_tamper(self, exchange: Exchange, triggered: list[ArmedFault]) -> None:
        messages_sent: list[Message] = []

        async def collect(message: Message) -> None:
            messages_sent.append(message)

        await self._app(exchange.scope, exchange.receive, collect)
        body = b"".join(message.get("body", b"") for message in messages_sent)
        for armed in triggered:
            fault = armed.fault
            if fault.kind in BEFORE_KINDS:  # the wallet has already done its work
                continue
            tampered = body if fault.kind in AFTER_KINDS else _tampered(exchange, fault.kind, body)
            if tampered is None or not self._faults.record_hit(armed):
                continue
            if fault.kind == "timeout_after":
                await _hang(exchange, fault)
                return
            if fault.kind == "slow":
                assert fault.delay_s is not None
                await asyncio.sleep(fault.delay_s)
            body = tampered
            break
        await _send(exchange.send, messages_sent[0], body)


def _tampered(exchange: Exchange, kind: str, body: bytes) -> bytes | None:
    if kind == "bad_signature":
        return exchange.tampering.with_wrong_signature(body)
    return exchange.tampering.with_wrong_amount(exchange.request, body)


async def _send(send: Send, start: Message, body: bytes) -> None:
    headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
    await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


async def _hang(exchange: Exchange, fault: Fault) -> None:
    """Holds the connection until the caller disconnects, and resets it after `hold_s`."""
    assert fault.hold_s is not None
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_until_disconnect(exchange.receive), fault.hold_s)
        return
    await _reset(exchange)


async def _reset(exchange: Exchange) -> None:
    extension: MutableMapping[str, Any] = exchange.scope["extensions"][_TRANSPORT]
    reset(extension["transport"])
    await _until_disconnect(exchange.receive)  # otherwise uvicorn would try to send a 500


def reset(transport: asyncio.Transport) -> None:
    """Reset a connection. One that the caller has closed has no socket any more."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read_body(receive: Receive) -> tuple[list[Message], bytes]:
    """The messages of the request's body, up to the limit."""
    messages: list[Message] = []
    body = bytearray()
    while len(body) <= BODY_LIMIT_BYTES:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return messages, bytes(body)


def _replay(messages: list[Message], receive: Receive) -> Receive:
    waiting = list(reversed(messages))

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
