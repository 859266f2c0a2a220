"""The processes of a demo, started in order, supervised and stopped: PostgreSQL, sandbox, API processes, worker.

All of them listen on 127.0.0.1 only, since the demo's key is public. All data is in one folder.
"""

import base64
import json
import os
import secrets
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from tael.base.key_file import KeyFile, read_key_file
from tael.base.key_ring import BadKeys
from tael.cli.databases import UNUSABLE_DATABASE, why_unusable
from tael.cli.demo_folder import CLOCK, DOCUMENTS, ENCRYPTION_KEY, EXTERNAL_DATABASE, WALLETS
from tael.cli.isolation import isolated, without_callers
from tael.cli.listener import CHILD, listen, start_api
from tael.cli.processes import Child, Supervisor, fork, preload
from tael.merchants.domain.merchant import UnmatchedPolicy
from tael_demo.cells import migrate_cells
from tael_demo.database import why_not_the_demos
from tael_demo.embedded.server import EmbeddedPostgres

HOST: Final = "127.0.0.1"
API_PROCESSES: Final = 2
READY_LIMIT_S: Final = 60.0
REST_S: Final = 0.05


class DemoRefused(Exception):
    """The demo cannot start. The message gives the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class DemoPaths:
    """The folder, the ports and the options of one demo."""

    port: int
    data: Path
    database_url: str = field(default="", repr=False)  #: contains a password; "" for a private PostgreSQL
    unmatched_payments: UnmatchedPolicy | None = None  #: the merchants' policy; None leaves it as it is
    cells: int = 1  #: of the database, at least

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
class DemoStack:
    """A running demo. `environment` is the environment of its processes."""

    paths: DemoPaths
    database_url: str
    environment: dict[str, str]
    supervisor: Supervisor
    postgres: EmbeddedPostgres | None  #: None where --database-url names another server

    def watch(self) -> list[str]:
        """Restart the processes that ended; returns their names. Raises DemoRefused, EmbeddedPostgresError."""
        restarted = self.supervisor.watch()
        if self.postgres is None or self.postgres.pid is not None:
            return restarted
        self.postgres.stop()
        if self.postgres.start() != self.database_url:
            raise DemoRefused("PostgreSQL ended and its port was taken meanwhile; start the demo again")
        return [*restarted, "postgres"]

    def accounts(self) -> list[dict[str, Any]]:
        """The merchants' accounts at the simulated wallets."""
        rows: list[dict[str, Any]] = _read_json(f"{self.paths.sandbox_url}/control/accounts")
        return rows


@contextmanager
def running_wallets(paths: DemoPaths) -> Iterator[DemoStack]:
    """PostgreSQL, migrated, and the sandbox. Raises DemoRefused, EmbeddedPostgresError.

    Within the block, the caller's settings are removed from this process's environment; see `isolation`.
    """
    (paths.data / "logs").mkdir(parents=True, exist_ok=True)
    refuse_taken_ports(paths)
    with ExitStack() as exits:
        exits.enter_context(isolated())
        postgres, database_url = None, paths.database_url
        if database_url:
            refusal = why_not_the_demos(database_url, _encryption_keys(paths))
            if refusal is not None:
                raise DemoRefused(f"--database-url: {refusal}")
            _write_private(paths.data / EXTERNAL_DATABASE, database_url)
        else:
            postgres = exits.enter_context(EmbeddedPostgres(paths.data))
            database_url = postgres.url
        exits.enter_context(_private_files())
        supervisor = Supervisor()
        exits.callback(supervisor.end)
        environment = _environment(paths, database_url)
        preload("tael_sandbox.main")
        supervisor.keep("sandbox", lambda: _start_sandbox(paths, environment))
        try:
            migrate_cells(database_url, paths.cells)  # while the sandbox comes up
        except UNUSABLE_DATABASE as error:
            raise DemoRefused(why_unusable(error)) from None
        wait_until_answers(f"{paths.sandbox_url}/control/clock", "the sandbox", paths)
        ca_file = paths.data / "wechat_ca.pem"
        stack = DemoStack(paths, database_url, environment, supervisor, postgres)
        ca_file.write_text(next(row["ca_pem"] for row in stack.accounts() if row["wallet"] == "wechat"))
        yield stack


