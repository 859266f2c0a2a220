"""Sandboxes that are forked from one process which has imported everything: the import is most of a sandbox's start.

The child runs `tael_sandbox.main.serve`, as `python -m tael_sandbox` does. Lines of JSON go both ways: arguments
with the place of the output are answered with a pid, and a pid with its exit status once it has ended.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, Final

ROOT: Final = Path(__file__).parents[2]


class ForkingServer:
    """The process that is forked from; its children end with it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.sandbox.forked"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, arguments: list[str], output: int) -> int:
        """The pid of a sandbox whose standard output is this process's descriptor `output`."""
        return self._ask([arguments, f"/proc/{os.getpid()}/fd/{output}"])

    def wait(self, pid: int) -> int:
        """The exit status, as `Popen` gives it, of a sandbox that was told to end."""
        return self._ask(pid)

    def end(self) -> None:
        self._process.communicate()

    def _ask(self, what: object) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(what), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


def _answer(lines: IO[str]) -> None:
    import tael_sandbox.main  # noqa: F401 - the costly part, once

    parent = os.getpid()
    while line := lines.readline():
        asked = json.loads(line)
        if isinstance(asked, int):
            print(os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1]), flush=True)
            continue
        arguments, place = asked
        output = os.open(place, os.O_WRONLY)  # before the answer, after which its owner closes it
        pid = os.fork()
        if pid == 0:
            _become_sandbox(parent, arguments, output)
        os.close(output)
        print(pid, flush=True)


def _become_sandbox(parent: int, arguments: list[str], output: int) -> None:
    """Never returns."""
    from tael.cli.processes import _die_with

    code: Any = 1
    try:
        _die_with(parent)()
        for number, opened in ((0, os.open(os.devnull, os.O_RDONLY)), (1, output)):
            os.dup2(opened, number)
            os.close(opened)
        signal.signal(signal.SIGINT, signal.default_int_handler)

        import uvloop

        from tael_sandbox.main import parse_arguments, serve

        uvloop.run(serve(parse_arguments(arguments)))
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
    _answer(sys.stdin)
