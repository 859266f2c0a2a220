"""Runs the jobs in this process, without loading the API."""

import asyncio
import signal
import socket
from contextlib import AsyncExitStack

import uvloop

from tael.base.logs import configure_logs
from tael.cli.memory import collect_rarely
from tael.config import Settings
from tael.main import work_until
from tael.services import open_services


def work(settings: Settings, ops: socket.socket | None = None) -> None:
    """Run the jobs in this process until SIGTERM or SIGINT; serve health and metrics on `ops` if it is given."""
    configure_logs()
    uvloop.run(_work(settings, ops))


async def _work(settings: Settings, ops: socket.socket | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_services(settings) as services, AsyncExitStack() as exits:
        if ops is not None:
            from tael.cli.ops_port import serving_ops  # loads an HTTP server

            await exits.enter_async_context(serving_ops(ops, services, settings.http, stop.is_set))
        collect_rarely()
        await work_until(stop, services, settings.cells)
