"""A soak that finds nothing proves nothing: each bug that is planted on purpose must be found."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.planted import BUGS

ROOT = Path(__file__).resolve().parents[2]
MINUTES = 2
LIMIT_S = 400


@pytest.mark.parametrize("bug", BUGS)
def test_a_soak_finds_a_bug_that_was_planted(bug: str) -> None:
    """The soak ends at the first mismatch that it sees on the way; its length is only the limit."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--planted", bug, "--seed", "1", "--minutes", str(MINUTES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["mismatches"] > 0, done.stdout + done.stderr
    assert done.returncode == 0
