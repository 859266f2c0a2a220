"""Everything a demo consists of, started in order, watched, and ended: PostgreSQL, sandbox, API processes, worker.

All of it listens on 127.0.0.1 only, since the published key of the demo is public. What is kept lies in one folder.
"""

import base64
import json
import os
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from tael.cli.databases import UNUSABLE_DATABASE, why_not_the_demos, why_unusable
from tael.cli.isolation import isolated, without_callers
from tael.cli.processes import Supervisor, start
from tael.cli.serving import listen, start_api
from tael.store.embedded import EmbeddedPostgres
from tael.store.migrate import migrate

HOST: Final = "127.0.0.1"
API_PROCESSES: Final = 2
READY_LIMIT_S: Final = 60.0
REST_S: Final = 0.05


class DemoRefused(Exception):
    """The demo cannot start; the message says why and what helps."""


@dataclass(frozen=True, slots=True)
class Place:
    """The folder and the ports of one demo, and what it was asked to do in another way."""

    port: int
    data: Path
    database_url: str = field(default="", repr=False)  #: "" for a PostgreSQL of its own; it holds a password
    returns_stray_money: bool = True

    @property
    def gateway_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def sandbox_url(self) -> str:
        return f"http://{HOST}:{self.port + 1}"

    @property
    def shop_url(self) -> str:
        return f"http://{HOST}:{self.port + 2}"

    @property
    def wechat_tls_url(self) -> str:
        return f"https://{HOST}:{self.port + 3}"


@dataclass(frozen=True, slots=True)
class Rig:
    """A demo that runs. `environment` is that of its processes, for commands that belong to it."""

    place: Place
    database_url: str
    environment: dict[str, str]
    supervisor: Supervisor
    postgres: EmbeddedPostgres | None  #: None where --database-url names another server

    def watch(self) -> list[str]:
        """Start again what has died; the names of what it was. Raises DemoRefused, EmbeddedPostgresError."""
        died = self.supervisor.watch()
        if self.postgres is None or self.postgres.pid is not None:
            return died
        self.postgres.stop()
        if self.postgres.start() != self.database_url:
            raise DemoRefused("PostgreSQL had died and its port was taken meanwhile; start the demo again")
        return [*died, "postgres"]

    def accounts(self) -> list[dict[str, Any]]:
        """The merchants' accounts that the wallets know."""
        rows: list[dict[str, Any]] = _read_json(f"{self.place.sandbox_url}/control/accounts")
        return rows


@contextmanager
def running_wallets(place: Place) -> Iterator[Rig]:
    """PostgreSQL, migrated, and the sandbox. Raises DemoRefused, EmbeddedPostgresError.

    Until the end of the block this process's environment is without settings that were meant for other work.
    """
    (place.data / "logs").mkdir(parents=True, exist_ok=True)
    refuse_taken_ports(place)
    with ExitStack() as stack:
        stack.enter_context(isolated())
        postgres, database_url = None, place.database_url
        if database_url:
            refusal = why_not_the_demos(database_url, _seal_key(place))
            if refusal is not None:
                raise DemoRefused(f"--database-url: {refusal}")
            _write_private(place.data / "database_url", database_url)
        else:
            postgres = stack.enter_context(EmbeddedPostgres(place.data))
            database_url = postgres.url
        stack.enter_context(_private_files())
        try:
            migrate(database_url)
        except UNUSABLE_DATABASE as error:
            raise DemoRefused(why_unusable(error)) from None
        supervisor = Supervisor()
        stack.callback(supervisor.end)
        environment = _environment(place, database_url)
        supervisor.keep("sandbox", lambda: _start_sandbox(place, environment))
        wait_until_answers(f"{place.sandbox_url}/control/clock", "the sandbox", place)
        ca_file = place.data / "wechat_ca.pem"
        rig = Rig(place, database_url, environment, supervisor, postgres)
        ca_file.write_text(next(row["ca_pem"] for row in rig.accounts() if row["wallet"] == "wechat"))
        yield rig


@contextmanager
def _private_files() -> Iterator[None]:
    """What this process and its children make is for their user only: logs, books, keys."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def start_gateway(rig: Rig, listener: socket.socket) -> None:
    """API processes and a worker over what `running_wallets` started; returns when they are ready."""
    place = rig.place
    logs = place.data / "logs"
    for index in range(API_PROCESSES):
        rig.supervisor.keep(
            f"api-{index}", partial(start_api, listener, rig.environment, True, logs / f"api-{index}.log")
        )
    rig.supervisor.keep(
        "worker",
        lambda: start(["-m", "tael.cli", "work", "--demo"], rig.environment, log=logs / "worker.log"),
    )
    wait_until_answers(f"{place.gateway_url}/readyz", "the gateway", place)


def listener_of(place: Place) -> socket.socket:
    return listen(HOST, place.port)


def _seal_key(place: Place) -> str:
    """The one in the folder, made at the first start."""
    seal_file = place.data / "seal.key"
    if not seal_file.exists():
        _write_private(seal_file, base64.b64encode(secrets.token_bytes(32)).decode())
    return seal_file.read_text().strip()


def _environment(place: Place, database_url: str) -> dict[str, str]:
    return {
        **without_callers(os.environ),
        "TAEL_DATABASE_URL": database_url,
        "TAEL_SEAL_KEY": _seal_key(place),
        "TAEL_PUBLIC_URL": place.gateway_url,
        "TAEL_ALIPAY_URL": f"{place.sandbox_url}/gateway.do",
        "TAEL_ALIPAY_INSTORE_URL": f"{place.sandbox_url}/gateway.do",
        "TAEL_WECHAT_URL": place.wechat_tls_url,
        "TAEL_WECHAT_CA_FILE": str(place.data / "wechat_ca.pem"),
        "TAEL_CLOCK_FILE": str(place.data / "clock"),
        "TAEL_RETURN_STRAY_MONEY": "on" if place.returns_stray_money else "off",
        "TAEL_WEBHOOK_LOOPBACK": "on",
        "TAEL_WEBHOOK_ANY_PORT": "on",
    }


def _start_sandbox(place: Place, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    folder = place.data / "sandbox"
    folder.mkdir(exist_ok=True)
    ports = ["--port", str(place.port + 1), "--tls-port", str(place.port + 3)]
    return start(
        ["-m", "tael_sandbox", *ports, "--data", str(folder)],
        environment,
        log=place.data / "logs" / "sandbox.log",
    )


def refuse_taken_ports(place: Place) -> None:
    """Raises DemoRefused."""
    for port in range(place.port, place.port + 4):
        try:
            listen(HOST, port).close()
        except OSError as error:
            raise DemoRefused(
                f"port {port} is taken ({error.strerror}); choose others with --port"
            ) from error


def wait_until_answers(url: str, what: str, place: Place) -> None:
    """Raises DemoRefused if it does not in time."""
    until = time.monotonic() + READY_LIMIT_S
    while not answers(url):
        if time.monotonic() > until:
            raise DemoRefused(f"{what} did not start; its log is in {place.data / 'logs'}")
        time.sleep(REST_S)


def answers(url: str) -> bool:
    try:
        _read_json(url)
    except (urllib.error.URLError, OSError, ValueError):
        return False
    return True


def _read_json(url: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # our own processes on loopback
    with opener.open(url, timeout=5) as answer:
        return json.load(answer)


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
