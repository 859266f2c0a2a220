"""The command `tael`: the parts of a deployment, the demo, and the operator's families.

Each command is imported when it is asked for. `tael --help` imports none: it shows the lines below, which are the
commands' own.
"""

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command or a family of commands is, and its line in `tael --help`."""

    module: str
    name: str
    help: str


COMMANDS: Final = {
    "serve": Entry(
        "parts",
        "serve_command",
        "Serve the merchants' API, the wallets' notices, payers' pages, health and metrics.",
    ),
    "work": Entry(
        "parts",
        "work_command",
        "Run the jobs: settle what is undecided, expire orders, deliver webhooks, seal days. "
        "Any number of processes.",
    ),
    "sandbox": Entry("parts", "sandbox_command", "Run both wallets, simulated."),
    "migrate": Entry(
        "parts", "migrate_command", "Bring the database that TAEL_DATABASE_URL names to the newest schema."
    ),
    "demo": Entry(
        "demo",
        "demo_command",
        "Start gateway, jobs, PostgreSQL, both wallets and a shop on 127.0.0.1. "
        "No setting of a deployment counts.",
    ),
    "listen": Entry(
        "listening",
        "listen_command",
        "Forward each webhook once, as it happens, to a program on this machine. "
        "`r` and Enter repeats the last.",
    ),
    "trigger": Entry(
        "trigger",
        "trigger_command",
        "Make an event happen in a running demo, by real calls, and print the syssn.",
    ),
    "app": Entry("apps", "apps", "Developers and their settings."),
    "merchant": Entry("merchants", "merchants", "Who gets the money."),
    "wallet": Entry("wallets", "wallets", "Merchants' accounts at the wallets."),
    "payment": Entry("payments", "payments", "Look at payments."),
    "incident": Entry("incidents", "incidents", "What a person has to look at."),
    "ledger": Entry("ledger", "ledger", "Whether the books agree."),
    "maintenance": Entry("maintenance", "maintenance", "Planned stops."),
    "webhook": Entry("webhooks", "webhooks", "What merchants are told."),
}


class Commands(MutableMapping[str, Any]):
    """The commands by name. Typed loosely: Typer carries a Click of its own."""

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
    """A group whose commands are imported one by one."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """With a line for each command, and without the commands."""
        lines = [TyperCommand(name=name, help=entry.help) for name, entry in COMMANDS.items()]
        TyperGroup(name=self.name, commands=lines, params=self.params, help=self.help).format_help(
            ctx, formatter
        )


def _imported(name: str, entry: Entry) -> Any:
    found = getattr(import_module(f"tael.cli.{entry.module}"), entry.name)
    if isinstance(found, typer.Typer):
        command: Any = typer.main.get_group(found)
        command.name = name
        return command
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)


app: Final = typer.Typer(
    cls=LazyGroup, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
)


@app.callback()
def tael() -> None:
    """A self-hosted payment gateway for Alipay and WeChat Pay."""


def main() -> None:
    """The entry point of the console script."""
    app()
