"""`tael demo`: starts the demo stack, then runs the walkthrough once, serves for programs, or serves interactively.

The walkthrough is imported only when it is run, so that a demo for programs starts sooner.
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tael.base.cipher import DecryptionFailed
from tael.cli.showing import IMPOSSIBLE, UNUSABLE, fail, refused
from tael.config import BadSettings, Settings, checked_database_url, read_settings
from tael.db.cells import MAX_CELL
from tael.merchants.domain.merchant import UnmatchedPolicy
from tael.services import clock_of
from tael.stores import open_store
from tael_demo.addresses import Addresses, kept_addresses
from tael_demo.embedded.server import EmbeddedPostgresError
from tael_demo.reset import close_to_others, throw_away
from tael_demo.seed import CURRENCIES, DEFAULT_CURRENCY, DemoApp, origin_of_demo, seed
from tael_demo.shop import ShopMerchant, refuse_without_client, shop_merchant, start_shop, with_shop_urls
from tael_demo.stack import (
    DemoPaths,
    DemoRefused,
    DemoStack,
    listener_of,
    running_wallets,
    start_gateway,
    wait_until_ready,
)
from tael_demo.walkthrough import first_payments, full_walkthrough

if TYPE_CHECKING:
    from rich.console import Console

#: The only variable that a demo reads: command-line arguments can be read by every user of the machine.
DATABASE_URL: Final = "TAEL_DEMO_DATABASE_URL"
WATCH_S: Final = 0.2


@contextmanager
def running_demo(paths: DemoPaths, shops: ShopMerchant) -> Iterator[tuple[DemoStack, list[DemoApp]]]:
    """A complete demo, ready for requests. Raises DemoRefused, EmbeddedPostgresError."""
    refuse_without_client()
    close_to_others(paths.data)
    with running_wallets(paths) as stack, listener_of(paths) as listener:
        start_gateway(stack, listener)
        apps = asyncio.run(_seed(stack, shops))  # while the gateway comes up
        start_shop(stack, apps[shops.app_index], shops)
        wait_until_ready(stack)
        with kept_addresses(paths.data, addresses_of(stack)):
            yield stack, apps


def demo_once(paths: DemoPaths, shops: ShopMerchant) -> int:
    """Run the full walkthrough and print it as a table. Returns the exit code: 0 if every line is correct."""
    with running_demo(paths, shops) as (stack, apps):
        return asyncio.run(_run_walkthrough(stack, apps))


def demo_quiet(paths: DemoPaths, shops: ShopMerchant) -> None:
    """Print one JSON line when ready, then serve until a signal ends it."""
    with _ending_signals() as signals, running_demo(paths, shops) as (stack, apps):
        print(json.dumps(description(stack, apps)), flush=True)
        _watch(stack, signals)


def demo_shown(paths: DemoPaths, shops: ShopMerchant) -> None:
    """Make one payment of each pay type, print the addresses, then serve until Ctrl-C."""
    from rich.console import Console

    console = Console()
    with _ending_signals() as signals, running_demo(paths, shops) as (stack, apps):
        if not signals:
            asyncio.run(first_payments(addresses_of(stack), apps, console))
            _print_addresses(stack, apps, shops, console)
        _watch(stack, signals)
        console.print("Stopping…")


def description(stack: DemoStack, apps: list[DemoApp]) -> dict[str, Any]:
    """The demo's addresses and credentials, for programs."""
    return {
        "gateway": stack.paths.gateway_url,
        "sandbox": stack.paths.sandbox_url,
        "shop": stack.paths.shop_url,
        "database_url": stack.database_url,
        "apps": [
            {
                "appcode": demo_app.app.appcode,
                "key": demo_app.app.key.reveal(),
                "mchid": demo_app.mchids[0],
                "mchids": list(demo_app.mchids),
                "notify_url": demo_app.app.notify_url,
                "return_url": demo_app.app.return_url,
            }
            for demo_app in apps
        ],
    }


async def _seed(stack: DemoStack, shops: ShopMerchant) -> list[DemoApp]:
    settings = settings_of(stack)
    async with open_store(settings) as store:
        policy = stack.paths.unmatched_payments
        now = clock_of(settings).now()
        apps = await seed(store, stack.accounts(), now, policy)
        return await with_shop_urls(stack.paths, apps, shops, store, origin_of_demo(now))


def _policy(returns: bool | None) -> UnmatchedPolicy | None:
    if returns is None:
        return None
    return UnmatchedPolicy.RETURN if returns else UnmatchedPolicy.HOLD


