"""Ready receivers of webhooks for WSGI and ASGI servers. A webhook is acknowledged only after your function returned.

200 and `SUCCESS` acknowledges; on everything else the server tells again later. A wrong signature is 400, a function
that raised 500 (logged, without the body). A webhook comes again if its acknowledgement is lost: your function must not
mind to be told twice.
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

#: The longest webhook of any document has 524 bytes.
MAX_BODY_BYTES: Final = 64 * 1024

AsgiMessage = MutableMapping[str, Any]
AsgiReceive = Callable[[], Awaitable[AsgiMessage]]
AsgiSend = Callable[[AsgiMessage], Awaitable[None]]
AsgiApp = Callable[[MutableMapping[str, Any], AsgiReceive, AsgiSend], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Said:
    """What is answered."""

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


ACKNOWLEDGED: Final = Said(200, "SUCCESS")
NOT_SIGNED: Final = Said(400, "bad signature")
NO_LENGTH: Final = Said(411, "length required")
WRONG_METHOD: Final = Said(405, "POST only")
TOO_LONG: Final = Said(413, "too long")
FAILED: Final = Said(500, "failed")

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
    """A WSGI application that calls `on_notification` with each proven webhook, at whatever path it is mounted.

    `styles` as in `read_notification`: the style that your app has, "old" or "new".
    """
    named = checked_styles(styles)
    if inspect.iscoroutinefunction(on_notification):
        raise TypeError("nobody would await on_notification; use asgi_app for an async function")

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        said = _serve_wsgi(environ, credentials, on_notification, named)
        start_response(f"{said.status} {REASONS[said.status]}", said.headers)
        return [said.text.encode()]

    return app


def _serve_wsgi(
    environ: "WSGIEnvironment",
    credentials: Credentials,
    on_notification: Callable[[Notification], object],
    styles: tuple[Style, ...],
) -> Said:
    if environ["REQUEST_METHOD"] != "POST":
        return WRONG_METHOD
    length = environ.get("CONTENT_LENGTH", "")
    if not (length.isascii() and length.isdigit()):
        return NO_LENGTH
    if len(length) > len(str(MAX_BODY_BYTES)) or int(length) > MAX_BODY_BYTES:
        return TOO_LONG
    body = environ["wsgi.input"].read(int(length))
    read = _read(credentials, body, environ.get("HTTP_X_QF_SIGN", ""), styles)
    if isinstance(read, Said):
        return read
    try:
        on_notification(read)
    except Exception:
        return _failed(read)
    return ACKNOWLEDGED


def asgi_app(
    credentials: Credentials,
    on_notification: Callable[[Notification], Awaitable[object]],
    styles: Styles,
) -> AsgiApp:
    """An ASGI application that awaits `on_notification` with each proven webhook, at whatever path it is mounted.

    `styles` as in `read_notification`: the style that your app has, "old" or "new".
    """
    named = checked_styles(styles)

    async def app(scope: MutableMapping[str, Any], receive: AsgiReceive, send: AsgiSend) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            said = await _serve_asgi(scope, receive, credentials, on_notification, named)
            if said is not None:
                await _say(said, send)
        else:
            raise NotImplementedError(f"webhooks come by http, not by {scope['type']}")

    return app


async def _serve_asgi(
    scope: MutableMapping[str, Any],
    receive: AsgiReceive,
    credentials: Credentials,
    on_notification: Callable[[Notification], Awaitable[object]],
    styles: tuple[Style, ...],
) -> Said | None:
    """What to answer; None if the caller hung up."""
    if scope["method"] != "POST":
        return WRONG_METHOD
    body = await _read_body(receive)
    if not isinstance(body, bytes):
        return body
    sign = next((value for name, value in scope["headers"] if name.lower() == b"x-qf-sign"), b"")
    read = _read(credentials, body, sign.decode("latin-1"), styles)
    if isinstance(read, Said):
        return read
    try:
        await on_notification(read)
    except Exception:
        return _failed(read)
    return ACKNOWLEDGED


async def _read_body(receive: AsgiReceive) -> bytes | Said | None:
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


async def _say(said: Said, send: AsgiSend) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in said.headers]
    await send({"type": "http.response.start", "status": said.status, "headers": headers})
    await send({"type": "http.response.body", "body": said.text.encode()})


async def _live(receive: AsgiReceive, send: AsgiSend) -> None:
    """Nothing has to be begun or ended here, but a server wants to hear so."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _read(credentials: Credentials, body: bytes, sign: str, styles: tuple[Style, ...]) -> Notification | Said:
    try:
        return read_notification(credentials, body, sign, styles)
    except BadSignature as refused:
        log.warning("a webhook was refused: %s", refused)
        return NOT_SIGNED


def _failed(notification: Notification) -> Said:
    log.exception("the webhook of %s was not taken in", notification.syssn)
    return FAILED
