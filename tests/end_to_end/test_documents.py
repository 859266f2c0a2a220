"""The first calls of the README and of the merchant manual, run as a reader runs them: pasted, against a demo."""

import json
import os
import re
import shutil
import subprocess
import sys
from typing import Final

import pytest

from tests.end_to_end.merchant import new_reference
from tests.end_to_end.rig import ROOT, Demo

RUN_LIMIT_S: Final = 60


def block(page: str, heading: str, language: str) -> str:
    """The only code in `language` below the first heading that begins with `heading`."""
    text = (ROOT / page).read_text("utf-8")
    (section,) = re.findall(rf"^##+ {heading}\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL)
    code: str
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return code


def run(demo: Demo, command: list[str], source: str) -> list[str]:
    for address, ours in (("http://127.0.0.1:8000", demo.gateway), ("http://127.0.0.1:8001", demo.sandbox)):
        source = source.replace(address, ours)
    done = subprocess.run(
        command,
        input=source,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        encoding="utf-8",
        timeout=RUN_LIMIT_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_readme_takes_a_payment_in_six_lines(demo: Demo) -> None:
    source = block("README.md", "Quick start", "python")
    assert len([line for line in source.splitlines() if line]) == 6

    (line,) = run(demo, [sys.executable, "-"], source.replace('"tea-1"', f'"{new_reference()}"'))

    paid, syssn = line.rsplit(maxsplit=1)
    assert paid == "paid"
    assert demo.held(syssn) == 1000


def test_the_manual_signs_by_hand_in_python(demo: Demo) -> None:
    source = block("docs/merchant-manual.md", "First calls without a library", "python")

    payment, refund, *rows = run(demo, [sys.executable, "-"], source)

    assert payment.startswith("payment 0000 ")
    assert refund == "refund 2999"
    assert sorted(row.split()[0] for row in rows) == ["payment", "refund"]
    assert demo.held(payment.split()[-1]) == 700


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_manual_signs_by_hand_in_bash(demo: Demo) -> None:
    source = block("docs/merchant-manual.md", "First calls without a library", "bash")

    paid, refund, order, confirmed, query = map(json.loads, run(demo, ["bash", "-e"], source))

    assert [answer["respcd"] for answer in (paid, refund, order)] == ["0000", "2999", "0000"]
    assert confirmed["state"] == "SUCCESS"
    assert {row["syssn"] for row in query["data"]} == {answer["syssn"] for answer in (paid, refund, order)}
    assert demo.held(paid["syssn"]) == 700
