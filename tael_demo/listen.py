"""`tael listen`: forwards new webhooks to a program on the developer's machine and prints a line for each.

They are delivered to the app's notify URL as usual. Typing `r` forwards the last one again.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from tael.base.clock import Clock
from tael.base.egress import EgressPolicy
from tael.base.transport import Answer, NoAnswer, NothingSent, Result, Transport
from tael.cli.finding import DataOption, found_settings, with_store
from tael.cli.inputs import is_loopback_host
from tael.cli.showing import UNUSABLE, printable, refused
from tael.main import clock_of
from tael.operations.store import Store
from tael.qfpay.webhook_bodies import WebhookRenderer
from tael.webhooks.domain.webhook import is_acknowledged
from tael.webhooks.follower import Follower, forward
from tael.webhooks.store.queue import DueWebhook

POLL_S: Final = 0.2
STDIN: Final = 0
MAX_TYPED_BYTES: Final = 1024
REPEAT_KEY: Final = "r"
MAX_SHOWN_BYTES: Final = 60


def listen_command(
    forward_to: Annotated[
        str,
        typer.Option("--forward-to", metavar="URL", help="URL of the program; it must be on this machine."),
    ],
    appcode: Annotated[str | None, typer.Option(help="Forward only webhooks of this app.")] = None,
    data: DataOption = None,
) -> None:
    """Forward new webhooks to a program on this machine, each once. Press `r` and Enter to repeat the last."""
    if not _is_local(forward_to):
        raise refused(
            "--forward-to: must be a URL of this machine, such as http://127.0.0.1:3000/webhooks", UNUSABLE
        )

    async def work(store: Store, now: datetime) -> bool:
        clock = clock_of(found_settings(data))
        if appcode is not None and await store.merchants.app(appcode) is None:
            return False
        async with Transport(EgressPolicy(loopback=True, any_port=True)) as transport:
            await _listen(store, transport, clock, forward_to, appcode)
        return True

    if not with_store(data, work):
        raise refused(f"no app {appcode}")


async def _listen(store: Store, transport: Transport, clock: Clock, url: str, appcode: str | None) -> None:
    stop, repeat = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    _watch_keys(lambda: loop.call_soon_threadsafe(repeat.set))
    renderer = WebhookRenderer(store.payments, store.refunds)
    follower, last = Follower(store.webhooks, store.merchants, renderer, clock, appcode), None
    await follower.poll()
    typer.echo(f"forwarding to {printable(url)}; press r and Enter to repeat the last, Ctrl-C to stop")
    while not stop.is_set():
        webhooks = await follower.poll()
        if repeat.is_set():
            repeat.clear()
            webhooks = [*webhooks, *([last] if last and not webhooks else webhooks[-1:])]
        for webhook in webhooks:
            last = webhook
            typer.echo(_line(webhook, await forward(webhook, url, follower, transport)))
        await _rest(stop)


async def _rest(stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), POLL_S)
    except TimeoutError:
        return


def _watch_keys(on_repeat: Callable[[], object]) -> None:
    """Read standard input in a daemon thread: a blocking read of a terminal cannot be cancelled."""

    def read() -> None:
        with suppress(OSError):  # standard input may be closed
            while typed := os.read(STDIN, MAX_TYPED_BYTES):
                for key in typed.decode(errors="replace").split():
                    if key == REPEAT_KEY:
                        on_repeat()

    threading.Thread(target=read, daemon=True).start()


def _line(webhook: DueWebhook, result: Result | None) -> str:
    return f"{webhook.kind:<8} {webhook.cause}  app {printable(webhook.appcode)}  {_outcome(result)}"


def _outcome(result: Result | None) -> str:
    match result:
        case None:
            return "not forwarded: the app's style has no such webhook"
        case Answer(status, _, body):
            outcome = "acknowledged" if is_acknowledged(status, body) else "not acknowledged"
            shown = printable(body[:MAX_SHOWN_BYTES].decode("utf-8", "replace"))
            return f"{outcome}: HTTP {status} {shown}".rstrip()
        case NothingSent(reason) | NoAnswer(reason):
            return f"no response: {reason}"


def _is_local(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_port = parts.port != 0
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and is_port and is_loopback_host(host)
