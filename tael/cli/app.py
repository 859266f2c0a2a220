"""The command `tael`: the parts of a deployment, the demo, and the operator's families."""

import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Final

import psycopg
import typer

from tael.cli.apps import apps
from tael.cli.demo import DemoRefused, demo_once, demo_quiet, demo_shown
from tael.cli.fresh import throw_away
from tael.cli.incidents import incidents
from tael.cli.ledger import ledger
from tael.cli.listening import listen_command
from tael.cli.maintenance import maintenance
from tael.cli.merchants import merchants
from tael.cli.payments import payments
from tael.cli.rig import Place
from tael.cli.serving import listen, serve, serve_by_several, work
from tael.cli.trigger import trigger_command
from tael.cli.wallets import wallets
from tael.cli.webhooks import webhooks
from tael.config import BadSettings, Settings, read_database_url, read_settings
from tael.store.embedded import EmbeddedPostgresError
from tael.store.migrate import MigrationBlocked, migrate

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


def _settings() -> Settings:
    try:
        return read_settings()
    except BadSettings as error:
        raise fail(str(error)) from error


@app.command("serve")
def serve_command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="How many API processes.")] = 1,
    demo: Annotated[bool, typer.Option(help="Allow the clock that the sandbox moves.")] = False,
    fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve the merchants' API, the wallets' notices and the cashier."""
    settings = _settings()
    if settings.clock_file and not demo:
        raise fail("TAEL_CLOCK_FILE moves the clock of money; only `--demo` allows it")
    if settings.webhook_reach.loopback and not demo:
        raise fail(
            "TAEL_WEBHOOK_LOOPBACK lets merchants call this machine's own ports; only `--demo` allows it"
        )
    if fd is not None:
        serve(settings, socket.socket(fileno=fd))
        return
    try:
        listener = listen(host, port)
    except OSError as error:
        raise fail(f"cannot listen on {host}:{port}: {error.strerror}") from error
    if workers == 1:
        serve(settings, listener)
    else:
        serve_by_several(listener, workers, demo)


@app.command("work")
def work_command(
    demo: Annotated[bool, typer.Option(help="Allow the clock that the sandbox moves.")] = False,
) -> None:
    """Run the jobs: settle what is undecided, expire orders, deliver webhooks. As many processes as you like."""
    settings = _settings()
    if settings.clock_file and not demo:
        raise fail("TAEL_CLOCK_FILE moves the clock of money; only `--demo` allows it")
    if settings.webhook_reach.loopback and not demo:
        raise fail(
            "TAEL_WEBHOOK_LOOPBACK lets merchants call this machine's own ports; only `--demo` allows it"
        )
    work(settings)


@app.command("sandbox")
def sandbox_command(
    port: Annotated[int, typer.Option(help="Port of Alipay, control and WeChat without TLS.")] = 8001,
    tls_port: Annotated[int, typer.Option(help="Port of WeChat with TLS.")] = 8003,
    data: Annotated[Path, typer.Option(help="Folder of the wallets' books.")] = Path(".tael/sandbox"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what happened before; keys stay.")] = False,
) -> None:
    """Run both wallets, simulated."""
    data.mkdir(parents=True, exist_ok=True)
    arguments = ["--port", str(port), "--tls-port", str(tls_port), "--data", str(data)]
    arguments += ["--fresh"] if fresh else []
    os.execv(sys.executable, [sys.executable, "-m", "tael_sandbox", *arguments])  # noqa: S606


@app.command("migrate")
def migrate_command() -> None:
    """Bring the database that TAEL_DATABASE_URL names to the newest schema."""
    try:
        applied = migrate(read_database_url().reveal())
    except BadSettings as error:
        raise fail(str(error)) from error
    except psycopg.OperationalError as error:
        raise fail(f"the database cannot be reached ({type(error).__name__})") from None
    except MigrationBlocked as error:
        raise fail(str(error), 1) from error
    except psycopg.Error as error:
        raise fail(f"the database refuses: {error.diag.message_primary or type(error).__name__}", 1) from None
    typer.echo(f"{applied} migrations applied" if applied else "the schema is up to date")


@app.command("demo")
def demo_command(
    port: Annotated[int, typer.Option(help="First of the ports P, P+1 and P+3.")] = 8000,
    data: Annotated[Path, typer.Option(help="Folder that keeps everything between starts.")] = Path(".tael"),
    once: Annotated[bool, typer.Option(help="Take payments of every kind, print a table, end.")] = False,
    quiet: Annotated[bool, typer.Option(help="Print one JSON line when ready, then serve.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="First throw away all that earlier demos kept in the folder.")
    ] = False,
) -> None:
    """Start gateway, jobs, PostgreSQL and both wallets on 127.0.0.1."""
    try:
        if fresh:
            throw_away(Place(port, data.resolve()))
        if once:
            raise typer.Exit(demo_once(port, data))
        if quiet:
            demo_quiet(port, data)
        else:
            demo_shown(port, data)
    except (DemoRefused, EmbeddedPostgresError, OSError) as error:
        raise fail(str(error), 1) from error


def main() -> None:
    """The entry point of the console script."""
    app()
