"""Output of the operator's commands: tables, compact JSON, and one line on standard error for a refusal.

Names and subjects come from merchants and payers: nothing is interpreted as markup, and control characters never
reach the terminal.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from tael.base.moments import moment_text

if TYPE_CHECKING:
    from rich.console import Console

#: Exit code: the request cannot be fulfilled, for example because there is no such row.
IMPOSSIBLE: Final = 1
#: Exit code: an argument is invalid, or the database cannot be reached.
UNUSABLE: Final = 2
#: In a file or a pipe lines are not wrapped, so that they can be searched.
UNWRAPPED: Final = 10_000

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def refused(sentence: str, code: int = IMPOSSIBLE) -> typer.Exit:
    """Print why in one line on standard error, and return the exception to raise."""
    typer.echo(f"tael: {printable(' '.join(sentence.split()))}", err=True)
    return typer.Exit(code)


def fail(sentence: str, code: int = UNUSABLE) -> typer.Exit:
    """As `refused`, for a sentence that may have lines of its own, such as another program's last words."""
    typer.echo(f"tael: {sentence}", err=True)
    return typer.Exit(code)


def warned(sentence: str) -> None:
    """Print a warning in one line on standard error. The command continues."""
    typer.echo(f"tael: warning: {printable(' '.join(sentence.split()))}", err=True)


def show_json(value: object) -> None:
    """`value` in one line; instants are ISO 8601 in UTC. A Secret in it raises TypeError."""
    typer.echo(msgspec.json.encode(value).decode())


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str = "") -> None:
    """A table with these columns, a line per row."""
    from rich.table import Table  # a table is slow to import, and JSON is what programs ask for
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[column])) for column in columns))
    _console().print(table)


def show_members(members: Mapping[str, Any], title: str = "") -> None:
    """A table of one object, a line per member."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in members.items():
        table.add_row(name.replace("_", " "), Text(_cell(value)))
    _console().print(table)


def printable(text: str) -> str:
    """`text` without control characters, which a terminal would interpret."""
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
