"""The socket shared by API processes, and starting one of them. Imports nothing of the API itself."""

import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tael.cli.processes import start

BACKLOG: Final = 2048


def listen(host: str, port: int) -> socket.socket:
    """A bound socket for API processes to share. Raises OSError if the port is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    return listener


def start_api(
    listener: socket.socket, environment: Mapping[str, str], is_demo: bool, log: Path | None = None
) -> "subprocess.Popen[bytes]":
    """Start a process that serves on `listener`."""
    demo = ["--demo"] if is_demo else []
    arguments = ["-m", "tael.cli.child", "serve", str(listener.fileno()), *demo]
    return start(arguments, environment, log=log, keep=[listener.fileno()])
