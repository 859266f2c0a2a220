"""`tael trigger`: makes an event happen in a running demo with real API calls, and prints its numbers."""

from functools import partial
from pathlib import Path
from typing import Annotated, Final

import aiohttp
import typer

from tael.channels.outcomes import PayLink
from tael.cli.finding import with_store
from tael.cli.showing import UNUSABLE, JsonOption, refused, show_json, show_rows
from tael.operations.store import Store
from tael_demo.addresses import addresses_in
from tael_demo.events import EVENTS, EventFailed
from tael_demo.payer import Members, Payer
from tael_demo.seed import DemoApp

#: The members of a response to print.
SHOWN: Final = ("event", "syssn", "orig_syssn", "out_trade_no", "respcd")


def trigger_command(
    event: Annotated[
        str | None, typer.Argument(metavar="EVENT", help="The event, as listed by `--list`.")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the events and exit.")] = False,
    appcode: Annotated[
        str | None, typer.Option(help="Use the first merchant of this app. Default: the demo's first app.")
    ] = None,
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the running demo.")] = Path(".tael"),
    as_json: JsonOption = False,
) -> None:
    """Trigger an event in a running demo with real API calls, and print its syssn."""
    if show_list:
        _show_list(as_json)
        return
    if event not in EVENTS:
        what = "name an event" if event is None else f"there is no event {event}"
        raise refused(f"{what}; `tael trigger --list` lists the events", UNUSABLE)
    answer = with_store(data, lambda store, _: _trigger(event, store, appcode, data))
    row = {"event": event} | {name: answer[name] for name in SHOWN if answer.get(name)}
    if as_json:
        show_json(row)
    else:
        typer.echo("  ".join([event, *(f"{name} {row[name]}" for name in SHOWN[1:] if name in row)]))


async def _trigger(name: str, store: Store, appcode: str | None, folder: Path) -> Members:
    at = addresses_in(folder)
    if at is None:
        raise refused(
            f"--data: no demo is running in {folder}; `tael demo --data {folder}` starts one", UNUSABLE
        )
    demo_app = await _app(store, appcode)
    try:
        async with Payer(at, demo_app, partial(_wallet_link, store)) as payer:
            return await EVENTS[name].trigger(payer)
    except EventFailed as error:
        raise refused(f"{name} failed: {error}") from error
    except KeyError as error:
        raise refused(f"{name} failed: a wallet's response has no {error}") from error
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise refused(
            f"the demo at {at.gateway} does not respond ({type(error).__name__})", UNUSABLE
        ) from error


async def _wallet_link(store: Store, syssn: str) -> str:
    """The wallet's link, to which the gateway would redirect the payer of this order."""
    payment = await store.payments.find_anywhere(syssn)
    if payment is None or not isinstance(payment.pay, PayLink):
        raise EventFailed(f"{syssn} has no link")
    return payment.pay.url


async def _app(store: Store, appcode: str | None) -> DemoApp:
    """The app with this appcode, or the demo's oldest app, with its merchants."""
    apps = [app for app in await store.merchants.apps() if appcode in (None, app.appcode)]
    if not apps:
        raise refused(f"no app {appcode}" if appcode else "the demo has no app")
    merchants = await store.merchants.of_app(apps[0].appcode)
    if not merchants:
        raise refused(f"app {apps[0].appcode} has no merchant")
    return DemoApp(apps[0], tuple(merchant.mchid for merchant in merchants))


def _show_list(as_json: bool) -> None:
    rows = [
        {"event": name, "description": event.description, "moves_clock": event.moves_clock}
        for name, event in EVENTS.items()
    ]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, ("event", "description", "moves_clock"))
