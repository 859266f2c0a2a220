"""`tael unmatched`: money that no order explains, and the decision about what is held."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tael.audit_log.domain.entry import Origin
from tael.base.money import Money
from tael.cli import inputs
from tael.cli.cell_answers import in_cell_of_number, in_cells_of_merchant, newest_first
from tael.cli.finding import DataOption, change_stores, with_stores
from tael.cli.showing import JsonOption, refused, show_json, show_members, show_rows
from tael.ledger.domain.entries import Entry
from tael.ledger.store.entries import entries_of
from tael.operations.store import Store
from tael.unmatched.domain.unmatched import UnmatchedPayment
from tael.unmatched.review import MAX_LISTED, Decided, keep_unmatched, list_unmatched, return_unmatched
from tael.unmatched.store.unmatched import UnmatchedPayments

unmatched: Final = typer.Typer(help="Decide about unmatched payments.", no_args_is_help=True)

LISTED: Final = ("unmatched_id", "at", "mchid", "kind", "subject_id", "amount", "state", "booked_at")
IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The id, as shown by `tael unmatched list` or in an incident.")
]
#: One of the decisions of `tael/unmatched/review.py`.
Decision = Callable[[UnmatchedPayments, str, str, Origin], Awaitable[Decided | None]]


@unmatched.callback()
def group() -> None:
    """Decide about unmatched payments."""


@unmatched.command("list")
def list_command(
    mchid: Annotated[str | None, typer.Option(help="List only those of this merchant.")] = None,
    with_decided: Annotated[
        bool,
        typer.Option("--all", help="Include those that are returned, kept, voided or refuted."),
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List unmatched payments that are not finally decided, newest first, at most 1000."""

    async def work(store: Store, now: datetime) -> list[UnmatchedPayment]:
        return list(await list_unmatched(store.unmatched_payments, mchid, with_decided=with_decided))

    listed = with_stores(data, in_cells_of_merchant(mchid, work))
    rows = [_row(each) for each in newest_first(listed, attrgetter("at"), MAX_LISTED)]
    if as_json:
        show_json(rows)
    else:
        show_rows([_with_money(row) for row in rows], LISTED)
    listed.finish()


@unmatched.command("show")
def show(unmatched_id: IdArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show an unmatched payment and its ledger entries."""

    async def work(store: Store, now: datetime) -> tuple[UnmatchedPayment, list[Entry]] | None:
        found = await store.unmatched_payments.by_id(unmatched_id)
        if found is None:
            return None
        causes = [found.syssn] if found.syssn else []
        return found, await entries_of(store.database, found.mchid, causes)

    result = with_stores(data, in_cell_of_number(unmatched_id, work))
    if result is None:
        raise refused(f"no unmatched payment {unmatched_id}")
    found, entries = result
    ledger = [
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
        show_json(_row(found) | {"ledger": ledger})
        return
    show_members(_with_money(_row(found)), "unmatched payment")
    if ledger:
        show_rows(ledger, list(ledger[0]), "ledger")


@unmatched.command("return")
def return_command(
    unmatched_id: IdArgument,
    note: Annotated[
        str, typer.Option(help="What you found. It resolves the incidents once the money is returned.")
    ] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Return a held unmatched payment to the payer.

    `tael work` queries the wallet's record once more and then requests the refund.
    """
    _decide(
        "unmatched return",
        return_unmatched,
        unmatched_id,
        inputs.checked_note(note) if note else "",
        data,
        as_json,
    )


@unmatched.command("keep")
def keep_command(
    unmatched_id: IdArgument,
    note: Annotated[str, typer.Option(help="Why it is not returned. Its incidents are resolved with it.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep an unmatched payment that is held, or that the wallet still refuses to return after a day. It is final."""
    _decide("unmatched keep", keep_unmatched, unmatched_id, inputs.checked_note(note), data, as_json)


def _decide(
    command: str, decision: Decision, unmatched_id: str, note: str, data: Path | None, as_json: bool
) -> None:
    async def work(store: Store, origin: Origin) -> Decided | None:
        return await decision(store.unmatched_payments, unmatched_id, note, origin)

    decided = change_stores(command, data, in_cell_of_number(unmatched_id, work))
    if decided is None:
        raise refused(f"no unmatched payment {unmatched_id}")
    if decided.refusal:
        raise refused(f"unmatched payment {unmatched_id}: {decided.refusal}")
    row = _row(decided.unmatched)
    if as_json:
        show_json(row)
    else:
        show_members(_with_money(row), "unmatched payment")


def _row(found: UnmatchedPayment) -> dict[str, Any]:
    return {
        "unmatched_id": found.unmatched_id,
        "at": found.at,
        "mchid": found.mchid,
        "kind": found.kind,
        "subject_id": found.subject_id,
        "account_id": found.account_id,
        "amount_minor": found.amount.amount_minor if found.amount else None,
        "currency": found.amount.currency if found.amount else None,
        "wallet_ref": found.wallet_ref,
        "payer_ref": found.payer_ref,
        "state": found.state,
        "syssn": found.syssn,
        "booked_at": found.booked_at,
        "asked_at": found.asked_at,
        "wallet_code": found.wallet_code,
        "return_ref": found.return_ref,
        "returned_at": found.returned_at,
        "check_at": found.check_at,
        "reason": found.reason,
        "note": found.note,
    }


def _with_money(row: dict[str, Any]) -> dict[str, Any]:
    """For the tables: the amount in major units."""
    has_amount = row["amount_minor"] is not None
    amount = str(Money(row["amount_minor"], row["currency"])) if has_amount else None
    return {name: value for name, value in row.items() if name not in ("amount_minor", "currency")} | {
        "amount": amount
    }
