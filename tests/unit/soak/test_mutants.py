"""The mutants of `make soak-planted` still apply: the text that each removes is still in the code."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.mutants import BUGS

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 60


@pytest.mark.parametrize("bug", BUGS)
def test_a_mutant_applies(bug: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"from tests.soak.mutants import BUGS; BUGS[{bug!r}]()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr
