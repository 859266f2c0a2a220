"""The gateway of a private instance: API and jobs in one event loop, and the commands of the test session.

Its imports are expensive, so `running.py` imports it last.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tael.base.egress import EgressPolicy
from tael.base.key_file import read_key_file
from tael.base.logs import configure_logs
from tael.base.secret import Secret
from tael.cli.demo_folder import CLOCK, DOCUMENTS, ENCRYPTION_KEY
from tael.cli.http_server import SecondaryServer
from tael.cli.serving import listener_config
from tael.config import Settings
from tael.main import work_until
from tael.merchants.apps import change_app
from tael.merchants.domain.changes import AppChanges
from tael.merchants.domain.merchant import Style
from tael.services import Services, open_services
from tael_demo.seed import origin_of_demo
from tael_demo.testing.template import CA_FILE

WATCH_S: Final = 0.2
#: Time for requests in progress to finish at the end. The tests are over by then.
GRACE_S: Final = 2
#: The settings that a test may clear, and what clears them.
EMPTY: Final[Mapping[str, Any]] = {"notify_url": "", "return_url": "", "max_request_age_s": 0}
Respond = Callable[[dict[str, Any]], None]


def settings_for(
    folder: Path, database_url: str, gateway_url: str, sandbox_url: str, wechat_url: str
) -> Settings:
    """The settings of a demo: both wallets are the sandbox, and webhooks to loopback are allowed."""
    return Settings(
        database_url=Secret(database_url),
        encryption_keys=read_key_file(folder / ENCRYPTION_KEY),
        encryption_key_file=folder / ENCRYPTION_KEY,
        public_url=gateway_url,
        cells=None,
        node=0,
        alipay_url=f"{sandbox_url}/gateway.do",
        alipay_instore_url=f"{sandbox_url}/gateway.do",
        wechat_url=wechat_url,
        wechat_authorize_url=sandbox_url,
        wechat_api_url=sandbox_url,
        wechat_ca_pem=(folder / CA_FILE).read_text(),
        server_ip="127.0.0.1",
        clock_file=folder / CLOCK,
        documents=_documents_in(folder),
        webhook_egress=EgressPolicy(loopback=True, any_port=True),
        takes_published_key=True,
    )


def _documents_in(folder: Path) -> str:
    documents = folder.absolute() / DOCUMENTS
    documents.mkdir(exist_ok=True)
    return str(documents)


async def serve(
    settings: Settings,
    listener: socket.socket,
    ending_signals: Sequence[signal.Signals],
    ready: Callable[[], None],
    respond: Respond,
) -> None:
    """Serve until standard input closes or a signal arrives. `respond` gets the response to each line of input."""
    configure_logs()
    parent, stop = os.getppid(), asyncio.Event()
    for number in ending_signals:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_services(settings) as services, asyncio.TaskGroup() as group:
        server = SecondaryServer(listener_config(services, settings.http, GRACE_S))
        group.create_task(server.serve(sockets=[listener]))
        group.create_task(work_until(stop, services))
        commands = group.create_task(_run_commands(services.first, respond))
        ready()
        # A process forked from the tests may keep the pipe open, so the parent is watched as well.
        while not (commands.done() or stop.is_set() or server.should_exit or os.getppid() != parent):
            await asyncio.wait([commands], timeout=WATCH_S)
        commands.cancel()
        server.should_exit = True
        stop.set()


async def _run_commands(services: Services, respond: Respond) -> None:
    """Run the command in each line of standard input until it closes."""
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        try:
            await _set_app(services, json.loads(line))
        except (LookupError, ValueError) as error:
            respond({"error": str(error)})
        else:
            respond({"done": True})


async def _set_app(services: Services, command: dict[str, Any]) -> None:
    """Change an app's settings, with effect for the next request and the next webhook."""
    appcode = command.pop("set_app")
    changes = _changes(command)
    origin = origin_of_demo(services.payments.clock.now())
    credentials = services.payments.wallets.credentials
    await change_app(services.store.merchants, appcode, changes, origin, credentials)


def _changes(settings: Mapping[str, Any]) -> AppChanges:
    """The changes of a test, which sets None where an operator's command has an empty value."""
    given = {name: EMPTY[name] if value is None else value for name, value in settings.items()}
    if "webhook_style" in given:
        given["webhook_style"] = Style(given["webhook_style"])
    return AppChanges(**given)
