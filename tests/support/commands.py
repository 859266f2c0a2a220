"""Runs `tael` commands as programs that are forked: see `tests.support.forks`. `run_tael` is like `subprocess.run`."""

import atexit
import contextlib
import io
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.support.forks import ForkServer, ended

COMMAND_LIMIT_S: Final = 60
#: Instead of the system's CA certificates, which HTTP clients read in every process or even for every client, in 40 ms:
#: tests call this machine only. It is a certificate whose key was thrown away, since some clients refuse an empty file.
NO_AUTHORITY: Final = {
    "SSL_CERT_FILE": str(Path(__file__).with_name("no_authority.pem")),
    "SSL_CERT_DIR": os.devnull,
}


def clean_environment() -> dict[str, str]:
    """Our environment without tael's settings, which would redirect a demo."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TAEL_")}
    return ours | NO_AUTHORITY


def trusting_environment() -> dict[str, str]:
    """Our environment for a program that calls other machines."""
    return {name: value for name, value in os.environ.items() if NO_AUTHORITY.get(name) != value}


_servers: list[ForkServer] = []


def command_server() -> ForkServer:
    """The process from which commands are forked, started when it is first needed."""
    if not _servers:
        _servers.append(ForkServer("tests.support.commands", clean_environment()))
        atexit.register(_servers[0].end)
    return _servers[0]


def run_tael(
    *arguments: str, settings: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run one `tael` command to its end, with `settings` in its environment."""
    environment = clean_environment() | dict(settings or {})
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = command_server().start(arguments, environment, output.fileno(), errors.fileno())
        code = ended(process, COMMAND_LIMIT_S)
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(["tael", *arguments], code, output.read(), errors.read())


def preload() -> None:
    """Import every command, and the processes of a demo. Typer imports more when it first reads a command's options."""
    from tael.cli import processes
    from tael.cli.app import Commands, app

    list(Commands().values())
    with contextlib.redirect_stdout(io.StringIO()):
        app(["trigger", "--list", "--json"], standalone_mode=False)
    processes.preload("tael.cli.serving", "tael.cli.working", "tael_sandbox.main", "tael_sandbox.shop.main")


def main(arguments: list[str]) -> None:
    """As `python -m tael.cli`."""
    sys.argv = ["tael", *arguments]
    runpy.run_module("tael.cli", run_name="__main__")
