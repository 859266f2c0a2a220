"""A whole demo as a process, and the payer's hand in it: everything a test needs but the merchant's own calls.

What a test sends to the gateway goes over HTTP by `merchant.py`; this file starts the demo, moves its clock, shows
barcodes and confirms payments. Nothing of `tael` is imported.
"""

import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.support.commands import clean_environment, run_tael

ROOT: Final = Path(__file__).parents[2]
UTC8: Final = timezone(timedelta(hours=8))
START_LIMIT_S: Final = 90
END_LIMIT_S: Final = 30
CALL_LIMIT_S: Final = 30
WAIT_LIMIT_S: Final = 15.0
REST_S: Final = 0.04
#: Processes remember apps and merchants for a second of real time, which no clock of ours moves.
SETTINGS_REMEMBERED_S: Final = 1.1
#: Where the tests' demos may listen; below the range from which the kernel gives out ports.
FIRST_PORT, LAST_PORT = 20_000, 32_000

Members = dict[str, Any]
Found = TypeVar("Found")


def eventually(
    look: Callable[[], Found], is_there: Callable[[Found], bool], limit_s: float = WAIT_LIMIT_S
) -> Found:
    """What `look` sees once it is what is waited for, or what it sees last."""
    until = time.monotonic() + limit_s
    while True:
        seen = look()
        if is_there(seen) or time.monotonic() > until:
            return seen
        time.sleep(REST_S)


def free_port_block() -> int:
    """A port P such that nobody listens on it and the three that follow."""
    for _ in range(200):
        first = random.randrange(FIRST_PORT, LAST_PORT)
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
    """A demo ended before it was ready; the message is what it said."""


