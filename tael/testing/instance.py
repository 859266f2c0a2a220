"""A private instance, seen from the test session: started, asked over two pipes, ended.

The instance is one child (`running.py`) with PostgreSQL and the sandbox below it. Its standard input is its lifeline:
when this process ends, by whatever death, the pipe does too, and the child ends everything and removes its folder.
Only the standard library is used, so that the user's own tests are not slowed by ours.
"""

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any, Final, Self

from tael.cli.isolation import without_callers

START_LIMIT_S: Final = 120.0
CALL_LIMIT_S: Final = 30.0
END_LIMIT_S: Final = 30.0

Members = dict[str, Any]


class NotStarted(Exception):
    """An instance could not start; the message says why."""


class InstanceGone(Exception):
    """The instance ended while the tests still ran; the message says where its log was."""


@dataclass(slots=True)
class Instance:
    """A running instance. `told` is what it said of itself: addresses, folder, apps."""

    child: "subprocess.Popen[str]"
    told: Members = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def start(cls) -> Self:
        """Raises NotStarted."""
        if not sys.platform.startswith("linux"):
            raise NotStarted("it brings a PostgreSQL for Linux only")
        child = subprocess.Popen(
            [sys.executable, "-m", "tael.testing.running"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_environment(),
            cwd="/",  # nothing in the user's folder is taken for a module of ours
            start_new_session=True,  # Ctrl-C is for pytest, which ends us after the tests
        )
        instance = cls(child)
        told = instance._line(START_LIMIT_S)
        if "error" in told:
            instance.end()
            raise NotStarted(told["error"])
        if not told:
            _, said = child.communicate(timeout=END_LIMIT_S)
            raise NotStarted((said.strip().splitlines() or [f"no answer within {START_LIMIT_S:.0f} s"])[-1])
        instance.told = told
        return instance

    def ask(self, **what: object) -> None:
        """Have the instance do something that HTTP does not offer. Raises InstanceGone, ValueError."""
        with self._turn:
            assert self.child.stdin is not None
            try:
                self.child.stdin.write(json.dumps(what) + "\n")
                self.child.stdin.flush()
            except BrokenPipeError:
                raise InstanceGone("tael has ended during the tests") from None
            answer = self._line(CALL_LIMIT_S)
        if not answer:
            raise InstanceGone("tael has ended during the tests")
        if "error" in answer:
            raise ValueError(answer["error"])

    def end(self) -> None:
        """End everything and remove its folder; returns when that is done."""
        try:
            self.child.communicate(timeout=END_LIMIT_S)  # closes its standard input
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.communicate()

    def _line(self, limit_s: float) -> Members:
        """Its next line; empty if it ended, or was ended because none came in time."""
        assert self.child.stdout is not None
        limit = threading.Timer(limit_s, self.child.kill)
        limit.daemon = True
        limit.start()
        try:
            line = self.child.stdout.readline()
        finally:
            limit.cancel()
        told: Members = json.loads(line) if line else {}
        return told


def _environment() -> dict[str, str]:
    """Ours without what would lead an instance to a real database or wallet, or away from the loopback."""
    return without_callers(os.environ)
