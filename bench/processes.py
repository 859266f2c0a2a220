"""Processes of a measurement, and what the kernel knows of their CPU time and memory."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tael.cli.listener import listen
from tael.cli.processes import die_with
from tael_demo.stack import answers

HOST: Final = "127.0.0.1"
TICKS: Final = os.sysconf("SC_CLK_TCK")
START_S: Final = 30.0
END_S: Final = 10.0
ROOT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Api:
    """API processes that share a port."""

    port: int
    pids: tuple[int, ...]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


def python_of(checkout: Path) -> str:
    """The interpreter of a checkout: this one's, or the one that another's `make install` has made."""
    return sys.executable if checkout == ROOT else str(checkout / ".venv" / "bin" / "python")


@contextmanager
def started(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    keep: Sequence[int] = (),
    checkout: Path = ROOT,
) -> Iterator[int]:
    """`python ARGUMENTS` in a checkout, ended with the block; its process id."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            [python_of(checkout), *arguments],
            cwd=checkout,
            env=os.environ | dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=tuple(keep),
            preexec_fn=die_with(os.getpid()),
        )
    try:
        yield child.pid
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def api(
    processes: int,
    environment: Mapping[str, str],
    log: Path,
    stub_delay_ms: int | None = None,
    checkout: Path = ROOT,
) -> Iterator[Api]:
    """API processes on a free port. With `stub_delay_ms` the wallet is answered at the transport port."""
    stub = [] if stub_delay_ms is None else [str(stub_delay_ms)]
    with ExitStack() as exits:
        listener = exits.enter_context(listen(HOST, 0))
        command = ["-m", "bench.gateway", str(listener.fileno()), *stub]
        pids = [
            exits.enter_context(started(command, environment, log, [listener.fileno()], checkout))
            for _ in range(processes)
        ]
        found = Api(listener.getsockname()[1], tuple(pids))
        wait_until_ready(f"{found.url}/readyz", log)
        yield found


@contextmanager
def wallet(log: Path) -> Iterator[str]:
    """The stub wallet as a process; its URL."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    with started(["-m", "bench.wallet", str(port)], {}, log):
        until = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection((HOST, port), 1).close()
                break
            except OSError:
                _check_time(until, log)
        yield f"http://{HOST}:{port}"


def wait_until_ready(url: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while not answers(url):
        _check_time(until, log)


def _check_time(until: float, log: Path) -> None:
    if time.monotonic() > until:
        sys.exit(f"a process did not start; see {log}")
    time.sleep(0.05)


# ---- what the kernel knows --------------------------------------------------------------------------------------


def cpu_s(*pids: int) -> float:
    """CPU seconds of these processes."""
    return sum(_ticks(pid)[1] for pid in pids) / TICKS


def cpu_s_below(parent: int) -> float:
    """CPU seconds of a process, of its children that are alive, and of those that it has waited for."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        pid = int(stat.parent.name)
        try:
            of, used = _ticks(pid)
            if pid == parent:
                used += _waited_ticks(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent in (pid, of):
            total += used
    return total / TICKS


def uss_mb(pid: int) -> float:
    """Memory that would be free if the process ended, in MB."""
    kib = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Clean:", "Private_Dirty:")):
            kib += int(line.split()[1])
    return kib * 1024 / 1e6


def _ticks(pid: int) -> tuple[int, int]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), int(fields[11]) + int(fields[12])


def _waited_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[13]) + int(fields[14])
