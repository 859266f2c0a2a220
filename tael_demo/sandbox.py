"""`tael sandbox`: replaces this process with the simulated wallets, which are a program of their own."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer


def sandbox_command(
    port: Annotated[
        int,
        typer.Option(help="Port of both wallets without TLS, of the payer's phone and of the control API."),
    ] = 8001,
    tls_port: Annotated[int, typer.Option(help="Port of both wallets with TLS.")] = 8003,
    data: Annotated[Path, typer.Option(help="Folder for the wallets' data.")] = Path(".tael/sandbox"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete all orders first. Keys are kept.")] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Host name accepted for the control API and the phone, besides loopback. Repeatable.",
        ),
    ] = None,
) -> None:
    """Run both simulated wallets."""
    data.mkdir(parents=True, exist_ok=True)
    arguments = ["--port", str(port), "--tls-port", str(tls_port), "--data", str(data)]
    arguments += ["--fresh"] if fresh else []
    arguments += [f"--allowed-host={name}" for name in allowed_host or []]
    os.execv(sys.executable, [sys.executable, "-m", "tael_sandbox", *arguments])  # noqa: S606
