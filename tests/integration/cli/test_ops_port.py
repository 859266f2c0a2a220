"""The operations port: health and metrics apart from the public port, one port for each process."""

import base64
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tael.base.admission import Admission
from tael.base.transport import Transport
from tael.cli.ops_port import MAX_OPS_CONNECTIONS
from tael.cli.processes import Child, Supervisor
from tael.cli.serving import GRACE_S, STOP_LIMIT_S
from tael.main import application, ops_application
from tael.operations.store import Store
from tests.architecture.test_monitoring import MATCHER, rules
from tests.integration.cli.test_listeners import (
    WAIT_S,
    Process,
    answer_on,
    gateway,
    listens,
    started,
)
from tests.integration.payments.test_recording import gateway_over
from tests.support.commands import run_tael
from tests.support.ports import HOST, bound, reserved_ports
from tests.support.routes import ROUTES_ONLY
from tests.support.services import services_of

OPERATIONS: Final = ("/healthz", "/readyz", "/metrics")
#: How long a process that is stopped by a signal is seen to answer nothing.
SILENCE_S: Final = 0.3
SHORT: Final = {"TAEL_MAX_HEAD_S": "0.5", "TAEL_MAX_HEAD_BYTES": "4096"}
MAX_PORT: Final = 65_535
#: The jobs of a worker with both wallets.
JOBS: Final = {
    *("webhooks", "daily_close", "certificates", "oauth_removal"),
    *(
        f"{job}.{protocol}"
        for job in (
            *("poll.payments", "poll.refunds", "poll.reversals", "poll.unmatched_payments"),
            *("statements", "reconciliation"),
        )
        for protocol in ("alipay_mapi", "wechat_v2")
    ),
}
#: What an alert reads by the increase of a series.
INCREASE: Final = re.compile(r"\b(?:rate|increase)\((tael_\w+)(?:\{([^}]*)\})?\[")
#: With a label whose values are not known before the first event: a wallet's own names of its calls.
UNINITIALIZED: Final = {"tael_wallet_call_duration_seconds_count"}


def settings_with(database_url: str) -> dict[str, str]:
    return {
        "TAEL_DATABASE_URL": database_url,
        "TAEL_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode(),
    }


@contextmanager
def worker(port: int, database_url: str) -> Iterator[Process]:
    work = ["tael.cli", "work", "--ops-port", str(port), "--allow-http"]
    with started(port, work, settings_with(database_url)) as process:
        yield process


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def ask(port: int, path: str) -> tuple[int, Any]:
    with socket.create_connection((HOST, port), WAIT_S) as connection:
        connection.sendall(get(path))
        status, _, body = answer_on(connection)
        return status, body


def scraped(port: int) -> list[Sample]:
    """What Prometheus reads of a process."""
    status, text = ask(port, "/metrics")
    assert status == 200
    return [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]


@contextmanager
def two_ports_in_a_row() -> Iterator[int]:
    """The first of them."""
    with ExitStack() as held:
        while True:
            first = held.enter_context(bound()).getsockname()[1]
            try:
                held.enter_context(bound(first + 1))
            except (OSError, OverflowError):
                continue
            break
        yield first


def children_of(process: Process) -> list[int]:
    """In the order in which they were started."""
    pid = process.running.pid
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


# ---- tael serve ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Serving:
    """An API process with an operations port. Its database is unreachable."""

    public: Process
    ops: int


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("serving")
    with reserved_ports(1) as (ops,), gateway(folder, "--ops-port", str(ops), **SHORT) as process:
        yield Serving(process, ops)
    assert not [line for line in process.lines if "exception" in line]


def test_with_an_operations_port_health_and_metrics_are_no_longer_on_the_public_one(serving: Serving) -> None:
    for path in OPERATIONS:
        status, _, members = serving.public.ask(get(path))
        assert (status, members["respcd"]) == (404, "1103"), path
    assert serving.public.ask(get("/trade/v1/query"))[0] == 200  # refused in the form of its call

    assert ask(serving.ops, "/healthz") == (200, {"status": "ok"})
    assert ask(serving.ops, "/readyz")[0] == 503
    status, text = ask(serving.ops, "/metrics")
    assert status == 200
    assert b"tael_ready 0.0" in text
    assert b"tael_calls_in_progress 0.0" in text
    assert b"process_cpu_seconds_total" in text


def test_an_api_process_reports_0_for_calls_and_payments_that_it_has_not_seen(serving: Serving) -> None:
    """Prometheus would not see a first event that begins a series."""
    zeros = [(each.name, each.labels) for each in scraped(serving.ops) if each.value == 0]
    for call in ("payment", "refund", "reversal", "close"):
        assert ("tael_call_duration_seconds_count", {"call": call, "result": "retry"}) in zeros
    for protocol in ("alipay_mapi", "wechat_v2"):
        for state in ("PAID", "FAILED"):
            assert ("tael_payment_state_changes_total", {"protocol": protocol, "state": state}) in zeros
    for batch in ("write_payment", "record_refund"):
        assert ("tael_batch_duration_seconds_count", {"batch": batch}) in zeros


