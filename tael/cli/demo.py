"""`tael demo`: starts the rig, then tells a story once, serves quietly for programs, or shows itself to a person.

What tells the story is imported where it is told: a demo that serves programs starts without it.
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tael.cli.addresses import Addresses, kept_addresses
from tael.cli.demo_stack import (
    DemoPaths,
    DemoRefused,
    DemoStack,
    listener_of,
    running_wallets,
    start_gateway,
    wait_until_ready,
)
from tael.cli.reset import close_to_others, throw_away
from tael.cli.seed import DemoApp, seed
from tael.cli.shop import lead_to_shop, start_shop
from tael.cli.showing import IMPOSSIBLE, fail
from tael.config import DEMO_DATABASE_URL, BadSettings, Settings, checked_database_url, read_settings
from tael.embedded.server import EmbeddedPostgresError
from tael.main import clock_of, open_store

if TYPE_CHECKING:
    from rich.console import Console

WATCH_S: Final = 0.2


@contextmanager
def running_demo(paths: DemoPaths) -> Iterator[tuple[DemoStack, list[DemoApp]]]:
    """A whole demo, ready. Raises DemoRefused, EmbeddedPostgresError."""
    close_to_others(paths.data)
    with running_wallets(paths) as stack, listener_of(paths) as listener:
        start_gateway(stack, listener)
        apps = asyncio.run(_seed(stack))  # while the gateway comes up
        start_shop(stack, apps[0])
        wait_until_ready(stack)
        with kept_addresses(paths.data, addresses_of(stack)):
            yield stack, apps


def demo_once(paths: DemoPaths) -> int:
    """Tell the whole story and print it as a table; 0 if all of it was right."""
    with running_demo(paths) as (stack, apps):
        return asyncio.run(_tell(stack, apps))


def demo_quiet(paths: DemoPaths) -> None:
    """One JSON line when ready; then serve until told to end."""
    with _until_told() as told, running_demo(paths) as (stack, apps):
        print(json.dumps(description(stack, apps)), flush=True)
        _watch(stack, told)


def demo_shown(paths: DemoPaths) -> None:
    """A first payment of each pay type, where to look, and then serve until Ctrl-C."""
    from rich.console import Console

    from tael.cli.walkthrough import first_payments

    console = Console()
    with _until_told() as told, running_demo(paths) as (stack, apps):
        if not told:
            asyncio.run(first_payments(addresses_of(stack), apps, console))
            _say_where(stack, apps, console)
        _watch(stack, told)
        console.print("Ending…")


def description(stack: DemoStack, apps: list[DemoApp]) -> dict[str, Any]:
    """What a program needs to use the demo."""
    return {
        "gateway": stack.paths.gateway_url,
        "sandbox": stack.paths.sandbox_url,
        "shop": stack.paths.shop_url,
        "database_url": stack.database_url,
        "apps": [
            {
                "appcode": one.app.appcode,
                "key": one.app.key.reveal(),
                "mchid": one.mchids[0],
                "mchids": list(one.mchids),
                "notify_url": one.app.notify_url,
                "return_url": one.app.return_url,
            }
            for one in apps
        ],
    }


async def _seed(stack: DemoStack) -> list[DemoApp]:
    settings = settings_of(stack)
    async with open_store(settings) as store:
        apps = await seed(store, stack.accounts(), clock_of(settings).now())
        return [await lead_to_shop(stack.paths, apps[0], store), *apps[1:]]


async def _tell(stack: DemoStack, apps: list[DemoApp]) -> int:
    from rich.console import Console

    from tael.cli.receiver import Receiver
    from tael.cli.walkthrough import whole_story

    console = Console(width=max(Console().width, 120))
    async with Receiver() as receiver, open_store(settings_of(stack)) as store:
        for one in apps:
            await store.merchants.set_app(receiver.listened_to(one.app))
        try:
            return await whole_story(addresses_of(stack), apps, receiver, console)
        finally:  # the receiver ends with us, and a later start would tell nobody
            for one in apps:
                await store.merchants.set_app(one.app)


def addresses_of(stack: DemoStack) -> Addresses:
    return Addresses(stack.paths.gateway_url, stack.paths.sandbox_url)


def settings_of(stack: DemoStack) -> Settings:
    return read_settings(stack.environment)


@contextmanager
def _until_told() -> Iterator[list[int]]:
    """A list that gets the signal by which we are told to end."""
    told: list[int] = []

    def tell(number: int, _: object) -> None:
        told.append(number)

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(stack: DemoStack, told: list[int]) -> None:
    while not told:
        for name in stack.watch():
            print(f"tael: {name} had died and was started again", file=sys.stderr, flush=True)
        time.sleep(WATCH_S)


def _say_where(stack: DemoStack, apps: list[DemoApp], console: "Console") -> None:
    published = apps[0]
    console.print(f"\n[bold]The gateway[/bold]   {stack.paths.gateway_url}/trade/v1")
    console.print(f"[bold]A demo shop[/bold]   {stack.paths.shop_url}/")
    console.print(f"[bold]Payers' phone[/bold] {stack.paths.sandbox_url}/")
    console.print(f"[bold]Both wallets[/bold]  {stack.paths.sandbox_url}/control/…")
    console.print(
        f"[bold]Credentials[/bold]   appcode {published.app.appcode}   key {published.app.key.reveal()}   "
        f"mchid {published.mchids[0]}"
    )
    console.print(f"[bold]Kept in[/bold]       {stack.paths.data} (logs in {stack.paths.data / 'logs'})")
    console.print(
        "Ctrl-C ends it. `tael app set` changes settings, `tael payment show` looks at a payment.\n"
    )


def demo_command(
    port: Annotated[
        int, typer.Option(help="First of the ports P to P+3: gateway, wallets, shop, WeChat Pay over TLS.")
    ] = 8000,
    data: Annotated[Path, typer.Option(help="Folder that keeps everything between starts.")] = Path(".tael"),
    once: Annotated[bool, typer.Option(help="Take payments of every kind, print a table, end.")] = False,
    quiet: Annotated[bool, typer.Option(help="Print one JSON line when ready, then serve.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="First throw away all that earlier demos kept in the folder.")
    ] = False,
    database_url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar=DEMO_DATABASE_URL,
            help="A database in place of the demo's own: an empty one, or one that this demo has used before.",
        ),
    ] = "",
    return_unmatched_payments: Annotated[
        bool, typer.Option(help="Send back money that belongs to no order, or book it and keep it.")
    ] = True,
) -> None:
    """Start gateway, jobs, PostgreSQL, both wallets and a shop on 127.0.0.1. No setting of a deployment counts."""
    try:
        url = checked_database_url(database_url, "--database-url").reveal() if database_url else ""
        paths = DemoPaths(port, data.resolve(), url, return_unmatched_payments)
        if fresh:
            throw_away(paths)
        if once:
            raise typer.Exit(demo_once(paths))
        if quiet:
            demo_quiet(paths)
        else:
            demo_shown(paths)
    except BadSettings as error:
        raise fail(str(error)) from error
    except (DemoRefused, EmbeddedPostgresError, OSError) as error:
        raise fail(str(error), IMPOSSIBLE) from error
