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


@pytest.mark.parametrize("module", ["tael.base.logs", "tael_sandbox.logs"])
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


REQUESTS = """
import asyncio, logging
import structlog
from tael.base.log_context import Serving
from tael.base.logs import configure_logs

configure_logs()
log = structlog.get_logger()


async def serve(call):
    with Serving(call):
        log.info("first")
        await asyncio.create_task(later())


async def later():
    await asyncio.sleep(0)
    logging.getLogger("library").warning("second")


async def main():
    await asyncio.gather(serve("payment"), serve("refund"))
    log.info("outside", amount_minor=1, name="é", at=object)


asyncio.run(main())
"""


def test_lines_of_a_request_have_its_call_and_an_id_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", REQUESTS], capture_output=True, text=True, timeout=60, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    served = [line for line in lines if "call" in line]
    ids = {line["call"]: line["request_id"] for line in served if line["event"] == "first"}

    assert [line["event"] for line in lines] == ["first", "first", "second", "second", "outside"]
    assert ids.keys() == {"payment", "refund"}
    assert len(set(ids.values())) == 2
    assert [line["request_id"] for line in served] == [ids[line["call"]] for line in served]
    assert (lines[-1]["amount_minor"], lines[-1]["name"]) == (1, "é")
    assert "object" in lines[-1]["at"]  # what JSON has no form for is logged as Python shows it
    assert "request_id" not in lines[-1]