def test_without_the_option_health_and_metrics_are_on_the_public_port() -> None:
    paths = {route.path for route in application(ROUTES_ONLY).routes}  # type: ignore[attr-defined]
    assert paths > set(OPERATIONS)


@pytest.mark.parametrize("path", ["/trade/v1/query", "/checkstand", "/notices/alipay/x", "/", "/healthz/"])
def test_the_operations_port_serves_nothing_else(serving: Serving, path: str) -> None:
    with socket.create_connection((HOST, serving.ops), WAIT_S) as connection:
        connection.sendall(get(path))
        assert connection.recv(100).startswith(b"HTTP/1.1 404")


def test_each_port_counts_its_own_connections(tmp_path: Path) -> None:
    with (
        reserved_ports(1) as (ops,),
        gateway(tmp_path, "--ops-port", str(ops), TAEL_MAX_CONNECTIONS="3") as process,
        ExitStack() as held,
    ):

        def hold(port: int, path: str, count: int) -> None:
            """Connections that are in use: each has been answered."""
            for _ in range(count):
                connection = held.enter_context(socket.create_connection((HOST, port), WAIT_S))
                connection.sendall(get(path))
                assert answer_on(connection)[0] == 200

        hold(process.port, "/trade/v1/query", 3)
        assert process.ask(get("/trade/v1/query"))[0] == 503
        hold(ops, "/healthz", MAX_OPS_CONNECTIONS)
        assert ask(ops, "/healthz") == (503, {"error": "too many connections", "field": None})


