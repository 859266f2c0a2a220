"""The command `tael`: the parts of a deployment, the demo, and the operator's families."""

import asyncio
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from tael.cli.apps import apps
from tael.cli.databases import UNUSABLE_DATABASE, why_unusable
from tael.cli.demo import DemoRefused, demo_once, demo_quiet, demo_shown
from tael.cli.demo_stack import DemoPaths
from tael.cli.deployment import refuse_demo_settings, refuse_published_key
from tael.cli.incidents import incidents
from tael.cli.ledger import ledger
from tael.cli.listen import listen_command
from tael.cli.maintenance import maintenance
from tael.cli.merchants import merchants
from tael.cli.payments import payments
from tael.cli.reset import throw_away
from tael.cli.serving import listen, serve, serve_by_several, work
from tael.cli.trigger import trigger_command
from tael.cli.wallets import wallets
from tael.cli.webhooks import webhooks
from tael.config import (
    DEMO_DATABASE_URL,
    BadSettings,
    Settings,
    checked_database_url,
    read_database_url,
    read_settings,
)
from tael.db.migrate import MigrationBlocked, migrate
from tael.embedded.server import EmbeddedPostgresError

app: Final = typer.Typer(
    help="A self-hosted payment gateway for Alipay and WeChat Pay.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(apps, name="app", help="Developers and their settings.")
app.add_typer(merchants, name="merchant", help="Who gets the money.")
app.add_typer(wallets, name="wallet", help="Merchants' accounts at the wallets.")
app.add_typer(payments, name="payment", help="Look at payments.")
app.add_typer(incidents, name="incident", help="What a person has to look at.")
app.add_typer(ledger, name="ledger", help="Whether the books agree.")
app.add_typer(maintenance, name="maintenance", help="Planned stops.")
app.add_typer(webhooks, name="webhook", help="What merchants are told.")
app.command("listen")(listen_command)
app.command("trigger")(trigger_command)

REFUSED: Final = 2


def fail(sentence: str, code: int = REFUSED) -> typer.Exit:
    """Say why on standard error; raise what this gives."""
    typer.echo(f"tael: {sentence}", err=True)
    return typer.Exit(code)


def _settings(is_demo: bool, allow_http: bool) -> Settings:
    """Those of the environment. Outside a demo, what is safe in a demo only is refused."""
    try:
        settings = read_settings()
        if is_demo:
            return replace(settings, takes_published_key=True)
        refuse_demo_settings(settings, allow_http=allow_http)
    except BadSettings as error:
        raise fail(str(error)) from error
    return settings


def _checked_settings(is_demo: bool, allow_http: bool) -> Settings:
    """They are good, and so are the apps in the database if it answers already."""
    settings = _settings(is_demo, allow_http)
    if not is_demo:
        try:
            asyncio.run(refuse_published_key(settings))
        except BadSettings as error:
            raise fail(str(error)) from error
    return settings


DemoFlag = Annotated[
    bool,
    typer.Option("--demo", help="Allow what only a demo may have: its clock, its app, webhooks to itself."),
]
AllowHttpFlag = Annotated[
    bool,
    typer.Option("--allow-http", help="Allow http:// addresses of this machine itself, to try things out."),
]


@app.command("serve")
def serve_command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="How many API processes.")] = 1,
    demo: DemoFlag = False,
    allow_http: AllowHttpFlag = False,
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve the merchants' API, the wallets' notices, payers' pages, health and metrics."""
    if fd is not None:  # the process that opened it has looked at the settings and the database
        serve(_settings(demo, allow_http=True), socket.socket(fileno=fd))
        return
    settings = _checked_settings(demo, allow_http)
    try:
        listener = listen(host, port)
    except OSError as error:
        raise fail(f"cannot listen on {host}:{port}: {error.strerror}") from error
    if workers == 1:
        serve(settings, listener)
    else:
        serve_by_several(listener, workers, demo)


@app.command("work")
def work_command(demo: DemoFlag = False, allow_http: AllowHttpFlag = False) -> None:
    """Run the jobs: settle what is undecided, expire orders, deliver webhooks, seal days. Any number of processes."""
    work(_checked_settings(demo, allow_http))


@app.command("sandbox")
def sandbox_command(
    port: Annotated[int, typer.Option(help="Port of both wallets without TLS, and of control.")] = 8001,
    tls_port: Annotated[int, typer.Option(help="Port of both wallets with TLS.")] = 8003,
    data: Annotated[Path, typer.Option(help="Folder of the wallets' books.")] = Path(".tael/sandbox"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what happened before; keys stay.")] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A name of this machine for /control and the phone, beside loopback."
        ),
    ] = None,
) -> None:
    """Run both wallets, simulated."""
    data.mkdir(parents=True, exist_ok=True)
    arguments = ["--port", str(port), "--tls-port", str(tls_port), "--data", str(data)]
    arguments += ["--fresh"] if fresh else []
    arguments += [f"--allowed-host={name}" for name in allowed_host or []]
    os.execv(sys.executable, [sys.executable, "-m", "tael_sandbox", *arguments])  # noqa: S606


@app.command("migrate")
def migrate_command() -> None:
    """Bring the database that TAEL_DATABASE_URL names to the newest schema."""
    try:
        applied = migrate(read_database_url().reveal())
    except BadSettings as error:
        raise fail(str(error)) from error
    except MigrationBlocked as error:
        raise fail(str(error), 1) from error
    except UNUSABLE_DATABASE as error:
        raise fail(why_unusable(error)) from None
    typer.echo(f"{applied} migrations applied" if applied else "the schema is up to date")


@app.command("demo")
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
        raise fail(str(error), 1) from error


def main() -> None:
    """The entry point of the console script."""
    app()
