"""Child processes that never outlive their parent and are restarted when they end.

A child asks the kernel for a signal at its parent's death, so a killed demo leaves no process behind. For the kernel
the parent is a thread: start children from the main thread.

`start` begins a new program. `fork` runs a module in a copy of this process, which shares its modules and their memory:
for a process of ours, importing them is most of the work of its start. A process with other threads, or with
replaced standard streams, such as pytest's, cannot be copied safely and starts a new program instead.
"""

import ctypes
import gc
import importlib
import os
import runpy
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Never, Protocol

PR_SET_PDEATHSIG: Final = 1
PR_SET_NAME: Final = 15
END_LIMIT_S: Final = 10.0
#: A child that ends within this time of its start is not restarted before it has passed.
MIN_LIFE_S: Final = 1.0

_libc = ctypes.CDLL(None, use_errno=True)


class Child(Protocol):
    """A child process, as far as a parent uses `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, number: signal.Signals) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


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


def preload(*modules: str) -> None:
    """Import what children will use. The garbage collector then leaves it alone, so that its memory stays shared."""
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()


def fork(
    name: str,
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    log: Path | None = None,
    keep: Sequence[int] = (),
) -> Child:
    """`python -m MODULE ARGUMENTS` in a copy of this process; `name` is the kernel's for it, up to 15 characters."""
    if not _may_be_copied():
        return start(["-m", module, *arguments], environment, log=log, keep=keep)
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666) if log else None
    try:
        pid = os.fork()
        if pid == 0:
            _become(name, module, arguments, environment, parent, output, keep)
    finally:
        if output is not None:
            os.close(output)
    return Forked(pid)


def _may_be_copied() -> bool:
    """Whether this is its only thread, counted by the kernel: not every thread is one of `threading`."""
    is_alone = len(os.listdir("/proc/self/task")) == 1
    return is_alone and sys.stdout is sys.__stdout__ and sys.stderr is sys.__stderr__


def _become(
    name: str,
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    parent: int,
    output: int | None,
    keep: Sequence[int],
) -> Never:
    """What the parent's frames hold is never released here: that would close descriptors with reused numbers."""
    code: object = 1
    try:
        die_with(parent)()
        os.setsid()  # Ctrl-C goes to the parent, which ends its children in order
        _libc.prctl(PR_SET_NAME, name.encode())
        _take_descriptors(output, keep)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        new = dict(environment)  # it may be os.environ
        os.environ.clear()
        os.environ.update(new)
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = None
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def _take_descriptors(output: int | None, keep: Sequence[int]) -> None:
    """Standard input from nowhere, output to `output`, and no other descriptor but those of `keep`."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if output is not None:
        os.dup2(output, 1)
        os.dup2(output, 2)
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor not in keep:
            with suppress(OSError):  # the one that listed them is closed
                os.close(descriptor)


class Forked:
    """A child made by `fork`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._descriptor = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """The exit code as `Popen.returncode`, or None while it runs."""
        return self._reaped() if self.returncode is None and self._has_ended(0) else self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not self._has_ended(timeout):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            return self._reaped()
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)  # not reaped, so the number is still its own

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _has_ended(self, timeout: float | None) -> bool:
        return bool(select.select([self._descriptor], [], [], timeout)[0])

    def _reaped(self) -> int:
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._descriptor)
        return self.returncode


def end(child: Child, limit_s: float = END_LIMIT_S) -> None:
    """Terminate the child, and kill it after `limit_s`."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(limit_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@dataclass(slots=True)
class Kept:
    """A supervised child. `begin` starts it."""

    name: str
    begin: Callable[[], Child]
    child: Child | None = None
    started_at: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Starts children, restarts them when they end, and stops them in reverse order."""

    end_limit_s: float = END_LIMIT_S  #: for a child to end; then it is killed
    kept: list[Kept] = field(default_factory=list)

    def keep(self, name: str, begin: Callable[[], Child]) -> None:
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
                end(kept.child, self.end_limit_s)
        self.kept.clear()

    def _start(self, kept: Kept) -> None:
        kept.child, kept.started_at = kept.begin(), time.monotonic()
