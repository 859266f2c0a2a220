"""`tael --help` and `tael --version`: what a new user sees first."""

import re
from importlib.metadata import version

import typer.main
from typer.testing import CliRunner

from tael.cli.app import COMMANDS, app

#: The order in which a user meets the commands: try it out, run it, operate it, develop against it.
ORDER_OF_USE = [
    *("demo", "migrate", "serve", "work", "doctor", "cell"),
    *(
        "app",
        "merchant",
        "user",
        "account",
        "payment",
        "webhook",
        "incident",
        "unmatched",
        "ledger",
        "statement",
        "reconcile",
        "settlement",
        "audit",
        "maintenance",
    ),
    "purge",
    "after-restore",
    "keys",
    *("sandbox", "listen", "trigger", "conformance"),
]


def test_help_lists_the_commands_in_the_order_of_use() -> None:
    shown = CliRunner().invoke(app, ["--help"], terminal_width=200).stdout
    listed = re.findall(r"^\W*([a-z-]+)  +[A-Z]", shown, flags=re.MULTILINE)
    assert listed == ORDER_OF_USE


def test_every_command_has_its_place_in_the_order() -> None:
    assert set(COMMANDS) == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_version_prints_the_installed_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"tael {version('tael')}\n", "")
    assert done.stdout == "tael 0.1.0\n"


def test_a_command_and_each_of_its_options_has_a_help_sentence() -> None:
    """One sentence or more, beginning with a capital or a quoted name and ending with a full stop."""
    pending = [typer.main.get_command(app)]
    while pending:
        command = pending.pop()
        pending += getattr(command, "commands", {}).values()
        params = [
            each for each in command.params if each.name != "help" and not getattr(each, "hidden", False)
        ]
        for text in (command.help, *(each.help for each in params)):  # type: ignore[attr-defined]
            assert text, command.name
            assert re.fullmatch(r"[A-Z`].*\.", text.strip(), flags=re.DOTALL), text
