"""Lines that libraries log are JSON like our own, in the gateway's processes and in the sandbox's."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, logging, warnings
from {module} import configure_logs

configure_logs()
logging.getLogger("uvicorn.error").setLevel("INFO")
logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
warnings.warn("old")


async def fail():
    raise ValueError("two\\nlines")


async def main():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    asyncio.create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)


asyncio.run(main())
raise RuntimeError("the end")
"""


@pytest.mark.parametrize("module", ["tael.main", "tael_sandbox.logs"])
def test_every_line_is_an_object(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", PROGRAM.format(module=module)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("uvicorn.error", "info"),
        ("py.warnings", "warning"),
        ("asyncio", "error"),
        ("asyncio", "error"),
        (module.partition(".")[0], "critical"),
    ]
    assert lines[0]["event"] == "Started server process [7]"
    assert "ZeroDivisionError" in lines[2]["exception"]
    assert "two\nlines" in lines[3]["exception"]
    assert "RuntimeError: the end" in lines[4]["exception"]
    assert all({"event", "level", "logger", "timestamp"} <= line.keys() for line in lines)
