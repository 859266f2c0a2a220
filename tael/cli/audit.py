"""`tael audit`: the audit log."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Annotated, Any, Final

import msgspec
import typer

from tael.audit_log.domain.entry import AuditEntry, Values
from tael.cli.cell_answers import Answers, in_every_cell, newest_first
from tael.cli.finding import DataOption, with_stores
from tael.cli.showing import JsonOption, show_json, show_rows
from tael.db.tables import Home
from tael.operations.store import Store
from tael.stores import Stores

audit: Final = typer.Typer(help="Show the audit log.", no_args_is_help=True)

LISTED: Final = ("at", "actor", "address", "action", "subject", "changes")
MAX_LISTED: Final = 1_000


@audit.callback()
def group() -> None:
    """Show the audit log."""


@audit.command("list")
def list_command(
    actor: Annotated[
        str | None, typer.Option(help='List only changes by this user, or by an app: "app APPCODE".')
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="List only changes of rows of this table, such as `merchant`."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="ID", help="List only changes of the row with this id.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="List only changes of the last days.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED, help="Maximum number of changes.")] = 100,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List changes of apps, merchants, accounts and decisions, newest first.

    Secrets are shown as the first digits of their SHA-256.
    """

    async def newest(home: Home, store: Store, now: datetime) -> list[AuditEntry]:
        since = None if days is None else now - timedelta(days=days)
        return await store.audit_log.newest(
            actor=actor, subject_kind=kind, subject_id=subject, since=since, limit=limit, homes=(home,)
        )

    async def work(stores: Stores, now: datetime) -> tuple[list[AuditEntry], Answers[list[AuditEntry]]]:
        in_cells = in_every_cell(partial(newest, Home.CELL))
        return await newest(Home.DIRECTORY, stores.first, now), await in_cells(stores, now)

    of_directory, of_cells = with_stores(data, work)
    entries = newest_first([of_directory, *of_cells], attrgetter("at"), limit)
    if as_json:
        show_json(entries)
    else:
        show_rows([_row(entry) for entry in entries], LISTED)
    of_cells.finish()


def _row(entry: AuditEntry) -> Mapping[str, Any]:
    return {
        "at": entry.at,
        "actor": entry.actor,
        "address": entry.address,
        "action": entry.action,
        "subject": f"{entry.subject_kind} {entry.subject_id}",
        "changes": "; ".join(_changes(entry.before, entry.after)),
    }


def _changes(before: Values | None, after: Values | None) -> list[str]:
    """A text for each field. Of a new or removed row, fields without a value are left out."""
    if before is None or after is None:
        sign, values = ("+", after) if before is None else ("-", before)
        return [
            f"{sign} {name}: {_text(value)}" for name, value in (values or {}).items() if value not in EMPTY
        ]
    return [f"{name}: {_text(before[name])} \u2192 {_text(after[name])}" for name in after]


EMPTY: Final[tuple[Any, ...]] = (None, "", False, [])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
