"""The whole sandbox as a process on free ports, used over HTTP from outside, as its users do.

Sandboxes are forked from a process that has imported it; the first of a session, and what is restarted, is a program of
its own, as its users start it.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import pytest
from werkzeug import Request, Response

from tests.support.forks import Forked, ForkServer, ended
from tests.support.http_calls import CALL_LIMIT_S, call_kept
from tests.support.local_server import local_server
from tests.support.ports import reserved_ports

ROOT: Final = Path(__file__).parents[2]
STANDARD_ERROR: Final = 2
START_LIMIT_S: Final = 60
END_LIMIT_S: Final = 20
#: Slow to create: further sandboxes of the same session get a copy.
KEYS: Final = ("shops.json", "certificates")


class ControlRefused(Exception):
    """The control API responded with an error."""

    def __init__(self, status: int, answer: dict[str, Any]) -> None:
        super().__init__(f"{status} {answer}")
        self.status = status
        self.field = answer["field"]
        self.text = answer["error"]


class Sandbox:
    """A running sandbox: `http` and `tls` are its base URLs."""

    def __init__(self, folder: Path, forking: ForkServer | None = None) -> None:
        self.folder = folder
        self._forking = forking
        self._process: Forked | subprocess.Popen[bytes] | None = None
        self._reserved = ExitStack()
        self._ports = self._reserved.enter_context(reserved_ports(2))
        self._start()

    def _start(self, *more: str) -> None:
        http_port, tls_port = self._ports
        ports = ["--port", str(http_port), "--tls-port", str(tls_port)]
        arguments = [*ports, *more, "--data", str(self.folder)]
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as output:
            if self._forking is not None:
                self._process = self._forking.start(arguments, os.environ, writing, STANDARD_ERROR)
            else:
                command = [sys.executable, "-m", "tael_sandbox", *arguments]
                self._process = subprocess.Popen(command, cwd=ROOT, stdout=writing)
            os.close(writing)
            started = threading.Timer(START_LIMIT_S, self._process.send_signal, [signal.SIGKILL])
            started.start()
            greeting = json.loads(output.readline() or b"{}")
            started.cancel()
        assert greeting.get("ready") is True, "the sandbox did not start"
        self.http: str = greeting["http"]
        self.tls: str = greeting["tls"]

    def restart(self, *more: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends the process with this signal, unless it has ended, and starts it with the same folder and ports."""
        if self._process is not None:
            self.end(number)
        self._forking = None
        self._start(*more)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends the process and returns its exit status."""
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(number)
        return ended(process, END_LIMIT_S)

    def close(self) -> None:
        """Ends the process, unless it has ended, and gives up its ports."""
        if self._process is not None:
            self.end()
        self._reserved.close()

    def control(self, method: str, name: str, members: dict[str, Any] | None = None) -> Any:
        """Calls `/control/<name>`. Raises ControlRefused."""
        body = None if members is None else json.dumps(members).encode()
        status, answer = self.call(method, f"/control/{name}", body)
        if status != 200:
            raise ControlRefused(status, json.loads(answer))
        return json.loads(answer)

    def call(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        answer = call_kept(self.http, method, path, body or b"")
        return answer.status, answer.body

    def advance(self, seconds: float) -> None:
        self.control("POST", "clock", {"advance_s": seconds})

    def wait_for_quiet(self, url: str, limit_s: float = 10) -> None:
        """Waits until the sandbox's books have no notice to this address that is still due."""
        ends = time.monotonic() + limit_s
        books_uri = f"file:{self.folder / 'sandbox.sqlite'}?mode=ro"
        with closing(sqlite3.connect(books_uri, uri=True)) as books:
            while time.monotonic() < ends:
                query = "SELECT count(*) FROM notice WHERE url = ? AND due_at IS NOT NULL"
                if books.execute(query, (url,)).fetchone() == (0,):
                    return
                time.sleep(0.02)
        raise AssertionError("notices are still due")

    def code(self, behaviour: str = "pays", wallet: str = "alipay", payer: str | None = None) -> str:
        members = {"wallet": wallet, "behaviour": behaviour, "payer": payer}
        return str(self.control("POST", "codes", members)["auth_code"])

    def account(self, wallet: str, shop: str = "demo", scene: str | None = None) -> dict[str, Any]:
        rows: list[dict[str, Any]] = self.control("GET", "accounts")
        return next(
            row
            for row in rows
            if row["wallet"] == wallet and row["shop"] == shop and scene in (None, row["scene"])
        )


class Receiver:
    """A merchant's server for notices: records the requests and responds as configured."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self.content_types: list[str] = []
        self.answers: list[tuple[int, bytes]] = []  #: used up in order, then `answer`
        self.answer: tuple[int, bytes] = (200, b"success")
        self.gate = threading.Event()  #: while it is cleared, no response is sent
        self.gate.set()
        self._arrived = threading.Condition()

    @contextmanager
    def listening(self) -> Iterator[Self]:
        """On a free port, whose `url` it has then."""
        with local_server(self._serve) as url:
            self.url = f"{url}/notice?a=1&b=%2F"
            try:
                yield self
            finally:
                self.gate.set()

    def _serve(self, request: Request) -> Response:
        status, answer = self._take(request.get_data(), request.headers["Content-Type"])
        self.gate.wait(CALL_LIMIT_S)
        return Response(answer, status)

    def _take(self, body: bytes, content_type: str) -> tuple[int, bytes]:
        with self._arrived:
            self.bodies.append(body)
            self.content_types.append(content_type)
            self._arrived.notify_all()
            return self.answers.pop(0) if self.answers else self.answer

    def wait_for(self, count: int, limit_s: float = 10) -> list[bytes]:
        """Waits until this many notices have arrived in total."""
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self.bodies) >= count, limit_s)
            assert arrived, f"{len(self.bodies)} of {count} notices arrived"
            return list(self.bodies)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().listening() as running:
        yield running
