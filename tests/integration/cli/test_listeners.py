"""Gateway, sandbox and shop as processes under malformed requests: their refusals, and a log of JSON lines."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.ports import reserved_ports

ROOT: Final = Path(__file__).parents[3]
START_LIMIT_S: Final = 60.0
WAIT_S: Final = 20.0
SHORT_S: Final = "0.2"
SHORT: Final = {"TAEL_MAX_HEAD_S": SHORT_S, "TAEL_MAX_BODY_S": SHORT_S, "TAEL_MAX_CONNECTIONS": "3"}


@dataclass(slots=True)
class Process:
    """`lines` are those of standard error, available once the process has ended."""

    port: int
    running: "subprocess.Popen[str]"
    lines: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, *parts: bytes) -> tuple[int, dict[str, str], Any]:
        """The response to the last request of a connection."""
        with socket.create_connection(("127.0.0.1", self.port), WAIT_S) as connection:
            for part in parts:
                connection.sendall(part)
            return answer_on(connection)

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


def answer_on(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    with HTTPResponse(connection) as response:
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        body = response.read()
        is_json = headers["content-type"].startswith("application/json")
        return response.status, headers, json.loads(body) if is_json else body


@contextmanager
def started(port: int, arguments: list[str], environment: Mapping[str, str]) -> Iterator[Process]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("TAEL_")}
    running = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=outside | dict(environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    process = Process(port, running)
    try:
        until = time.monotonic() + START_LIMIT_S
        while not listens(port):
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield process
    finally:
        running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=WAIT_S)
        process.lines += [json.loads(line) for line in errors.splitlines()]


def listens(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def gateway(_: Path, *options: str, **settings: str) -> Iterator[Process]:
    """Its database is unreachable, which does not matter for refusals before any query."""
    with reserved_ports(2) as (port, nowhere):
        environment = {
            "TAEL_DATABASE_URL": f"postgresql://nobody@127.0.0.1:{nowhere}/nothing",
            "TAEL_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode(),
            **settings,
        }
        serve = ["tael.cli", "serve", "--port", str(port), "--allow-http", *options]
        with started(port, serve, environment) as process:
            yield process


@contextmanager
def sandbox(folder: Path) -> Iterator[Process]:
    with reserved_ports(2) as (port, tls_port):
        where = ["--port", str(port), "--tls-port", str(tls_port), "--data", str(folder)]
        with started(port, ["tael_sandbox", *where], {}) as process:
            yield process


@contextmanager
def shop(folder: Path) -> Iterator[Process]:
    with reserved_ports(2) as (port, nowhere):
        urls = ["--gateway", f"http://127.0.0.1:{nowhere}", "--sandbox", f"http://127.0.0.1:{nowhere}"]
        where = ["--port", str(port), *urls, "--data", str(folder)]
        key = {"SHOP_APPCODE": "1", "SHOP_KEY": "2", "SHOP_MCHID": "3"}
        with started(port, ["tael_sandbox.shop", *where], key) as process:
            yield process


Start = Callable[[Path], Any]


@pytest.mark.parametrize(
    ("start", "path"), [(gateway, "/trade/v1/query"), (sandbox, "/gateway.do"), (shop, "/")]
)
def test_malformed_requests_leave_one_json_line_each_and_no_traceback(
    start: Start, path: str, tmp_path: Path
) -> None:
    offer = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    whole = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode()
    with start(tmp_path) as process:
        assert process.ask(b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 405
        assert process.ask(f"CONNECT {path} HTTP/1.1\r\n".encode() + offer + b"\r\n")[0] == 405
        assert process.ask(b"\x16\x03\x01\x00")[0] == 400
        for half in (b"", whole[:20], whole, whole + b"a=b"):
            with socket.create_connection(("127.0.0.1", process.port), WAIT_S) as leaving:
                leaving.sendall(half)
        assert process.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n")[0] in (200, 404)
    assert all(line["level"] in ("info", "warning") for line in process.lines), process.lines
    assert not [line for line in process.lines if "exception" in line or "Traceback" in str(line)]
    assert sum(line["level"] == "warning" for line in process.lines) == 3
    assert any("Started server process" in event for event in process.events())
    assert any("Finished server process" in event for event in process.events())


def test_the_gateway_refuses_in_the_form_of_its_responses(tmp_path: Path) -> None:
    post = b"POST /trade/v1/payment HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
    with gateway(tmp_path, **SHORT) as process:
        late = [process.ask(part) for part in (post, post + b"\r\na=b")]
        for status, headers, members in (*late, process.ask(b"CONNECT x:1 HTTP/1.1\r\n\r\n")):
            assert status in (408, 405)
            assert headers["content-type"] == "application/json; charset=UTF-8"
            assert headers["connection"] == "close"
            assert set(members) == {"respcd", "respmsg", "resperr"}
            assert members["respcd"] == "1103"
    assert process.events().count("request.incomplete") == 1


def test_a_refused_flood_keeps_its_connection_and_the_bodies_on_it_are_not_mixed_up(tmp_path: Path) -> None:
    """The limit of an address is checked before the body is read: the rest of it is skipped."""
    body = b"x" * 90_000
    post = b"POST /trade/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with gateway(tmp_path, TAEL_ADDRESS_MAX_PER_SECOND="1") as process:
        with socket.create_connection(("127.0.0.1", process.port), WAIT_S) as connection:
            answers = []
            for _ in range(20):
                connection.sendall(post)
                connection.sendall(body)
                answers.append(answer_on(connection))
        refused = [answer for answer in answers if answer[0] == 429]
        assert {status for status, _, _ in answers} == {200, 429}
        for _, headers, members in refused:
            assert headers["retry-after"] == "1"
            assert members["respcd"] == "1112"
    assert "request.rate_limited" in process.events()
    assert {"limit": "address", "mchid": "", "peer": "127.0.0.1"}.items() <= next(
        line for line in process.lines if line["event"] == "request.rate_limited"
    ).items()


def test_several_processes_serve_one_port_and_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    with gateway(tmp_path, "--workers", "2") as process:
        assert process.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
    assert process.running.returncode == 0
    assert any("Started server process" in event for event in process.events())


def test_connections_above_the_limit_are_answered_1112(tmp_path: Path) -> None:
    with gateway(tmp_path, TAEL_MAX_CONNECTIONS="3") as process:
        ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        held = [socket.create_connection(("127.0.0.1", process.port), WAIT_S) for _ in range(3)]
        for connection in held:
            connection.sendall(ask)
            assert connection.recv(1_000).startswith(b"HTTP/1.1 200")
        for _ in range(2):
            status, headers, members = process.ask(ask)
            assert (status, headers["content-type"]) == (503, "application/json; charset=UTF-8")
            assert members == {"respcd": "1112", "respmsg": "too many connections", "resperr": ""}
        for connection in held:
            connection.close()
    assert len([event for event in process.events() if "connections refused" in event]) == 1


def test_a_body_that_is_drained_has_the_time_of_any_body(tmp_path: Path) -> None:
    post = b"POST /trade/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" + b"%" * 200_000
    with gateway(tmp_path, TAEL_MAX_BODY_S="1", TAEL_MAX_FORM_BYTES="4096") as process:
        assert process.ask(post)[0] == 408
        assert process.ask(post + b"%" * 1_800_000)[0] == 413


def test_redirects_of_a_trailing_slash_are_off(tmp_path: Path) -> None:
    with sandbox(tmp_path) as process:
        for path in ("/gateway.do/", "/pay/unifiedorder/", "/control/clock/"):
            asked = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
            assert process.ask(asked.encode())[0] in (200, 404)  # 200 is a wallet's own refusal