def test_heads_and_bodies_have_the_limits_of_the_public_port(serving: Serving) -> None:
    port = Process(serving.ops, serving.public.running)
    assert port.ask(b"GET /healthz HTTP/1.1\r\nHost: ")[0] == 408
    assert port.ask(b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 5_000 + b"\r\n\r\n")[0] == 431
    assert port.ask(b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 405


def test_each_api_process_has_a_port_of_its_own_and_takes_it_again(tmp_path: Path) -> None:
    with (
        two_ports_in_a_row() as first,
        gateway(tmp_path, "--ops-port", str(first), "--workers", "2") as process,
    ):
        assert [ask(first + index, "/healthz")[0] for index in range(2)] == [200, 200]
        children = children_of(process)

        os.kill(children[1], signal.SIGSTOP)
        with socket.create_connection((HOST, first + 1), SILENCE_S) as connection:
            connection.sendall(get("/healthz"))
            with pytest.raises(TimeoutError):
                connection.recv(1)  # the other process does not answer in its place
            assert ask(first, "/healthz")[0] == 200
            os.kill(children[1], signal.SIGCONT)
            connection.settimeout(WAIT_S)
            assert answer_on(connection)[0] == 200

        os.kill(children[1], signal.SIGKILL)
        wait_until(lambda: len(children_of(process)) == 2 and children_of(process) != children)
        assert ask(first + 1, "/healthz")[0] == 200
        assert process.ask(get("/healthz"))[0] == 404
    assert process.running.returncode == 0


def test_a_process_that_is_asked_to_end_is_alive_and_not_ready_until_its_requests_are_finished(
    tmp_path: Path,
) -> None:
    head = b"POST /trade/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"
    with (
        reserved_ports(1) as (ops,),
        gateway(tmp_path, "--ops-port", str(ops)) as process,
        socket.create_connection((HOST, process.port), WAIT_S) as connection,
    ):
        connection.sendall(head + b"a=")
        assert process.ask(get("/trade/v1/query"))[0] == 200  # accepted after the one above
        process.running.send_signal(signal.SIGTERM)
        wait_until(lambda: not listens(process.port))
        assert ask(ops, "/readyz") == (503, {"status": "this process is stopping", "reason": "Stopping"})
        assert ask(ops, "/healthz")[0] == 200
        connection.sendall(b"b")
        assert answer_on(connection)[0] == 200
        process.running.wait(WAIT_S)
        assert not listens(ops)


def test_a_taken_port_is_refused_at_the_start() -> None:
    with (
        two_ports_in_a_row() as first,
        socket.create_server((HOST, 0)) as taken,
        reserved_ports(1) as (port,),
    ):
        taken_port = taken.getsockname()[1]
        in_use = f"tael: cannot listen on {HOST}:{taken_port}: Address already in use\n"
        assert in_use in refusal("serve", "--port", str(port), "--ops-port", str(taken_port))
        assert in_use in refusal("work", "--ops-port", str(taken_port))
        with socket.create_server((HOST, first + 1)):
            assert f"{HOST}:{first + 1}: Address already in use" in refusal(
                "serve", "--port", str(port), "--ops-port", str(first), "--workers", "2"
            )
        assert f"{HOST}:{MAX_PORT + 1}: ports end at {MAX_PORT}" in refusal(
            "serve", "--port", str(MAX_PORT + 1)
        )


def refusal(*arguments: str) -> str:
    """What a command writes that does not start."""
    with reserved_ports(1) as (nowhere,):
        settings = settings_with(f"postgresql://nobody@{HOST}:{nowhere}/nothing")
        done = run_tael(*arguments, "--allow-http", settings=settings)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


async def test_the_calls_in_progress_are_those_of_the_public_port(store: Store) -> None:
    services = services_of(gateway_over(store), Transport())
    admission = Admission()
    ops = ops_application(services, lambda: False, admission)
    with await admission.take("192.0.2.1"):
        assert "tael_calls_in_progress 1.0" in (await got_text(ops, "/metrics"))
    assert "tael_calls_in_progress 0.0" in (await got_text(ops, "/metrics"))


# ---- tael work -------------------------------------------------------------------------------------------------------


def test_a_worker_has_health_and_metrics(database_url: str) -> None:
    with reserved_ports(1) as (ops,), worker(ops, database_url) as process:
        assert ask(ops, "/healthz") == (200, {"status": "ok"})
        assert ask(ops, "/readyz") == (200, {"status": "ready"})
        status, text = ask(ops, "/metrics")
        assert status == 200
        assert b"tael_ready 1.0" in text
        assert b"process_cpu_seconds_total" in text
        assert b"tael_incidents_open 0.0" in text
        assert b"# TYPE tael_job_row_duration_seconds histogram" in text
    assert process.running.returncode == 0
    assert not listens(ops)


def test_a_worker_that_has_just_started_reports_0_failures_of_each_job(database_url: str) -> None:
    """Prometheus would not see a first failure that begins a series."""
    with reserved_ports(1) as (ops,), worker(ops, database_url):
        failures = {
            sample.labels["job_name"]: sample.value
            for sample in scraped(ops)
            if sample.name == "tael_job_row_duration_seconds_count" and sample.labels["result"] == "failed"
        }
    assert failures == dict.fromkeys(JOBS, 0.0)


def test_every_series_whose_increase_an_alert_reads_exists_from_the_start(
    serving: Serving, database_url: str
) -> None:
    with reserved_ports(1) as (ops,), worker(ops, database_url):
        samples = [*scraped(serving.ops), *scraped(ops)]
    read = {found for rule in rules() for found in INCREASE.findall(rule["expr"])}
    assert len(read) > len(UNINITIALIZED)
    for name, matchers in read:
        if name not in UNINITIALIZED:
            of_name = [sample for sample in samples if sample.name == name]
            assert of_name, name
            for label, values in MATCHER.findall(matchers):
                assert set(values.split("|")) <= {sample.labels[label] for sample in of_name}, (name, label)


def test_a_worker_without_its_database_is_alive_and_not_ready() -> None:
    with reserved_ports(2) as (ops, nowhere), worker(ops, f"postgresql://nobody@{HOST}:{nowhere}/nothing"):
        assert ask(ops, "/healthz") == (200, {"status": "ok"})
        assert ask(ops, "/readyz") == (
            503,
            {"status": "the database takes no writes", "reason": "ConnectionRefusedError"},
        )


async def test_a_process_that_was_asked_to_end_is_not_ready(store: Store) -> None:
    services = services_of(gateway_over(store), Transport())
    asked: list[bool] = []
    app = ops_application(services, lambda: bool(asked))
    assert "tael_ready 1.0" in await got_text(app, "/metrics")

    asked.append(True)
    assert await got_text(app, "/readyz") == '{"status":"this process is stopping","reason":"Stopping"}'
    assert "tael_ready 0.0" in await got_text(app, "/metrics")
    assert await got_text(app, "/healthz") == '{"status":"ok"}'


async def got_text(app: Any, path: str) -> str:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ops") as client:
        return (await client.get(path)).text


# ---- the end ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class SlowChild:
    """A process that ends so long after SIGTERM, as `subprocess.Popen` reports it."""

    needs_s: float
    signals: list[signal.Signals] = field(default_factory=list)
    pid: int = 0

    def poll(self) -> int | None:
        return None

    def wait(self, timeout: float | None = None) -> int:
        is_killed = signal.SIGKILL in self.signals
        if timeout is not None and timeout < self.needs_s and not is_killed:
            raise subprocess.TimeoutExpired("slow", timeout)
        return -signal.SIGKILL if is_killed else 0

    def send_signal(self, number: signal.Signals) -> None:
        self.signals.append(number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def test_an_api_process_is_killed_only_after_its_time_to_finish_requests() -> None:
    supervisor = Supervisor(end_limit_s=STOP_LIMIT_S)
    children = [SlowChild(needs_s) for needs_s in (GRACE_S + 1, GRACE_S + 100)]
    for child in children:
        supervisor.keep("api", partial(take, child))
    supervisor.end()
    assert [signal.SIGKILL in child.signals for child in children] == [False, True]


def take(child: SlowChild) -> Child:
    return child
