"""The installed package: one dependency, typed, and without either server."""

import subprocess
import sys
from importlib.metadata import metadata, requires
from importlib.resources import files


def test_the_package_needs_httpx_alone_and_a_python_of_3_11() -> None:
    assert requires("tael-client") == ["httpx<1,>=0.27"]
    assert metadata("tael-client")["Requires-Python"] == ">=3.11"
    assert metadata("tael-client")["License-Expression"] == "Apache-2.0"


def test_the_package_is_marked_as_typed() -> None:
    assert (files("tael_client") / "py.typed").is_file()


def test_importing_the_client_brings_in_neither_server() -> None:
    program = "import sys, tael_client; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "tael_client" in modules
    assert not modules & {"tael", "tael_sandbox", "starlette", "structlog", "asyncpg"}