async def _run_walkthrough(stack: DemoStack, apps: list[DemoApp]) -> int:
    from rich.console import Console

    from tael_demo.receiver import Receiver

    console = Console(width=max(Console().width, 120))
    async with Receiver() as receiver, open_store(settings_of(stack)) as store:
        origin = origin_of_demo(clock_of(settings_of(stack)).now())
        for demo_app in apps:
            await store.merchants.change_app(demo_app.app.appcode, receiver.listened_to, origin)
        try:
            return await full_walkthrough(addresses_of(stack), apps, receiver, console)
        finally:  # the receiver ends here: in a later start of this demo its URL would lead nowhere
            for demo_app in apps:
                url = demo_app.app.notify_url
                await store.merchants.change_app(
                    demo_app.app.appcode, partial(replace, notify_url=url), origin
                )


def addresses_of(stack: DemoStack) -> Addresses:
    return Addresses(stack.paths.gateway_url, stack.paths.sandbox_url)


def settings_of(stack: DemoStack) -> Settings:
    return read_settings(stack.environment)


@contextmanager
def _ending_signals() -> Iterator[list[int]]:
    """A list to which SIGTERM and SIGINT are added when they arrive."""
    received: list[int] = []

    def receive(number: int, _: object) -> None:
        received.append(number)

    before = {number: signal.signal(number, receive) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(stack: DemoStack, signals: list[int]) -> None:
    while not signals:
        for name in stack.watch():
            print(f"tael: {name} ended unexpectedly and was restarted", file=sys.stderr, flush=True)
        time.sleep(WATCH_S)


def _print_addresses(stack: DemoStack, apps: list[DemoApp], shops: ShopMerchant, console: "Console") -> None:
    published = apps[0]
    console.print(f"\n[bold]Gateway[/bold]       {stack.paths.gateway_url}/trade/v1")
    console.print(f"[bold]Demo shop[/bold]     {stack.paths.shop_url}/")
    console.print(f"[bold]Payer's phone[/bold] {stack.paths.sandbox_url}/")
    console.print(f"[bold]Control API[/bold]   {stack.paths.sandbox_url}/control/…")
    console.print(f"[bold]Credentials[/bold]   {_credentials(published, 0)}")
    if shops.app_index:
        console.print(
            f"[bold]Shop in {shops.currency}[/bold]   {_credentials(apps[shops.app_index], shops.mchid_index)}"
        )
    console.print(f"[bold]Data[/bold]          {stack.paths.data} (logs in {stack.paths.data / 'logs'})")
    console.print(
        "Press Ctrl-C to stop. `tael app set` changes settings, `tael payment show` shows a payment.\n"
    )


def _credentials(demo_app: DemoApp, mchid_index: int) -> str:
    app = demo_app.app
    return f"appcode {app.appcode}   key {app.key.reveal()}   mchid {demo_app.mchids[mchid_index]}"


def demo_command(
    port: Annotated[
        int, typer.Option(help="First of four ports: gateway, sandbox, shop, and the sandbox over TLS.")
    ] = 8000,
    data: Annotated[Path, typer.Option(help="Folder for everything the demo keeps.")] = Path(".tael"),
    once: Annotated[bool, typer.Option(help="Make payments of every kind, print a table and exit.")] = False,
    quiet: Annotated[bool, typer.Option(help="Print one JSON line when ready, then serve.")] = False,
    currency: Annotated[
        str,
        typer.Option(help=f"The shop's currency: {', '.join(CURRENCIES)}."),
    ] = DEFAULT_CURRENCY,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete the data of earlier demos in the folder first.")
    ] = False,
    database_url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar=DATABASE_URL,
            help="Use this database instead of a private PostgreSQL. It must be empty or used by this demo before.",
        ),
    ] = "",
    return_unmatched_payments: Annotated[
        bool | None,
        typer.Option(
            "--return-unmatched-payments/--no-return-unmatched-payments",
            help="Whether the demo's merchants return unmatched payments to the payer, or hold them. Without it, new "
            "merchants return them, and existing ones keep their setting.",
        ),
    ] = None,
    cells: Annotated[
        int,
        typer.Option(
            min=1,
            max=MAX_CELL + 1,
            help="Cells of the database, each a schema; new merchants are spread over them.",
        ),
    ] = 1,
) -> None:
    """Start a demo on 127.0.0.1: PostgreSQL, both simulated wallets, the gateway and a shop.

    Settings of a deployment in the environment are ignored.
    """
    if currency not in CURRENCIES:
        raise refused(f"--currency: must be one of {', '.join(CURRENCIES)}", UNUSABLE)
    shops = shop_merchant(currency)
    try:
        url = checked_database_url(database_url, "--database-url").reveal() if database_url else ""
        paths = DemoPaths(port, data.resolve(), url, _policy(return_unmatched_payments), cells)
        if fresh:
            throw_away(paths)
        if once:
            raise typer.Exit(demo_once(paths, shops))
        if quiet:
            demo_quiet(paths, shops)
        else:
            demo_shown(paths, shops)
    except BadSettings as error:
        raise fail(str(error)) from error
    except (DemoRefused, EmbeddedPostgresError, DecryptionFailed, OSError) as error:
        raise fail(str(error), IMPOSSIBLE) from error
