"""What the operator's commands print: tables for people, compact JSON for programs, one line for a refusal.

Names and subjects come from merchants and payers, so nothing is read as markup and no control character of
theirs reaches the terminal.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from tael.base.moments import moment_text

if TYPE_CHECKING:
    from rich.console import Console

#: What was asked cannot be done: no such row, or a contract forbids it.
IMPOSSIBLE: Final = 1
#: The command was given something it cannot use, or the database cannot be reached.
UNUSABLE: Final = 2
#: In a file or a pipe nothing is wrapped, so that lines can be searched.
UNWRAPPED: Final = 10_000

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def refused(sentence: str, code: int = IMPOSSIBLE) -> typer.Exit:
    """Say why on standard error, in one line; raise what this gives."""
    typer.echo(f"tael: {printable(' '.join(sentence.split()))}", err=True)
    return typer.Exit(code)


def fail(sentence: str, code: int = UNUSABLE) -> typer.Exit:
    """As `refused`, for a sentence that may have lines of its own, such as another program's last words."""
    typer.echo(f"tael: {sentence}", err=True)
    return typer.Exit(code)


def warned(sentence: str) -> None:
    """Say on standard error, in one line, what an operator should know; the command goes on."""
    typer.echo(f"tael: warning: {printable(' '.join(sentence.split()))}", err=True)


def show_json(answer: object) -> None:
    """`answer` in one line; instants are ISO 8601 in UTC. A Secret in it is an error, not an output."""
    typer.echo(msgspec.json.encode(answer).decode())


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str = "") -> None:
    """A table with these members of each row."""
    from rich.table import Table  # a table is slow to import, and JSON is what programs ask for
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[column])) for column in columns))
    _console().print(table)


def show_members(members: Mapping[str, Any], title: str = "") -> None:
    """One thing, a line for each of its members."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in members.items():
        table.add_row(name.replace("_", " "), Text(_cell(value)))
    _console().print(table)


def printable(text: str) -> str:
    """`text` without what a terminal would obey."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _cell(value: object) -> str:
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{moment_text(value)} UTC+8"
        case _:
            return printable(str(value))


def _console() -> "Console":
    from rich.console import Console

    console = Console(soft_wrap=False)
    return console if console.is_terminal else Console(width=UNWRAPPED)
