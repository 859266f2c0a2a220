"""`tael listen`: webhooks as they happen, forwarded to a program on a developer's own machine, a line for each.

The app's own notify URL gets them all the same. Typing `r` sends the last one again.
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

from tael.base.egress import EgressPolicy
from tael.base.transport import Answer, NoAnswer, NothingSent, Result, Transport
from tael.cli.finding import DataOption, with_store
from tael.cli.inputs import is_loopback_host
from tael.cli.showing import UNUSABLE, printable, refused
from tael.operations.store import Store
from tael.qfpay.webhook_bodies import WebhookRenderer
from tael.webhooks.domain.webhook import is_acknowledged
from tael.webhooks.follower import Follower, forward
from tael.webhooks.store.queue import DueWebhook

LOOK_S: Final = 0.2
STDIN: Final = 0
MAX_TYPED_BYTES: Final = 1024
AGAIN: Final = "r"
ANSWER_SHOWN: Final = 60


def listen_command(
    forward_to: Annotated[
        str,
        typer.Option("--forward-to", metavar="URL", help="Where to send them: an address of this machine."),
    ],
    appcode: Annotated[str | None, typer.Option(help="Of this app only.")] = None,
    data: DataOption = None,
) -> None:
    """Forward each webhook once, as it happens, to a program on this machine. `r` and Enter repeats the last."""
    if not _is_here(forward_to):
        raise refused(
            "--forward-to: wants an address of this machine, such as http://127.0.0.1:3000/told", UNUSABLE
        )

    async def work(store: Store, now: datetime) -> bool:
        if appcode is not None and await store.merchants.app(appcode) is None:
            return False
        async with Transport(EgressPolicy(loopback=True, any_port=True)) as transport:
            await _listen(store, transport, forward_to, appcode)
        return True

    if not with_store(data, work):
        raise refused(f"no app {appcode}")


async def _listen(store: Store, transport: Transport, url: str, appcode: str | None) -> None:
    stop, again = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    _watch_keys(lambda: loop.call_soon_threadsafe(again.set))
    renderer = WebhookRenderer(store.payments, store.refunds)
    follower, last = Follower(store.webhooks, store.merchants, renderer, appcode), None
    await follower.poll()
    typer.echo(f"forwarding to {printable(url)}; r and Enter sends the last again, Ctrl-C ends")
    while not stop.is_set():
        webhooks = await follower.poll()
        if again.is_set():
            again.clear()
            webhooks = [*webhooks, *([last] if last and not webhooks else webhooks[-1:])]
        for webhook in webhooks:
            last = webhook
            typer.echo(_line(webhook, await forward(webhook, url, follower, transport)))
        await _rest(stop)


async def _rest(stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), LOOK_S)
    except TimeoutError:
        return


def _watch_keys(typed: Callable[[], object]) -> None:
    """Read in a thread that nobody waits for: a terminal's input cannot be given up."""

    def read() -> None:
        with suppress(OSError):  # there may be no input at all
            while words := os.read(STDIN, MAX_TYPED_BYTES):
                for word in words.decode(errors="replace").split():
                    if word == AGAIN:
                        typed()

    threading.Thread(target=read, daemon=True).start()


def _line(webhook: DueWebhook, result: Result | None) -> str:
    return f"{webhook.kind:<8} {webhook.cause}  app {printable(webhook.appcode)}  {_said(result)}"


def _said(result: Result | None) -> str:
    match result:
        case None:
            return "not forwarded: the app's style has no such webhook"
        case Answer(status, _, body):
            word = "acknowledged" if is_acknowledged(status, body) else "not acknowledged"
            answer = printable(body[:ANSWER_SHOWN].decode("utf-8", "replace"))
            return f"{word}: HTTP {status} {answer}".rstrip()
        case NothingSent(reason) | NoAnswer(reason):
            return f"no answer: {reason}"


def _is_here(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_port = parts.port != 0
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and is_port and is_loopback_host(host)
