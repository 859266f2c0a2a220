"""Programs of tests that are forked from a process which has imported them: for most, the import is most of the work.

The process runs `python -m tests.support.forks MODULE`. `MODULE.preload()` imports, and `MODULE.main(arguments)` is the
program, in a child with its own environment and output. Lines of JSON go both ways. Children end with the process, and
that with the tests.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
END_LIMIT_S: Final = 60


class ForkServer:
    """The process that is forked."""

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forks", module],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: int, errors: int
    ) -> "Forked":
        """A child whose standard output and error are these descriptors of our process."""
        places = [f"/proc/{os.getpid()}/fd/{descriptor}" for descriptor in (output, errors)]
        return Forked(self, self._ask({"run": [[*arguments], dict(environment), *places]}))

    def wait(self, pid: int) -> int:
        """The exit status of a child, as `Popen.returncode`. Other children have to wait meanwhile."""
        return self._ask({"wait": pid})

    def end(self) -> None:
        self._process.communicate(timeout=END_LIMIT_S)

    def _ask(self, what: Mapping[str, object]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            print(json.dumps(what), file=self._process.stdin, flush=True)
            return int(self._process.stdout.readline())


class Forked:
    """A child, as far as tests use `subprocess.Popen`."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = self._server.wait(self.pid)
        return self.returncode


def ended(process: Forked | subprocess.Popen[Any], limit_s: float) -> int:
    """The exit status. The process is killed after `limit_s`."""
    too_late = threading.Timer(limit_s, process.send_signal, [signal.SIGKILL])
    too_late.start()
    try:
        return process.wait()
    finally:
        too_late.cancel()


def serve(module: str) -> None:
    program = importlib.import_module(module)
    program.preload()
    parent = os.getpid()
    while line := sys.stdin.readline():
        match json.loads(line):
            case {"wait": pid}:
                print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
            case {"run": [arguments, environment, *places]}:
                # Opened before the response, after which their owner may close them.
                opened = [
                    os.open(os.devnull, os.O_RDONLY),
                    *(os.open(place, os.O_WRONLY | os.O_APPEND) for place in places),
                ]
                pid = os.fork()
                if pid == 0:
                    _become(program.main, parent, arguments, environment, opened)
                for descriptor in opened:
                    os.close(descriptor)
                print(pid, flush=True)


def _become(
    main: Any, parent: int, arguments: list[str], environment: dict[str, str], opened: list[int]
) -> None:
    """Never returns."""
    from tael.cli.processes import die_with

    code: Any = 1
    try:
        die_with(parent)()
        for number, descriptor in enumerate(opened):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(environment)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        main(arguments)
        code = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    serve(sys.argv[1])
