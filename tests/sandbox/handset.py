"""A payer's phone for tests: sends its forms over HTTP, and reads the regions and the stream of events."""

import html
import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from tests.sandbox.conftest import Sandbox
from tests.support.http_calls import CALL_LIMIT_S


def text_of(markup: str) -> str:
    """The visible text, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split()).replace("\N{NO-BREAK SPACE}", " ")


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Message
    body: str

    @property
    def members(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.body)
        return answer

    def region(self, name: str) -> str:
        return str(self.members["regions"][name])

    @property
    def announcements(self) -> list[str]:
        """The announcement of each entry, in the page's order."""
        markup = self.region("waiting") + self.region("history")
        texts = (html.unescape(text) for text in re.findall(r'data-announcement="([^"]*)"', markup))
        return [text.replace("\N{NO-BREAK SPACE}", " ") for text in texts]

    def __getitem__(self, name: str) -> str:
        """The text of a region."""
        return text_of(self.region(name))


@dataclass(slots=True)
class Handset:
    """One open page. It keeps payer, code and opened link like the page's script."""

    sandbox: Sandbox
    payer: str = "ada"
    choice: dict[str, str] = field(default_factory=dict)

    def send(self, form: str, **fields: str) -> Reply:
        sent = {"payer": self.payer, **self.choice, **fields}
        reply = fetch(self.sandbox, f"/phone/{form}", sent, {"Accept": "application/json"})
        self.choice = {name: value for name, value in reply.members["choice"].items() if value}
        assert "Traceback" not in reply.body
        return reply

    def code(self, behaviour: str = "pays") -> str:
        shown = self.send("code", behaviour=behaviour)
        assert shown.status == 200, shown["code-note"]
        return self.choice["code"]

    def scan(self, link: str) -> Reply:
        return self.send("scan", link=link)

    def act(self, action: str, **which: str) -> Reply:
        return self.send("act", action=action, **which)

    def events(self) -> "Events":
        return Events(self.sandbox, {"payer": self.payer, **self.choice})


class Events:
    """An open stream. `next` waits for a changed screen."""

    def __init__(self, sandbox: Sandbox, choice: dict[str, str]) -> None:
        where = urlsplit(sandbox.http)
        assert where.hostname is not None
        self._connection = http.client.HTTPConnection(where.hostname, where.port, timeout=CALL_LIMIT_S)
        self._connection.request("GET", f"/phone/events?{urlencode(choice)}")
        self.answer = self._connection.getresponse()

    def next(self) -> Reply:
        until = time.monotonic() + CALL_LIMIT_S
        while line := self.answer.readline():
            if line.startswith(b"data: "):
                return Reply(200, Message(), line.removeprefix(b"data: ").decode())
            assert time.monotonic() < until, "nothing changed on the phone"
        raise EOFError("the stream has ended")

    def until(self, region: str, text: str) -> Reply:
        """The next screen whose region contains the text."""
        while text not in (seen := self.next())[region]:
            pass
        return seen

    def rest(self) -> bytes:
        """Reads until the sandbox ends the stream properly."""
        return self.answer.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.answer.close()
        self._connection.close()


def fetch(
    sandbox: Sandbox,
    path: str,
    form: dict[str, str] | bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Reply:
    body = urlencode(form).encode() if isinstance(form, dict) else form
    request = urllib.request.Request(sandbox.http + path, body, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=CALL_LIMIT_S) as answer:
            return Reply(answer.status, answer.headers, answer.read().decode())
    except urllib.error.HTTPError as refused:
        with refused:
            return Reply(refused.code, refused.headers, refused.read().decode())
