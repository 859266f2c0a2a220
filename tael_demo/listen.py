"""`tael listen`: forwards new webhooks to a program on the developer's machine and prints a line for each.

They are delivered to the app's notify URL as usual. Typing `r` forwards the last one again.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from tael.base.egress import EgressPolicy
from tael.base.transport import Answer, NoAnswer, NothingSent, Result, Transport
from tael.cli.finding import DataOption, found_settings, with_stores
from tael.cli.inputs import is_loopback_host
from tael.cli.showing import UNUSABLE, printable, refused
from tael.operations.store import Store
from tael.qfpay.webhook_bodies import WebhookRenderer
from tael.services import clock_of
from tael.stores import Stores
from tael.webhooks.domain.webhook import is_acknowledged
from tael.webhooks.follower import Follower, forward
from tael.webhooks.store.queue import DueWebhook

#: A webhook, and the follower of its cell.
_Followed = tuple[Follower, DueWebhook]

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

    async def work(stores: Stores, now: datetime) -> bool:
        clock = clock_of(found_settings(data))
        if appcode is not None and await stores.first.merchants.app(appcode) is None:
            return False
        followers = [
            Follower(store.webhooks, store.merchants, _renderer(store), clock, appcode)
            for store in (await stores.of_cell.all()).values()
        ]
        async with Transport(EgressPolicy(loopback=True, any_port=True)) as transport:
            await _listen(followers, transport, forward_to)
        return True

    if not with_stores(data, work):
        raise refused(f"no app {appcode}")


def _renderer(store: Store) -> WebhookRenderer:
    return WebhookRenderer(store.payments, store.refunds)


async def _listen(followers: Sequence[Follower], transport: Transport, url: str) -> None:
    """`followers` has one for each cell."""
    stop, repeat = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    _watch_keys(lambda: loop.call_soon_threadsafe(repeat.set))
    last: _Followed | None = None
    await _poll(followers)
    typer.echo(f"forwarding to {printable(url)}; press r and Enter to repeat the last, Ctrl-C to stop")
    while not stop.is_set():
        webhooks = await _poll(followers)
        if repeat.is_set():
            repeat.clear()
            webhooks = [*webhooks, *([last] if last and not webhooks else webhooks[-1:])]
        for last in webhooks:
            follower, webhook = last
            typer.echo(_line(webhook, await forward(webhook, url, follower, transport)))
        await _rest(stop)


async def _poll(followers: Sequence[Follower]) -> list[_Followed]:
    return [(follower, webhook) for follower in followers for webhook in await follower.poll()]


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
