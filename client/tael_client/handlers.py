"""Webhook receivers for WSGI and ASGI servers. A webhook is acknowledged only after your function has returned.

200 with `SUCCESS` acknowledges it; after any other response the server sends it again later. A wrong signature gets
400, an exception in your function 500 (logged, without the body). A webhook is repeated if its acknowledgement is lost:
your function must be idempotent.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tael_client.errors import BadSignature
from tael_client.notifications import Notification, Style, Styles, checked_styles, read_notification
from tael_client.signing import Credentials

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("tael_client")

#: The longest webhook in the documents has 524 bytes.
MAX_BODY_BYTES: Final = 64 * 1024

AsgiMessage = MutableMapping[str, Any]
AsgiReceive = Callable[[], Awaitable[AsgiMessage]]
AsgiSend = Callable[[AsgiMessage], Awaitable[None]]
AsgiApp = Callable[[MutableMapping[str, Any], AsgiReceive, AsgiSend], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Response:
    """The HTTP response to a webhook."""

    status: int
    text: str

    @property
    def headers(self) -> list[tuple[str, str]]:
        allow = [("Allow", "POST")] if self.status == 405 else []
        return [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(self.text))),
            *allow,
        ]


ACKNOWLEDGED: Final = Response(200, "SUCCESS")
NOT_SIGNED: Final = Response(400, "bad signature")
NO_LENGTH: Final = Response(411, "length required")
WRONG_METHOD: Final = Response(405, "POST only")
TOO_LONG: Final = Response(413, "too long")
FAILED: Final = Response(500, "failed")

REASONS: Final[Mapping[int, str]] = {
    200: "OK",
    400: "Bad Request",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    500: "Internal Server Error",
}


def wsgi_app(
    credentials: Credentials,
    on_notification: Callable[[Notification], object],
    styles: Styles,
) -> "WSGIApplication":
    """A WSGI application, for any path, that calls `on_notification` with each verified webhook.

    `styles` is your app's style, "old" or "new"; see `read_notification`.
    """
    accepted = checked_styles(styles)
    if inspect.iscoroutinefunction(on_notification):
        raise TypeError("on_notification must not be a coroutine function; use asgi_app for one")

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        response = _serve_wsgi(environ, credentials, on_notification, accepted)
        start_response(f"{response.status} {REASONS[response.status]}", response.headers)
        return [response.text.encode()]

    return app


def _serve_wsgi(
    environ: "WSGIEnvironment",
    credentials: Credentials,
    on_notification: Callable[[Notification], object],
    styles: tuple[Style, ...],
) -> Response:
    if environ["REQUEST_METHOD"] != "POST":
        return WRONG_METHOD
    length = environ.get("CONTENT_LENGTH", "")
    if not (length.isascii() and length.isdigit()):
        return NO_LENGTH
    if len(length) > len(str(MAX_BODY_BYTES)) or int(length) > MAX_BODY_BYTES:
        return TOO_LONG
    body = environ["wsgi.input"].read(int(length))
    notification = _read(credentials, body, environ.get("HTTP_X_QF_SIGN", ""), styles)
    if isinstance(notification, Response):
        return notification
    try:
        on_notification(notification)
    except Exception:
        return _failed(notification)
    return ACKNOWLEDGED


def asgi_app(
    credentials: Credentials,
    on_notification: Callable[[Notification], Awaitable[object]],
    styles: Styles,
) -> AsgiApp:
    """An ASGI application, for any path, that awaits `on_notification` with each verified webhook.

    `styles` is your app's style, "old" or "new"; see `read_notification`.
    """
    accepted = checked_styles(styles)

    async def app(scope: MutableMapping[str, Any], receive: AsgiReceive, send: AsgiSend) -> None:
        if scope["type"] == "lifespan":
            await _run_lifespan(receive, send)
        elif scope["type"] == "http":
            response = await _serve_asgi(scope, receive, credentials, on_notification, accepted)
            if response is not None:
                await _send_response(response, send)
        else:
            raise NotImplementedError(f"webhooks use http, not {scope['type']}")

    return app


async def _serve_asgi(
    scope: MutableMapping[str, Any],
    receive: AsgiReceive,
    credentials: Credentials,
    on_notification: Callable[[Notification], Awaitable[object]],
    styles: tuple[Style, ...],
) -> Response | None:
    """The response; None if the caller has disconnected."""
    if scope["method"] != "POST":
        return WRONG_METHOD
    body = await _read_body(receive)
    if not isinstance(body, bytes):
        return body
    sign = next((value for name, value in scope["headers"] if name.lower() == b"x-qf-sign"), b"")
    notification = _read(credentials, body, sign.decode("latin-1"), styles)
    if isinstance(notification, Response):
        return notification
    try:
        await on_notification(notification)
    except Exception:
        return _failed(notification)
    return ACKNOWLEDGED


async def _read_body(receive: AsgiReceive) -> bytes | Response | None:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return TOO_LONG
        if not message.get("more_body", False):
            return bytes(body)


async def _send_response(response: Response, send: AsgiSend) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.text.encode()})


async def _run_lifespan(receive: AsgiReceive, send: AsgiSend) -> None:
    """There is nothing to start or stop, but servers expect the protocol to be completed."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _read(
    credentials: Credentials, body: bytes, sign: str, styles: tuple[Style, ...]
) -> Notification | Response:
    try:
        return read_notification(credentials, body, sign, styles)
    except BadSignature as refused:
        log.warning("a webhook was refused: %s", refused)
        return NOT_SIGNED


def _failed(notification: Notification) -> Response:
    log.exception("the webhook of %s was not handled", notification.syssn)
    return FAILED
