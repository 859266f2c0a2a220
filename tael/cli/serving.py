"""Running the parts: API processes behind one socket, and workers."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import uvicorn
import uvloop

from tael.cli.http1 import Http1Protocol
from tael.cli.processes import Supervisor, start
from tael.config import Settings
from tael.main import application, configure_logs, open_gateway, work_until

BACKLOG: Final = 2048
WATCH_S: Final = 0.2
#: How long requests that have begun may take once the process is told to end.
GRACE_S: Final = 30


def listen(host: str, port: int) -> socket.socket:
    """A bound socket that API processes share. Raises OSError where the port is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    return listener


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve the API in this process until it is told to end."""
    configure_logs()
    uvloop.run(_serve(settings, listener))


async def _serve(settings: Settings, listener: socket.socket) -> None:
    async with open_gateway(settings) as gateway:
        config = uvicorn.Config(
            application(gateway),
            http=Http1Protocol,
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=GRACE_S,
        )
        await uvicorn.Server(config).serve(sockets=[listener])


def serve_by_several(listener: socket.socket, workers: int, is_demo: bool) -> None:
    """Keep `workers` processes serving on `listener` until this one is told to end."""
    supervisor = Supervisor()
    ending = False

    def stop(*_: object) -> None:
        nonlocal ending
        ending = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        for index in range(workers):
            supervisor.keep(f"api-{index}", lambda: start_api(listener, os.environ, is_demo))
        while not ending:
            supervisor.watch()
            time.sleep(WATCH_S)
    finally:
        supervisor.end()


def start_api(
    listener: socket.socket, environment: Mapping[str, str], is_demo: bool, log: Path | None = None
) -> "subprocess.Popen[bytes]":
    """One more process that serves on `listener`."""
    arguments = ["-m", "tael.cli", "serve", "--fd", str(listener.fileno()), *(["--demo"] if is_demo else [])]
    return start(arguments, environment, log=log, keep=[listener.fileno()])


def work(settings: Settings) -> None:
    """Run the jobs in this process until it is told to end."""
    configure_logs()
    uvloop.run(_work(settings))


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_gateway(settings) as gateway:
        await work_until(stop, gateway)
