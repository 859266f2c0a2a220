"""Child processes that never outlive their parent and are restarted when they end.

A child asks the kernel for a signal at its parent's death, so a killed demo leaves no process behind. For the kernel
the parent is a thread: start children from the main thread.
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
#: A child that ends within this time of its start is not restarted before it has passed.
MIN_LIFE_S: Final = 1.0

_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int) -> Callable[[], None]:
    def ask_kernel() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the prctl call
            os._exit(1)

    return ask_kernel


def start(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    log: Path | None = None,
    keep: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """`python ARGUMENTS` as a child. Its output is appended to `log`; it inherits the file descriptors `keep`."""
    with log.open("ab") if log else nullcontext() as output:
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=tuple(keep),
            preexec_fn=die_with(os.getpid()),
            start_new_session=True,  # Ctrl-C goes to the parent, which ends its children in order
        )


def end(child: "subprocess.Popen[bytes]") -> None:
    """Terminate the child, and kill it after `END_LIMIT_S`."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@dataclass(slots=True)
class Kept:
    """A supervised child. `begin` starts it."""

    name: str
    begin: Callable[[], "subprocess.Popen[bytes]"]
    child: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Starts children, restarts them when they end, and stops them in reverse order."""

    kept: list[Kept] = field(default_factory=list)

    def keep(self, name: str, begin: Callable[[], "subprocess.Popen[bytes]"]) -> None:
        """Start a child now, and restart it in `watch` whenever it ends."""
        kept = Kept(name, begin)
        self._start(kept)
        self.kept.append(kept)

    def watch(self) -> list[str]:
        """Restart the children that ended; returns their names."""
        ended = [
            kept
            for kept in self.kept
            if kept.child is not None
            and kept.child.poll() is not None
            and time.monotonic() - kept.started_at > MIN_LIFE_S
        ]
        for kept in ended:
            self._start(kept)
        return [kept.name for kept in ended]

    def end(self) -> None:
        for kept in reversed(self.kept):
            if kept.child is not None:
                kept.child.terminate()
        for kept in reversed(self.kept):
            if kept.child is not None:
                end(kept.child)
        self.kept.clear()

    def _start(self, kept: Kept) -> None:
        kept.child, kept.started_at = kept.begin(), time.monotonic()