@dataclass(slots=True)
class Demo:
    """A running demo. `apps` are the rows of its JSON line."""

    folder: Path
    port: int
    process: "subprocess.Popen[str]"
    gateway: str = ""
    sandbox: str = ""
    shop: str = ""
    database_url: str = ""
    apps: list[Members] = field(default_factory=list)

    @classmethod
    def start(cls, folder: Path, port: int | None = None, *options: str, **settings: str) -> "Demo":
        """On `port`, or on ports that happen to be free; `settings` go into its environment. Raises NotStarted."""
        for attempt in range(3):
            try:
                return cls._start(folder, port or free_port_block(), options, settings)
            except NotStarted as failed:
                if port is not None or attempt == 2 or "is taken" not in str(failed):
                    raise
        raise AssertionError("unreachable")

    @classmethod
    def _start(cls, folder: Path, port: int, options: Sequence[str], settings: dict[str, str]) -> "Demo":
        where = ["--port", str(port), "--data", str(folder)]
        process = subprocess.Popen(
            [sys.executable, "-m", "tael.cli", "demo", "--quiet", *where, *options],
            cwd=ROOT,
            env=clean_environment() | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        limit = threading.Timer(START_LIMIT_S, process.kill)
        limit.start()
        line = process.stdout.readline()
        limit.cancel()
        if not line:
            _, said = process.communicate(timeout=END_LIMIT_S)
            raise NotStarted(said)
        told = json.loads(line)
        urls = (told["gateway"], told["sandbox"], told["shop"], told["database_url"])
        return cls(folder, port, process, *urls, told["apps"])

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.communicate(timeout=END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()

    def kill(self) -> None:
        """The parent alone, without a chance to tidy up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(END_LIMIT_S)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def set_app(self, appcode: str, *settings: str) -> None:
        """`tael app set`, and time enough for every process to see it."""
        done = run_tael("app", "set", appcode, *settings, "--data", str(self.folder))
        assert done.returncode == 0, done.stderr
        time.sleep(SETTINGS_REMEMBERED_S)

    @contextmanager
    def app_set(self, appcode: str, *settings: str, back: tuple[str, ...] = ()) -> Iterator[None]:
        """`set_app` for a while. `back` undoes it; the notify URL is put back to what it was."""
        app = next(row for row in self.ask("app", "list") if row["appcode"] == appcode)
        self.set_app(appcode, *settings)
        try:
            yield
        finally:
            self.set_app(appcode, *back, "--notify-url", app["notify_url"] or "")

    def set_merchant(self, mchid: str, *settings: str) -> None:
        """`tael merchant set`, and time enough for every process to see it."""
        self.ask("merchant", "set", mchid, *settings)
        time.sleep(SETTINGS_REMEMBERED_S)

    def set_account(self, account_id: str, *settings: str) -> None:
        """`tael wallet set`, and time enough for every process to see it."""
        self.ask("wallet", "set", account_id, *settings)
        time.sleep(SETTINGS_REMEMBERED_S)

    # ---- the wallets' side ---------------------------------------------------------------------------------

    def control(self, name: str, **asked: object) -> Any:
        """POST `/control/<name>` of what is asked, or GET if nothing is."""
        return self._control(name, "POST" if asked else "GET", asked or None)

    def put_faults(self, *faults: Members) -> None:
        """From now on exactly these faults of the wallets."""
        self._control("faults", "PUT", faults)

    def _control(self, name: str, method: str, asked: object) -> Any:
        body = None if asked is None else json.dumps(asked).encode()
        request = urllib.request.Request(f"{self.sandbox}/control/{name}", data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=CALL_LIMIT_S) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"/control/{name}: {refused.read().decode()}") from None

    def now(self) -> datetime:
        """The time that gateway and wallets agree on, in UTC+8."""
        return datetime.fromisoformat(self.control("clock")["now"]).astimezone(UTC8)

    def advance(self, seconds: float) -> None:
        self.control("clock", advance_s=seconds)

    @contextmanager
    def faults(self, *faults: Members) -> Iterator[None]:
        """What goes wrong at the wallets until the end of the block."""
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
        """A fresh barcode on a payer's phone."""
        return str(self.control("codes", wallet=wallet, behaviour=behaviour)["auth_code"])

    def code_ending(self, wallet: str, ending: str) -> str:
        """A fresh barcode with a magic ending."""
        return str(self.control("codes", wallet=wallet, ending=ending)["auth_code"])

    def put_profile(self, name: str) -> None:
        self._control("profile", "PUT", {"profile": name})

    def scan(self, url: str) -> Members:
        seen: Members = self.control("scan", url=url)
        return seen

    def confirm(self, action: str = "pay", **what: str) -> Members:
        """What the payer did; `what` is `trade` or `url`."""
        done: Members = self.control("confirm", action=action, **what)
        return done

    def openid(self, shop: str = "demo") -> str:
        """A payer's openid under this shop's official account."""
        accounts = self.control("accounts")
        appid = next(r["sub_appid"] for r in accounts if r["wallet"] == "wechat" and r["shop"] == shop)
        payers = self.control("payers")
        return str(next(payer["openids"][appid] for payer in payers if payer["wallet"] == "wechat"))

    def trades(self, order: str) -> list[Members]:
        """The wallets' own rows of an order."""
        return [trade for trade in self.control("book")["trades"] if trade["order"] == order]

    def refunds(self, order: str) -> list[Members]:
        return [refund for refund in self.control("book")["refunds"] if refund["order"] == order]

    def held(self, order: str) -> int:
        """What the merchant has of this order's money, by the wallets' books."""
        return sum(
            trade["amount"] - trade["refunded"]
            for trade in self.trades(order)
            if trade["state"] in ("TRADE_SUCCESS", "TRADE_FINISHED", "SUCCESS", "REFUND")
        )


@contextmanager
def maintenance_window(demo: Demo, reason: str = "") -> Iterator[None]:
    """Maintenance, as every process knows of it; over for all of them at the end of the block."""
    demo.ask("maintenance", "on", *(["--reason", reason] if reason else []))
    time.sleep(SETTINGS_REMEMBERED_S)
    try:
        yield
    finally:
        demo.ask("maintenance", "off")
        time.sleep(SETTINGS_REMEMBERED_S)


def descendants(pid: int) -> set[int]:
    """Every process below this one."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found: set[int] = set()
    fresh = {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
