"""Child processes that never outlive their parent, and are started again when they die.

A child asks the kernel for a signal at its parent's death, so that a killed demo leaves nothing behind. The kernel
means the parent's thread: start children from the main thread.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
END_LIMIT_S: Final = 10.0
#: A child that dies sooner than this after its start is not started again at once.
MIN_LIFE_S: Final = 1.0

_libc = ctypes.CDLL(None, use_errno=True)


def _die_with(parent: int) -> Callable[[], None]:
    def ask_kernel() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask_kernel


def start(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    log: Path | None = None,
    keep: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """`python ARGUMENTS` as a child; its output is appended to `log`, `keep` are file descriptors it inherits."""
    with log.open("ab") if log else nullcontext() as output:
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=tuple(keep),
            preexec_fn=_die_with(os.getpid()),
            start_new_session=True,  # Ctrl-C is for the parent, which ends its children in order
        )


def end(child: "subprocess.Popen[bytes]") -> None:
    """Ask it to end, then insist."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@dataclass(slots=True)
class Kept:
    """A child that is started again when it dies."""

    name: str
    begin: Callable[[], "subprocess.Popen[bytes]"]
    child: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Starts children, watches them, ends them in reverse order."""

    kept: list[Kept] = field(default_factory=list)

    def keep(self, name: str, begin: Callable[[], "subprocess.Popen[bytes]"]) -> None:
        """Start a child now, and again whenever it dies."""
        one = Kept(name, begin)
        self._start(one)
        self.kept.append(one)

    def watch(self) -> list[str]:
        """Start what has died anew; the names of what it was."""
        died = [
            one
            for one in self.kept
            if one.child is not None
            and one.child.poll() is not None
            and time.monotonic() - one.started_at > MIN_LIFE_S
        ]
        for one in died:
            self._start(one)
        return [one.name for one in died]

    def end(self) -> None:
        for one in reversed(self.kept):
            if one.child is not None:
                one.child.terminate()
        for one in reversed(self.kept):
            if one.child is not None:
                end(one.child)
        self.kept.clear()

    def _start(self, one: Kept) -> None:
        one.child, one.started_at = one.begin(), time.monotonic()
