"""Runs the jobs in this process, without loading the API."""

import asyncio
import signal

import uvloop

from tael.cli.garbage import collect_rarely
from tael.config import Settings
from tael.main import configure_logs, open_services, work_until


def work(settings: Settings) -> None:
    """Run the jobs in this process until SIGTERM or SIGINT."""
    configure_logs()
    uvloop.run(_work(settings))


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_services(settings) as services:
        collect_rarely()
        await work_until(stop, services)
