"""A private instance as the test session sees it: started, controlled over two pipes, stopped.

The instance is one child process (`running.py`) with PostgreSQL and the sandbox as its own children. When this process
ends, however it ends, the child's standard input closes; the child then stops everything and removes its folder. Only
the standard library is used, so that importing this does not slow down the user's tests.
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
    """An instance could not start. The message gives the reason."""


class InstanceGone(Exception):
    """The instance ended during the tests."""


@dataclass(slots=True)
class Instance:
    """A running instance. `info` is its own description: addresses, folder, apps."""

    child: "subprocess.Popen[str]"
    info: Members = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def start(cls) -> Self:
        """Raises NotStarted."""
        if not sys.platform.startswith("linux"):
            raise NotStarted("its embedded PostgreSQL runs on Linux only")
        child = subprocess.Popen(
            [sys.executable, "-m", "tael_demo.testing.running"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_environment(),
            cwd="/",  # no file in the user's folder can shadow a module
            start_new_session=True,  # Ctrl-C goes to pytest, which stops the instance after the tests
        )
        instance = cls(child)
        info = instance._line(START_LIMIT_S)
        if "error" in info:
            instance.end()
            raise NotStarted(info["error"])
        if not info:
            _, errors = child.communicate(timeout=END_LIMIT_S)
            raise NotStarted((errors.strip().splitlines() or [f"not ready within {START_LIMIT_S:.0f} s"])[-1])
        instance.info = info
        return instance

    def request(self, **command: object) -> None:
        """Send a command that HTTP does not offer. Raises InstanceGone, ValueError."""
        with self._lock:
            assert self.child.stdin is not None
            try:
                self.child.stdin.write(json.dumps(command) + "\n")
                self.child.stdin.flush()
            except BrokenPipeError:
                raise InstanceGone("tael ended during the tests") from None
            answer = self._line(CALL_LIMIT_S)
        if not answer:
            raise InstanceGone("tael ended during the tests")
        if "error" in answer:
            raise ValueError(answer["error"])

    def end(self) -> None:
        """Stop everything and remove the folder; returns when that is done."""
        try:
            self.child.communicate(timeout=END_LIMIT_S)  # closes the child's standard input
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.communicate()

    def _line(self, limit_s: float) -> Members:
        """The next line of the instance; empty if it ended, or was killed because none came in time."""
        assert self.child.stdout is not None
        limit = threading.Timer(limit_s, self.child.kill)
        limit.daemon = True
        limit.start()
        try:
            line = self.child.stdout.readline()
        finally:
            limit.cancel()
        members: Members = json.loads(line) if line else {}
        return members


def _environment() -> dict[str, str]:
    """This process's environment without settings that could lead to a real database or wallet."""
    return without_callers(os.environ)
