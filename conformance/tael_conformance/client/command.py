"""The merchant's command: run once for each scenario, with a scripted server's address and credentials."""

import itertools
import os
import secrets
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tael_conformance.checks import Departure
from tael_conformance.client.scripted import PAID_SYSSN, Action, First, Order, Row, ScriptedServer
from tael_conformance.credentials import Credentials
from tael_conformance.listener import Listener

AMOUNT: Final = "1000"
#: Of a WeChat Pay barcode.
AUTH_CODE: Final = "131234567890120000"
MAX_OUTPUT: Final = 64 * 1024
RESULTS: Final = ("paid", "unpaid", "refunded", "refused", "unknown")
SETTING: Final = "QFPAY_"

_numbers: Final = itertools.count(1)
_run: Final = secrets.token_hex(4)


def new_credentials() -> Credentials:
    """Of no real app."""
    return Credentials(secrets.token_hex(16).upper(), secrets.token_hex(16).upper(), "kit0merchant")


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program printed, and its exit code."""

    output: bytes
    returncode: int


#: Runs a program with these arguments and this environment. Raises subprocess.TimeoutExpired after the seconds.
Run = Callable[[Sequence[str], Mapping[str, str], float], Ended]


def run_program(arguments: Sequence[str], environment: Mapping[str, str], limit_s: float) -> Ended:
    done = subprocess.run(
        arguments,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=limit_s,
    )
    return Ended(done.stdout[-MAX_OUTPUT:], done.returncode)


@dataclass(slots=True)
class Command:
    """`arguments` are the program and its arguments, before those of a scenario. `listener` is the server's address."""

    arguments: tuple[str, ...]
    credentials: Credentials
    limit_s: float
    listener: Listener
    run_program: Run = run_program
    has_run: bool = False
    signature_faults: list[str] = field(default_factory=list)
    form_faults: list[str] = field(default_factory=list)

    def run(self, action: Action, first: First, rows: deque[Row]) -> tuple[ScriptedServer, str]:
        """The server as it is after the command has ended, and the command's last line. Raises Departure."""
        number = f"kit-{_run}-{next(_numbers)}"
        order = Order(action, number, AMOUNT, AUTH_CODE if action == "pay" else "")
        server = ScriptedServer(self.credentials, order, first, rows)
        self.listener.answer = server
        last = self._last_line(order, self.listener.url)
        self.has_run = True
        self.signature_faults += server.signature_faults
        self.form_faults += server.form_faults
        return server, last

    def _last_line(self, order: Order, url: str) -> str:
        given = (
            ("pay", order.number, order.amount, order.auth_code)
            if order.action == "pay"
            else ("refund", PAID_SYSSN, order.number, order.amount)
        )
        sent = " ".join(given)
        try:
            done = self.run_program([*self.arguments, *given], self._environment(url), self.limit_s)
        except subprocess.TimeoutExpired:
            raise Departure(f"a result within {self.limit_s:g} s", "the command was ended", sent) from None
        lines = done.output.decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if last not in RESULTS:
            received = last or f"nothing (exit code {done.returncode})"
            raise Departure(f"one of {', '.join(RESULTS)} as the last line", received, sent)
        return last

    def _environment(self, url: str) -> dict[str, str]:
        """Ours, with the scripted server's address and credentials instead of any real ones."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(SETTING)}
        return ours | {
            "QFPAY_URL": url,
            "QFPAY_APPCODE": self.credentials.appcode,
            "QFPAY_KEY": self.credentials.key,
            "QFPAY_MCHID": self.credentials.mchid,
        }
