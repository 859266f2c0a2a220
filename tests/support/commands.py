"""Runs `tael` commands, each in a process forked from one that has already imported them.

Starting Python and importing the gateway costs more than most commands. `run_tael` returns what `subprocess.run` would.
"""

import atexit
import contextlib
import io
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any, Final

ROOT: Final = Path(__file__).parents[2]
COMMAND_LIMIT_S: Final = 60
#: Instead of the system's CA certificates, which HTTP clients read in every process or even for every client, in 40 ms:
#: tests call this machine only. It is a certificate whose key was thrown away, since some clients refuse an empty file.
NO_AUTHORITY: Final = {
    "SSL_CERT_FILE": str(Path(__file__).with_name("no_authority.pem")),
    "SSL_CERT_DIR": os.devnull,
}


def clean_environment() -> dict[str, str]:
    """Our environment without tael's settings, which would redirect a demo."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TAEL_")}
    return ours | NO_AUTHORITY


def trusting_environment() -> dict[str, str]:
    """Our environment for a program that calls other machines."""
    return {name: value for name, value in os.environ.items() if NO_AUTHORITY.get(name) != value}


class _Server:
    """The process that is forked. Its commands run one after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.commands"],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._end)

    def run(self, arguments: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
        with self._lock, tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            code = self._ask([*arguments], output, errors)
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(["tael", *arguments], code, output.read(), errors.read())

    def _ask(self, arguments: list[str], output: IO[str], errors: IO[str]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        places = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (output, errors)]
        print(json.dumps([arguments, clean_environment(), *places]), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        if code == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(arguments, COMMAND_LIMIT_S)
        return code

    def _end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(COMMAND_LIMIT_S)
        self._process.stdout.close()


_servers: list[_Server] = []


def run_tael(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run one `tael` command to its end."""
    if not _servers:
        _servers.append(_Server())
    return _servers[0].run(arguments)


def _serve() -> None:
    """Fork for every line of standard input; answer the exit code, or the negative number of a signal."""
    from tael.cli.app import Commands

    list(Commands().values())  # the costly part, once: commands are imported when they are asked for
    _warm_up()

    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            os._exit(_run(*json.loads(line)))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _warm_up() -> None:
    """Have Typer read a command's options once, for which it imports Pydantic."""
    from tael.cli.app import app

    with contextlib.redirect_stdout(io.StringIO()):
        app(["trigger", "--list", "--json"], standalone_mode=False)


def _run(arguments: list[str], environment: dict[str, str], output: str, errors: str) -> int:
    """In the child: the command, as `python -m tael.cli` would run it."""
    for number, place, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, output, os.O_WRONLY),
        (2, errors, os.O_WRONLY),
    ):
        opened = os.open(place, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    signal.alarm(COMMAND_LIMIT_S)
    sys.argv = ["tael", *arguments]
    code: Any = 0
    try:
        runpy.run_module("tael.cli", run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    _serve()
