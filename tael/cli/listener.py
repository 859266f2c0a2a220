"""The socket shared by API processes, and starting one of them. Imports nothing of the API itself."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tael.cli.processes import Child, fork

BACKLOG: Final = 2048
#: The module of a deployment's processes.
CHILD: Final = "tael.cli.child"


def listen(host: str, port: int) -> socket.socket:
    """A bound socket for API processes to share. Raises OSError if the port is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    return listener


def start_api(
    listener: socket.socket,
    environment: Mapping[str, str],
    is_demo: bool,
    log: Path | None = None,
    ops: socket.socket | None = None,
) -> Child:
    """Fork a process that serves on `listener`, and health and metrics on `ops` if it is given."""
    descriptors = [each.fileno() for each in (listener, ops) if each is not None]
    arguments = ["serve", *map(str, descriptors), *(["--demo"] if is_demo else [])]
    return fork("tael-api", CHILD, arguments, environment, log=log, keep=descriptors)
