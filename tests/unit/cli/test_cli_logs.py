"""Log lines of a command go to standard error: its standard output may be read as JSON by another program."""

import subprocess
import sys

PROGRAM = """
import structlog
from tael.cli.app import COMMANDS, Entry, main
from tael.cli import parts

def logs() -> None:
    structlog.get_logger().warning("something.noticed")
    print("[]")

parts.logs = logs
COMMANDS["logs"] = Entry("parts", "logs", "Log.")
main()
"""


def test_only_results_are_on_standard_output() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, "logs"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert "something.noticed" in done.stderr
