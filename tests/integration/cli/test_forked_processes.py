"""Children in a copy of this process: their descriptors, environment, output, end, and what they do not inherit."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Final

import pytest

from tests.end_to_end.rig import ROOT, eventually, is_alive

LIMIT_S: Final = 20
#: The parent, which a test's own process must not be: it may have threads.
PARENT: Final = """
import json, os, signal, socket, sys, time
from pathlib import Path
from tael.cli.processes import Supervisor, end, fork, preload
folder = Path(sys.argv[1])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a module that reports what it is."""
    (tmp_path / "reported.py").write_text(
        textwrap.dedent("""
        import json, os, signal, sys, time
        import preloaded
        reported = {
            "arguments": sys.argv[1:],
            "environment": dict(os.environ),
            "descriptors": sorted(os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                                  if n not in ("0", "1", "2") and os.path.exists(f"/proc/self/fd/{n}")),
            "stdin": os.readlink("/proc/self/fd/0"),
            "name": open("/proc/self/comm").read().strip(),
            "session": os.getsid(0) == os.getpid(),
            "handlers": [signal.getsignal(n) == d for n, d in ((signal.SIGTERM, signal.SIG_DFL),
                         (signal.SIGINT, signal.default_int_handler))],
            "imported_in": preloaded.PID,
            "main": __name__,
        }
        print(json.dumps(reported), flush=True)
        if "sleep" in sys.argv:
            time.sleep(60)
        sys.exit(int(sys.argv[1]))
        """)
    )
    (tmp_path / "preloaded.py").write_text("import os\nPID = os.getpid()\n")
    return tmp_path


def parent_of(folder: Path, text: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Runs a program that forks."""
    return subprocess.run(
        [sys.executable, "-c", PARENT + textwrap.dedent(text), str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", **settings},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def reported(folder: Path, name: str = "log") -> dict[str, Any]:
    said: dict[str, Any] = json.loads((folder / name).read_text().splitlines()[0])
    return said


def test_a_child_has_what_it_is_given_and_nothing_else(folder: Path) -> None:
    done = parent_of(
        folder,
        """
        signal.signal(signal.SIGTERM, lambda *_: None)
        preload("preloaded")
        kept, other = socket.socket(), open(folder / "secret", "w")
        print("not flushed yet", end="")
        child = fork("tael-child", "reported", ["3", "x"], {"ONLY": "this"}, log=folder / "log", keep=[kept.fileno()])
        code = child.wait(10)
        print("", code, child.poll(), os.getpid())
        """,
        QFPAY_KEY="secret",
    )
    assert done.stderr == ""
    said = reported(folder)
    text, code, polled, pid = done.stdout.rsplit(maxsplit=3)
    assert (text, code, polled) == ("not flushed yet", "3", "3")
    assert said["arguments"] == ["3", "x"]
    assert said["environment"] == {"ONLY": "this"}
    assert [kind.partition(":")[0] for kind in said["descriptors"]] == ["socket"]
    assert (said["stdin"], said["name"], said["main"]) == ("/dev/null", "tael-child", "__main__")
    assert (said["session"], said["handlers"]) == (True, [True, True])
    assert said["imported_in"] == int(pid)


def test_a_child_gets_the_parents_own_environment_if_that_is_given(folder: Path) -> None:
    parent_of(folder, 'fork("c", "reported", ["0"], os.environ, log=folder / "log").wait(10)', MINE="1")
    assert reported(folder)["environment"]["MINE"] == "1"


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("raise RuntimeError('no')", 1, "RuntimeError: no"),
        ("raise SystemExit('a sentence')", 1, ""),
        ("raise SystemExit", 0, ""),
        ("pass", 0, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
    ],
)
def test_the_exit_code_is_that_of_a_program(folder: Path, body: str, code: int, text: str) -> None:
    (folder / "ends.py").write_text(body)
    done = parent_of(
        folder, 'print(fork("c", "ends", [], os.environ, log=folder / "log").wait(10), flush=True)'
    )
    assert done.stdout == f"{code}\n"
    assert text in (folder / "log").read_text()


def test_a_wait_has_a_limit_and_an_end_kills(folder: Path) -> None:
    done = parent_of(
        folder,
        """
        import subprocess
        child = fork("c", "reported", ["0", "sleep"], os.environ, log=folder / "log")
        while not (folder / "log").read_text():
            time.sleep(0.01)
        try:
            child.wait(0.01)
        except subprocess.TimeoutExpired:
            print("late", child.poll())
        end(child)
        child.terminate()
        print(child.poll())
        """,
    )
    assert (done.stdout, done.stderr) == ("late None\n-15\n", "")


def test_a_child_that_ends_is_forked_again(folder: Path) -> None:
    done = parent_of(
        folder,
        """
        supervisor = Supervisor()
        supervisor.keep("it", lambda: fork("c", "reported", ["0", "sleep"], os.environ, log=folder / "log"))
        first = supervisor.kept[0].child
        first.kill()
        first.wait()
        while not supervisor.watch():
            time.sleep(0.05)
        print(supervisor.kept[0].child.pid != first.pid, supervisor.kept[0].child.poll())
        supervisor.end()
        """,
    )
    assert (done.stdout, done.stderr) == ("True None\n", "")


def test_a_child_does_not_outlive_a_killed_parent(folder: Path) -> None:
    program = (
        PARENT
        + 'print(fork("c", "reported", ["0", "sleep"], os.environ, log=folder / "log").pid, flush=True)\n'
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program + "time.sleep(60)", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert eventually(lambda: is_alive(pid), lambda alive: not alive) is False
