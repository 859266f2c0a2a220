"""`tael incident`: what a person has to look at, and that somebody has."""

from datetime import datetime
from typing import Annotated, Any, Final

import typer

from tael.base.money import Money
from tael.cli.finding import DataOption, with_store
from tael.cli.showing import UNUSABLE, JsonOption, refused, show_json, show_members, show_rows
from tael.incidents.domain.incident import Incident
from tael.incidents.review import list_incidents, resolve_incident
from tael.ledger.domain.entries import Entry
from tael.ledger.store.entries import entries_of
from tael.operations.store import Store

incidents: Final = typer.Typer(help="What a person has to look at.", no_args_is_help=True)

LISTED: Final = (
    "incident_id",
    "at",
    "mchid",
    "kind",
    "subject_id",
    "amount",
    "unmatched_state",
    "resolved_at",
)
IdArgument = Annotated[str, typer.Argument(metavar="INCIDENT", help="Its name in the list.")]


@incidents.callback()
def family() -> None:
    """What a person has to look at."""


@incidents.command("list")
def list_command(
    mchid: Annotated[str | None, typer.Option(help="Only those of this merchant.")] = None,
    with_resolved: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List open incidents, newest first."""

    async def work(store: Store, now: datetime) -> list[Incident]:
        return list(await list_incidents(store.incidents, mchid, with_resolved=with_resolved))

    rows = [_row(incident) for incident in with_store(data, work)]
    if as_json:
        show_json(rows)
    else:
        show_rows([_with_money(row) for row in rows], LISTED)


@incidents.command("show")
def show(incident_id: IdArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show an incident, and the ledger entries of its unmatched payments."""

    async def work(store: Store, now: datetime) -> tuple[Incident, list[Entry]] | None:
        incident = await store.incidents.by_id(incident_id)
        if incident is None:
            return None
        causes = [incident.unmatched_syssn] if incident.unmatched_syssn else []
        return incident, await entries_of(store.database, incident.mchid, causes)

    found = with_store(data, work)
    if found is None:
        raise refused(f"no incident {incident_id}")
    incident, entries = found
    moved = [
        {
            "kind": e.kind,
            "debit": e.debit,
            "credit": e.credit,
            "amount_minor": e.amount.amount_minor,
            "at": e.at,
        }
        for e in entries
    ]
    if as_json:
        show_json(_row(incident) | {"ledger": moved})
        return
    show_members(_with_money(_row(incident)), "incident")
    if moved:
        show_rows(moved, list(moved[0]), "ledger")


@incidents.command("resolve")
def resolve(
    incident_id: IdArgument,
    note: Annotated[str, typer.Option(help="What was found and done.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that an incident was dealt with. Money that is being sent back goes its way all the same."""
    if not note.strip():
        raise refused("--note says what was found and done; it is empty", UNUSABLE)

    async def work(store: Store, now: datetime) -> tuple[dict[str, Any], bool] | None:
        done = await resolve_incident(store.incidents, incident_id, note, now)
        return (_row(done.incident), done.was_open) if done else None

    found = with_store(data, work)
    if found is None:
        raise refused(f"no incident {incident_id}")
    row, was_open = found
    if not was_open:
        raise refused(f"incident {incident_id} was resolved before: {row['resolution']}")
    if as_json:
        show_json(row)
    else:
        show_members(_with_money(row), "incident")


def _row(incident: Incident) -> dict[str, Any]:
    return {
        "incident_id": incident.incident_id,
        "at": incident.at,
        "mchid": incident.mchid,
        "kind": incident.kind,
        "subject_id": incident.subject_id,
        "detail": incident.detail,
        "account_id": incident.account_id,
        "amount_minor": incident.amount.amount_minor if incident.amount else None,
        "currency": incident.amount.currency if incident.amount else None,
        "wallet_ref": incident.wallet_ref,
        "payer_ref": incident.payer_ref,
        "unmatched_state": incident.unmatched_state,
        "unmatched_syssn": incident.unmatched_syssn,
        "wallet_code": incident.wallet_code,
        "return_ref": incident.return_ref,
        "returned_at": incident.returned_at,
        "check_at": incident.check_at,
        "resolved_at": incident.resolved_at,
        "resolution": incident.resolution,
    }


def _with_money(row: dict[str, Any]) -> dict[str, Any]:
    """For people: the amount in major units."""
    has_amount = row["amount_minor"] is not None
    amount = str(Money(row["amount_minor"], row["currency"])) if has_amount else None
    return {name: value for name, value in row.items() if name not in ("amount_minor", "currency")} | {
        "amount": amount
    }
