"""The WSGI and ASGI receivers: `SUCCESS` after the function has returned, and in no other case."""

import asyncio
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from tael_client import Notification, asgi_app, wsgi_app

from tests.client.test_notifications import N4, OLD_BODY, OLD_SIGN, WRONG_STYLES
from tests.client.world import CREDENTIALS, KEY

Answer = tuple[int, dict[str, str], bytes]


@dataclass(slots=True)
class Book:
    """A merchant's function: keeps references, and raises if `fails` is set."""

    received: list[str] = field(default_factory=list)
    fails: bool = False

    def take(self, notification: Notification) -> None:
        if self.fails:
            raise RuntimeError("the database is away")
        self.received.append(notification.reference)

    async def take_async(self, notification: Notification) -> None:
        await asyncio.sleep(0)
        self.take(notification)


Post = Callable[..., Answer]


def post_wsgi(
    book: Book, body: bytes, sign: str, method: str = "POST", length: str | None = None, styles: Any = "old"
) -> Answer:
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ |= {
        "REQUEST_METHOD": method,
        "HTTP_X_QF_SIGN": sign,
        "wsgi.input": io.BytesIO(body),
        "QUERY_STRING": "",
    }
    if length != "":
        environ["CONTENT_LENGTH"] = length or str(len(body))
    sent: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], object]:
        sent.extend([int(status.split()[0]), dict(headers)])
        return lambda _: None

    result = validator(wsgi_app(CREDENTIALS, book.take, styles))(environ, start)
    answer = b"".join(result)
    result.close()  # type: ignore[attr-defined]
    return sent[0], sent[1], answer


def post_asgi(
    book: Book, body: bytes, sign: str, method: str = "POST", length: str | None = None, styles: Any = "old"
) -> Answer:
    cut = len(body) // 2
    coming: list[dict[str, Any]] = [
        {"type": "http.request", "body": body[:cut], "more_body": True},
        {"type": "http.request", "body": body[cut:]},
    ]
    sent = asyncio.run(
        talk(
            book,
            {"type": "http", "method": method, "headers": [(b"x-qf-sign", sign.encode())]},
            coming,
            styles,
        )
    )
    headers = {name.decode().title(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"]


async def talk(
    book: Book, scope: dict[str, Any], coming: list[dict[str, Any]], styles: Any = "old"
) -> list[Any]:
    sent: list[Any] = []

    async def receive() -> Any:
        return coming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await asgi_app(CREDENTIALS, book.take_async, styles)(scope, receive, send)
    return sent


@pytest.fixture(params=[post_wsgi, post_asgi], ids=["wsgi", "asgi"])
def post(request: pytest.FixtureRequest) -> Post:
    chosen: Post = request.param
    return chosen


def test_a_webhook_is_acknowledged_after_the_function_has_returned(post: Post) -> None:
    book = Book()
    status, headers, body = post(book, OLD_BODY, OLD_SIGN)
    assert (status, body, book.received) == (200, b"SUCCESS", ["A"])
    assert headers["Content-Type"].startswith("text/plain")
    assert headers["Content-Length"] == "7"


def test_a_wrong_signature_is_400_and_the_function_is_not_called(post: Post) -> None:
    book = Book()
    for body, sign in [(OLD_BODY[:-2] + b' "}', OLD_SIGN), (OLD_BODY, ""), (b"", OLD_SIGN)]:
        status, _, answer = post(book, body, sign)
        assert (status, book.received) == (400, [])
        assert b"SUCCESS" not in answer


def test_a_receiver_accepts_its_own_styles(post: Post) -> None:
    old, new = (OLD_BODY, OLD_SIGN), (N4["body"].encode(), N4["sign"])
    for styles, taken in [("old", [200, 400]), (("new",), [400, 200]), (("old", "new"), [200, 200])]:
        assert [post(Book(), *sent, styles=styles)[0] for sent in (old, new)] == taken


@pytest.mark.parametrize("styles", WRONG_STYLES, ids=str)
def test_a_receiver_for_no_style_or_an_unknown_one_cannot_be_made(styles: Any) -> None:
    with pytest.raises(ValueError, match="style"):
        wsgi_app(CREDENTIALS, Book().take, styles)
    with pytest.raises(ValueError, match="style"):
        asgi_app(CREDENTIALS, Book().take_async, styles=styles)


def test_a_receiver_needs_its_style() -> None:
    with pytest.raises(TypeError, match="styles"):
        wsgi_app(CREDENTIALS, Book().take)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="styles"):
        asgi_app(CREDENTIALS, Book().take_async)  # type: ignore[call-arg]


def test_a_function_that_raised_is_500_and_the_log_has_no_body_and_no_key(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        status, _, answer = post(Book(fails=True), OLD_BODY, OLD_SIGN)
    assert status == 500
    assert b"SUCCESS" not in answer
    assert "201706150902990034076180" in caplog.text
    assert "the database is away" in caplog.text
    assert KEY not in caplog.text
    assert "txamt" not in caplog.text


def test_only_post_is_accepted(post: Post) -> None:
    status, headers, _ = post(Book(), OLD_BODY, OLD_SIGN, method="GET")
    assert (status, headers["Allow"]) == (405, "POST")


def test_a_body_that_is_too_long_is_refused(post: Post) -> None:
    assert post(Book(), b" " * (64 * 1024 + 1), OLD_SIGN)[0] == 413


def test_wsgi_reads_no_body_without_its_length() -> None:
    assert post_wsgi(Book(), OLD_BODY, OLD_SIGN, length="")[0] == 411


def test_wsgi_refuses_an_overlong_content_length() -> None:
    sent: list[str] = []
    environ = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "9" * 5000, "wsgi.input": io.BytesIO(OLD_BODY)}

    def start(status: str, *_: Any) -> Callable[[bytes], object]:
        sent.append(status)
        return lambda _: None

    list(wsgi_app(CREDENTIALS, Book().take, "old")(environ, start))
    assert sent == ["413 Content Too Large"]


def test_wsgi_refuses_an_async_function() -> None:
    with pytest.raises(TypeError, match="asgi_app"):
        wsgi_app(CREDENTIALS, Book().take_async, "old")


def test_asgi_sends_nothing_to_a_disconnected_caller() -> None:
    book = Book()
    scope = {"type": "http", "method": "POST", "headers": [(b"x-qf-sign", OLD_SIGN.encode())]}
    first: dict[str, Any] = {"type": "http.request", "body": OLD_BODY, "more_body": True}
    coming = [first, {"type": "http.disconnect"}]
    assert asyncio.run(talk(book, scope, coming)) == []
    assert book.received == []


def test_asgi_handles_startup_and_shutdown() -> None:
    coming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    assert asyncio.run(talk(Book(), {"type": "lifespan"}, coming)) == [
        {"type": "lifespan.startup.complete"},
        {"type": "lifespan.shutdown.complete"},
    ]