@contextmanager
def _private_files() -> Iterator[None]:
    """Files created by this process and its children are readable by their owner only: logs, data, keys."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def start_gateway(stack: DemoStack, listener: socket.socket) -> None:
    """Start the API processes and a worker on the stack of `running_wallets`; `wait_until_ready` waits for them."""
    preload("tael.cli.serving", "tael.cli.working")
    paths = stack.paths
    logs = paths.data / "logs"
    for index in range(API_PROCESSES):
        stack.supervisor.keep(
            f"api-{index}", partial(start_api, listener, stack.environment, True, logs / f"api-{index}.log")
        )
    stack.supervisor.keep(
        "worker",
        lambda: fork("tael-worker", CHILD, ["work", "--demo"], stack.environment, log=logs / "worker.log"),
    )


def wait_until_ready(stack: DemoStack) -> None:
    """Until gateway and shop serve. Raises DemoRefused if they do not in time."""
    paths = stack.paths
    wait_until_answers(f"{paths.gateway_url}/readyz", "the gateway", paths)
    wait_until_answers(f"{paths.shop_url}/healthz", "the shop", paths)


def listener_of(paths: DemoPaths) -> socket.socket:
    return listen(HOST, paths.port)


def _encryption_keys(paths: DemoPaths) -> KeyFile:
    """The keys in the folder; the first is generated at the first start. Raises DemoRefused."""
    path = (paths.data / ENCRYPTION_KEY).absolute()
    if not path.exists():
        _write_private(path, base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
    try:
        return KeyFile(path, read_key_file(path))
    except (BadKeys, OSError) as error:
        raise DemoRefused(f"{path}: {error}") from None


def _environment(paths: DemoPaths, database_url: str) -> dict[str, str]:
    wallets = {
        "TAEL_ALIPAY_URL": f"{paths.sandbox_url}/gateway.do",
        "TAEL_ALIPAY_INSTORE_URL": f"{paths.sandbox_url}/gateway.do",
        "TAEL_WECHAT_URL": paths.wechat_tls_url,
        "TAEL_WECHAT_AUTHORIZE_URL": paths.sandbox_url,
        "TAEL_WECHAT_API_URL": paths.sandbox_url,
        "TAEL_WECHAT_CA_FILE": str((paths.data / "wechat_ca.pem").absolute()),
    }
    (paths.data / WALLETS).write_text(json.dumps(wallets))  # for the operator's commands
    (paths.data / DOCUMENTS).mkdir(exist_ok=True)
    return {
        **without_callers(os.environ),
        **wallets,
        "TAEL_DATABASE_URL": database_url,
        "TAEL_ENCRYPTION_KEY_FILE": str(_encryption_keys(paths).path),
        "TAEL_PUBLIC_URL": paths.gateway_url,
        "TAEL_CLOCK_FILE": str(paths.data / CLOCK),
        "TAEL_DOCUMENTS": str((paths.data / DOCUMENTS).absolute()),
        "TAEL_WEBHOOK_LOOPBACK": "on",
        "TAEL_WEBHOOK_ANY_PORT": "on",
        "TAEL_SETTINGS_CACHE_MS": "0",  # who changes a setting tries it at once
        "TAEL_MERCHANT_MAX_PER_SECOND": "0",  # a demo is put under load; a merchant can have limits of its own
        "TAEL_MERCHANT_MAX_PER_MINUTE": "0",
        "TAEL_ADDRESS_MAX_PER_SECOND": "0",
        "TAEL_MAX_CONCURRENT_CALLS": "10000",
    }


def _start_sandbox(paths: DemoPaths, environment: dict[str, str]) -> Child:
    folder = paths.data / "sandbox"
    folder.mkdir(exist_ok=True)
    ports = ["--port", str(paths.port + 1), "--tls-port", str(paths.port + 3)]
    return fork(
        "tael-sandbox",
        "tael_sandbox",
        [*ports, "--data", str(folder)],
        environment,
        log=paths.data / "logs" / "sandbox.log",
    )


def refuse_taken_ports(paths: DemoPaths) -> None:
    """Raises DemoRefused."""
    for port in range(paths.port, paths.port + 4):
        try:
            listen(HOST, port).close()
        except OSError as error:
            raise DemoRefused(
                f"port {port} is taken ({error.strerror}); choose other ports with --port"
            ) from error


def wait_until_answers(url: str, what: str, paths: DemoPaths) -> None:
    """Raises DemoRefused after `READY_LIMIT_S`."""
    until = time.monotonic() + READY_LIMIT_S
    while not answers(url):
        if time.monotonic() > until:
            raise DemoRefused(f"{what} did not start; its log is in {paths.data / 'logs'}")
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
