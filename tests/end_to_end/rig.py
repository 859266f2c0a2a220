"""A whole demo as a process, with its control API: everything for a test except the merchant's own calls.

Calls to the gateway are in `merchant.py`; this file starts the demo, moves its clock, shows barcodes and confirms
payments. Nothing of `tael` is imported except the template of a first start.
"""

import json
import os
import random
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.support.commands import clean_environment, command_server, run_tael
from tests.support.forks import Forked, ended
from tests.support.http_calls import call_kept
from tests.support.seeded import seed_folder

ROOT: Final = Path(__file__).parents[2]
UTC8: Final = timezone(timedelta(hours=8))
START_LIMIT_S: Final = 90
END_LIMIT_S: Final = 30
HTTP_OK: Final = 200
WAIT_LIMIT_S: Final = 15.0
REST_S: Final = 0.04
#: Ports of the tests' demos, below the kernel's ephemeral range.
FIRST_PORT, LAST_PORT = 20_000, 32_000
PORT_RANGES = 8

Members = dict[str, Any]
Found = TypeVar("Found")


def eventually(
    look: Callable[[], Found], is_there: Callable[[Found], bool], limit_s: float = WAIT_LIMIT_S
) -> Found:
    """The result of `look` once it is the expected one, or the last result."""
    until = time.monotonic() + limit_s
    while True:
        seen = look()
        if is_there(seen) or time.monotonic() > until:
            return seen
        time.sleep(REST_S)


