"""`tael incident`: events that need manual review, and the record of the review."""

from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, Final

import typer

from tael.audit_log.domain.entry import Origin
from tael.cli import inputs
from tael.cli.cell_answers import in_cell_of_number, in_cells_of_merchant, newest_first
from tael.cli.finding import DataOption, change_stores, with_stores
from tael.cli.showing import JsonOption, refused, show_json, show_members, show_rows
from tael.incidents.domain.incident import Incident
from tael.incidents.review import MAX_LISTED, list_incidents, resolve_incident
from tael.operations.store import Store

incidents: Final = typer.Typer(help="Review incidents.", no_args_is_help=True)

LISTED: Final = (
    "incident_id",
    "at",
    "mchid",
    "kind",
    "subject_id",
    "unmatched_id",
    "resolved_at",
)
IdArgument = Annotated[
    str, typer.Argument(metavar="INCIDENT", help="The incident id, as shown by `tael incident list`.")
]


@incidents.callback()
def group() -> None:
    """Review incidents."""


@incidents.command("list")
def list_command(
    mchid: Annotated[str | None, typer.Option(help="List only incidents of this merchant.")] = None,
    with_resolved: Annotated[bool, typer.Option("--all", help="Include resolved incidents.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List open incidents, newest first, at most 1000."""

    async def work(store: Store, now: datetime) -> list[Incident]:
        return list(await list_incidents(store.incidents, mchid, with_resolved=with_resolved))

    found = with_stores(data, in_cells_of_merchant(mchid, work))
    rows = [_row(incident) for incident in newest_first(found, attrgetter("at"), MAX_LISTED)]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, LISTED)
    found.finish()


@incidents.command("show")
def show(incident_id: IdArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show an incident. Its unmatched payment, if any, is shown by `tael unmatched show`."""

    async def work(store: Store, now: datetime) -> Incident | None:
        return await store.incidents.by_id(incident_id)

    incident = with_stores(data, in_cell_of_number(incident_id, work))
    if incident is None:
        raise refused(f"no incident {incident_id}")
    if as_json:
        show_json(_row(incident))
    else:
        show_members(_row(incident), "incident")


@incidents.command("resolve")
def resolve(
    incident_id: IdArgument,
    note: Annotated[str, typer.Option(help="What you found and did.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mark an incident as resolved. A return of money that is under way continues."""
    text = inputs.checked_note(note)

    async def work(store: Store, origin: Origin) -> tuple[dict[str, Any], bool] | None:
        done = await resolve_incident(store.incidents, incident_id, text, origin)
        return (_row(done.incident), done.was_open) if done else None

    result = change_stores("incident resolve", data, in_cell_of_number(incident_id, work))
    if result is None:
        raise refused(f"no incident {incident_id}")
    row, was_open = result
    if not was_open:
        raise refused(f"incident {incident_id} is already resolved: {row['resolution']}")
    if as_json:
        show_json(row)
    else:
        show_members(row, "incident")


def _row(incident: Incident) -> dict[str, Any]:
    return {
        "incident_id": incident.incident_id,
        "at": incident.at,
        "mchid": incident.mchid,
        "kind": incident.kind,
        "subject_id": incident.subject_id,
        "detail": incident.detail,
        "account_id": incident.account_id,
        "unmatched_id": incident.unmatched_id,
        "resolved_at": incident.resolved_at,
        "resolution": incident.resolution,
    }
