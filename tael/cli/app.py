"""The `tael` command: the processes of a deployment, the operator's command groups, and those of other packages.

Each command is imported when it is used. `tael --help` imports none and shows the summaries below. The demo and the
conformance kit are packages of their own, which may not be installed; their commands are entry points, looked up when
one is used.
"""

import sys
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command or a command group is defined in `tael.cli`, and its summary in `tael --help`."""

    module: str
    name: str
    help: str


@dataclass(frozen=True, slots=True)
class ExtraEntry:
    """The summary of another package's command. Its entry point has the command's name.

    `package` is how its users call that package; `extra` installs it, and is its folder in a checkout.
    """

    package: str
    extra: str
    help: str


#: The group of entry points with the commands of other packages.
ENTRY_POINTS: Final = "tael.commands"

DEMO: Final = ("demo", "demo")
CONFORMANCE: Final = ("conformance kit", "conformance")

#: In the order of use: try it out, run it, operate it, develop against it.
COMMANDS: Final[dict[str, Entry | ExtraEntry]] = {
    "demo": ExtraEntry(
        *DEMO,
        "Start a demo on 127.0.0.1: PostgreSQL, both simulated wallets, the gateway and a shop.",
    ),
    "migrate": Entry(
        "parts",
        "migrate_command",
        "Migrate the database of TAEL_DATABASE_URL and all cells to the current schema.",
    ),
    "serve": Entry(
        "parts",
        "serve_command",
        "Serve the merchant API, wallet notices, payer pages, health checks and metrics.",
    ),
    "work": Entry(
        "parts",
        "work_command",
        "Run the background jobs: poll pending orders, deliver webhooks, close the day. Several workers can run.",
    ),
    "doctor": Entry(
        "doctor",
        "doctor_command",
        "Check settings, database and stored state of a deployment, and print what is wrong and what to do.",
    ),
    "cell": Entry("cells", "cells", "Manage cells: the databases of groups of merchants."),
    "app": Entry("apps", "apps", "Manage apps: API credentials and settings."),
    "merchant": Entry("merchants", "merchants", "Manage merchants."),
    "user": Entry("users", "users", "Manage merchants' users, who permit apps to read data."),
    "account": Entry("accounts", "accounts", "Manage wallet accounts."),
    "payment": Entry("payments", "payments", "Inspect payments."),
    "webhook": Entry("webhooks", "webhooks", "Inspect and resend webhooks."),
    "incident": Entry("incidents", "incidents", "Review incidents."),
    "unmatched": Entry("unmatched", "unmatched", "Decide about unmatched payments."),
    "ledger": Entry("ledger", "ledger", "Verify the ledger."),
    "statement": Entry("statements", "statements", "Import and inspect the wallets' statements."),
    "reconcile": Entry(
        "reconciliation", "reconciliation", "Compare the wallets' statements with our records."
    ),
    "settlement": Entry("settlement", "settlement", "Pay out to merchants."),
    "audit": Entry("audit", "audit", "Show the audit log."),
    "maintenance": Entry("maintenance", "maintenance", "Schedule maintenance."),
    "purge": Entry("purge", "purge_command", "Remove personal data of old payments."),
    "after-restore": Entry(
        "after_restore", "after_restore_command", "Report what needs care in a restored database."
    ),
    "keys": Entry("keys", "keys", "Rotate encryption keys and link keys."),
    "sandbox": ExtraEntry(*DEMO, "Run both simulated wallets."),
    "listen": ExtraEntry(
        *DEMO,
        "Forward new webhooks to a program on this machine, each once. Press `r` and Enter to repeat the last.",
    ),
    "trigger": ExtraEntry(
        *DEMO,
        "Trigger an event in a running demo with real API calls, and print its syssn.",
    ),
    "conformance": ExtraEntry(
        *CONFORMANCE,
        "Check that a server, a webhook receiver or a client follows QFPay's /trade/v1 API.",
    ),
}


class Commands(MutableMapping[str, Any]):
    """The commands by name, imported on access. Typed loosely: Typer carries a Click of its own."""

    def __init__(self) -> None:
        self._imported: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._imported:
            self._imported[name] = _imported(name, COMMANDS[name])
        return self._imported[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._imported[name] = command

    def __delitem__(self, name: str) -> None:
        raise TypeError("commands are not removed")

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __len__(self) -> int:
        return len(COMMANDS)


class LazyGroup(TyperGroup):
    """A group that imports a command when it is used, and lists the commands in the order of `COMMANDS`."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Lists the summaries without importing the commands."""
        lines = [TyperCommand(name=name, help=entry.help) for name, entry in COMMANDS.items()]
        TyperGroup(name=self.name, commands=lines, params=self.params, help=self.help).format_help(
            ctx, formatter
        )


def _imported(name: str, entry: Entry | ExtraEntry) -> Any:
    match entry:
        case Entry():
            found = getattr(import_module(f"tael.cli.{entry.module}"), entry.name)
        case ExtraEntry():
            found = _loaded(name, entry)
    if isinstance(found, typer.Typer):
        command: Any = typer.main.get_group(found)
        command.name = name
        return command
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)


def _loaded(name: str, entry: ExtraEntry) -> Any:
    """A command of another package. Exits with one line if that is not installed."""
    from importlib.metadata import entry_points  # reads the metadata of every installed package

    for entry_point in entry_points(group=ENTRY_POINTS, name=name):
        return entry_point.load()
    from tael.cli.showing import UNUSABLE, refused

    raise refused(
        f"`tael {name}` belongs to the {entry.package}, which is not installed; "
        f"install the extra tael[{entry.extra}], from a checkout with: pip install . ./{entry.extra}",
        UNUSABLE,
    )


app: Final = typer.Typer(
    cls=LazyGroup, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
)


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"tael {version('tael')}")
        raise typer.Exit


@app.callback()
def tael(
    show_version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
) -> None:
    """A self-hosted payment gateway for Alipay and WeChat Pay."""


def _log_to_standard_error() -> None:
    """Standard output belongs to a command's results, often JSON; structlog would print there."""
    import structlog

    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def main() -> None:
    """Entry point of the console script."""
    if not sys.argv[1:2] or not sys.argv[1].startswith(
        "-"
    ):  # `tael --help` imports nothing that it does not show
        _log_to_standard_error()
    app()