def free_port_block() -> int:
    """A port P such that P and the next three are free. Tests that run beside this one look elsewhere."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PORT_RANGES
    size = (LAST_PORT - FIRST_PORT) // PORT_RANGES
    for _ in range(200):
        first = FIRST_PORT + worker * size + random.randrange(size - 3)
        if all(_is_free(port) for port in range(first, first + 4)):
            return first
    raise RuntimeError("no four free ports in a row were found")


def _is_free(port: int) -> bool:
    with socket.socket() as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trying.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class NotStarted(Exception):
    """A demo exited before it was ready; the message is its standard error."""


@dataclass(slots=True)
class Demo:
    """A running demo. `apps` are the rows of its JSON line."""

    folder: Path
    port: int
    process: Forked
    gateway: str = ""
    sandbox: str = ""
    shop: str = ""
    database_url: str = ""
    apps: list[Members] = field(default_factory=list)

    @classmethod
    def start(cls, folder: Path, port: int | None = None, *options: str, **settings: str) -> "Demo":
        """Start on `port` or on free ports, with `settings` in the environment. Raises NotStarted."""
        for attempt in range(3):
            try:
                return cls._start(folder, port or free_port_block(), options, settings)
            except NotStarted as failed:
                if port is not None or attempt == 2 or "is taken" not in str(failed):
                    raise
        raise AssertionError("unreachable")

    @classmethod
    def start_seeded(cls, folder: Path, *options: str, **settings: str) -> "Demo":
        """On an empty folder, as after a first start. The tests of first starts call `start` itself."""
        seed_folder(folder)
        return cls.start(folder, None, *options, **settings)

    @classmethod
    def _start(cls, folder: Path, port: int, options: Sequence[str], settings: dict[str, str]) -> "Demo":
        where = ["--port", str(port), "--data", str(folder)]
        reading, writing = os.pipe()
        with os.fdopen(reading) as output, tempfile.TemporaryFile("w+") as errors:
            process = command_server().start(
                ["demo", "--quiet", *where, *options],
                clean_environment() | settings,
                writing,
                errors.fileno(),
            )
            os.close(writing)
            limit = threading.Timer(START_LIMIT_S, process.send_signal, [signal.SIGKILL])
            limit.start()
            line = output.readline()
            limit.cancel()
            if not line:
                ended(process, END_LIMIT_S)
                errors.seek(0)
                raise NotStarted(errors.read())
        ready = json.loads(line)
        urls = (ready["gateway"], ready["sandbox"], ready["shop"], ready["database_url"])
        return cls(folder, port, process, *urls, ready["apps"])

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        ended(self.process, END_LIMIT_S)

    def kill(self) -> None:
        """SIGKILL the parent process alone, without any cleanup."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def set_app(self, appcode: str, *settings: str) -> None:
        """`tael app set`. A demo reads settings with each request."""
        done = run_tael("app", "set", appcode, *settings, "--data", str(self.folder))
        assert done.returncode == 0, done.stderr

    @contextmanager
    def app_set(self, appcode: str, *settings: str, back: tuple[str, ...] = ()) -> Iterator[None]:
        """`set_app` for a while. `back` undoes it; the notify URL is restored."""
        app = next(row for row in self.ask("app", "list") if row["appcode"] == appcode)
        self.set_app(appcode, *settings)
        try:
            yield
        finally:
            self.set_app(appcode, *back, "--notify-url", app["notify_url"] or "")

    def set_merchant(self, mchid: str, *settings: str) -> None:
        """`tael merchant set`."""
        self.ask("merchant", "set", mchid, *settings)

    def set_account(self, account_id: str, *settings: str) -> None:
        """`tael account set`."""
        self.ask("account", "set", account_id, *settings)

    # ---- the wallets' side ---------------------------------------------------------------------------------

    def control(self, name: str, **asked: object) -> Any:
        """POST `/control/<name>` with a payload, or GET without one."""
        return self._control(name, "POST" if asked else "GET", asked or None)

    def put_faults(self, *faults: Members) -> None:
        """Set exactly these faults of the wallets."""
        self._control("faults", "PUT", faults)

    def _control(self, name: str, method: str, asked: object) -> Any:
        body = b"" if asked is None else json.dumps(asked).encode()
        answer = call_kept(self.sandbox, method, f"/control/{name}", body)
        assert answer.status == HTTP_OK, f"/control/{name}: {answer.body.decode()}"
        return json.loads(answer.body)

    def now(self) -> datetime:
        """The common time of gateway and wallets, in UTC+8."""
        return datetime.fromisoformat(self.control("clock")["now"]).astimezone(UTC8)

    def advance(self, seconds: float) -> None:
        self.control("clock", advance_s=seconds)

    @contextmanager
    def faults(self, *faults: Members) -> Iterator[None]:
        """These faults of the wallets until the end of the block."""
        self.put_faults(*faults)
        try:
            yield
        finally:
            self.put_faults()

    def ask(self, *arguments: str) -> Any:
        """The JSON of an operator's command about this demo."""
        done = run_tael(*arguments, "--json", "--data", str(self.folder))
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return json.loads(done.stdout)

    def code(self, wallet: str, behaviour: str = "pays") -> str:
        """A new barcode on a payer's phone."""
        return str(self.control("codes", wallet=wallet, behaviour=behaviour)["auth_code"])

    def code_ending(self, wallet: str, ending: str) -> str:
        """A new barcode with a magic ending."""
        return str(self.control("codes", wallet=wallet, ending=ending)["auth_code"])

    def put_profile(self, name: str) -> None:
        self._control("profile", "PUT", {"profile": name})

    def scan(self, url: str) -> Members:
        seen: Members = self.control("scan", url=url)
        return seen

    def confirm(self, action: str = "pay", **what: str) -> Members:
        """Let the payer act on an order; `what` is `trade` or `url`."""
        done: Members = self.control("confirm", action=action, **what)
        return done

    def openid(self, shop: str = "demo", appid_of: str = "sub_appid") -> str:
        """A payer's openid under this shop's official account, or its mini program."""
        accounts = self.control("accounts")
        account = next(row for row in accounts if row["wallet"] == "wechat" and row["shop"] == shop)
        appid = (
            account[appid_of] or account["appid"]
        )  # a direct merchant's official account has no other appid
        payers = self.control("payers")
        return str(next(payer["openids"][appid] for payer in payers if payer["wallet"] == "wechat"))

    def trades(self, order: str) -> list[Members]:
        """The wallets' own rows of an order."""
        return [trade for trade in self.control("book")["trades"] if trade["order"] == order]

    def refunds(self, order: str) -> list[Members]:
        return [refund for refund in self.control("book")["refunds"] if refund["order"] == order]

    def held(self, order: str) -> int:
        """The money of this order that the merchant still has, by the wallets' books, in minor units."""
        return sum(
            trade["amount"] - trade["refunded"]
            for trade in self.trades(order)
            if trade["state"] in ("TRADE_SUCCESS", "TRADE_FINISHED", "SUCCESS", "REFUND")
        )


@contextmanager
def maintenance_window(demo: Demo, reason: str = "") -> Iterator[None]:
    """A maintenance window that every process has seen; it is over for all of them at the end of the block."""
    demo.ask("maintenance", "on", *(["--reason", reason] if reason else []))
    try:
        yield
    finally:
        demo.ask("maintenance", "off")


def descendants(pid: int) -> set[int]:
    """All descendants of this process."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found: set[int] = set()
    new = {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def kernels_name(pid: int) -> str:
    """The process's name as the kernel has it, "" if it has ended. Children of a demo have its command line."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
