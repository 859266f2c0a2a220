"""`tael settlement`: the terms of payout, batches of payouts, and what the bank has paid."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, Final

import typer

from tael.audit_log.domain.entry import Origin
from tael.base.money import Money
from tael.cli import inputs
from tael.cli.cell_answers import (
    in_cell_of_merchant,
    in_cell_of_number,
    in_cells_of_merchant,
    newest_first,
)
from tael.cli.exports import export_settlement
from tael.cli.finding import DataOption, change_stores, with_stores
from tael.cli.showing import JsonOption, refused, show_json, show_members, show_rows
from tael.merchants.domain.forms import check_note
from tael.operations.store import Store
from tael.settlement.domain.payout import Payout, PayoutState
from tael.settlement.domain.terms import Cycle, PayoutTerms, Weekday
from tael.settlement.exports import Cell
from tael.settlement.payout_columns import calculation, payout_members
from tael.settlement.run import Run, run_payouts
from tael.settlement.store.payouts import MAX_LISTED, NotPayable, Waiting
from tael.settlement.terms import NoTerms, TermsChange, remove_terms, set_terms

settlement: Final = typer.Typer(help="Pay out to merchants.", no_args_is_help=True)

LISTED: Final = ("payout_id", "mchid", "first_day", "last_day", "paid", "amount", "carried", "state")
WAITING: Final = ("mchid", "currency", "first_day", "last_day")
TERMS: Final = ("currency", "cycle", "weekday", "minimum", "reserve_ppm", "reserve_days", "since")
PayoutArgument = Annotated[
    str, typer.Argument(metavar="PAYOUT", help="The id, as shown by `tael settlement list`.")
]
DAY: Final = ["%Y-%m-%d"]


@settlement.callback()
def group() -> None:
    """Pay out to merchants."""


@settlement.command("terms")
def terms_command(
    mchid: Annotated[str, typer.Argument(metavar="MCHID", help="The merchant.")],
    currency: Annotated[str | None, typer.Option(help="Default: the merchant's.")] = None,
    cycle: Annotated[Cycle | None, typer.Option(help="How long a period is.")] = None,
    weekday: Annotated[
        Weekday | None, typer.Option(help="The last day of a period, with `--cycle weekly`.")
    ] = None,
    minimum_minor: Annotated[
        int | None, typer.Option(help="Carry over a smaller amount, in minor units. Default: 0.")
    ] = None,
    reserve_ppm: Annotated[
        int | None,
        typer.Option(
            help="Hold this part of what was paid and not returned, in parts per million. Default: 0."
        ),
    ] = None,
    reserve_days: Annotated[
        int | None,
        typer.Option(
            help="Release a reserve with the first period that ends so many days later. Default: 0."
        ),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=DAY, help="First day of the first period, UTC+8. Default: today."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="End the payouts in this currency.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show or change a merchant's terms of payout. Without a change, show those of all currencies."""
    change = TermsChange(
        cycle, weekday, minimum_minor, reserve_ppm, reserve_days, since.date() if since else None
    )
    if remove or change != TermsChange():

        async def apply(store: Store, origin: Origin) -> None:
            await _change_terms(store, mchid, currency, None if remove else change, origin)

        with inputs.options_named():
            change_stores("settlement terms", data, in_cell_of_merchant(mchid, apply))

    async def work(store: Store, now: datetime) -> Sequence[PayoutTerms]:
        return await store.payout_terms.of_merchant(mchid)

    rows = with_stores(data, in_cell_of_merchant(mchid, work))
    if as_json:
        show_json(rows)
    else:
        show_rows([_terms_row(each) for each in rows], TERMS)


async def _change_terms(
    store: Store, mchid: str, currency: str | None, change: TermsChange | None, origin: Origin
) -> None:
    merchant = await store.merchants.merchant(mchid)
    if merchant is None:
        raise refused(f"no merchant {mchid}")
    chosen = currency or merchant.currency
    if change is not None:
        await set_terms(store.payout_terms, mchid, chosen, change, origin)
        return
    try:
        await remove_terms(store.payout_terms, mchid, chosen, origin)
    except NoTerms as error:
        raise refused(f"{mchid} has no terms in {chosen}") from error


@settlement.command("run")
def run_command(
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=DAY, help="Make payouts of periods that end by this day, UTC+8. Default: yesterday."
        ),
    ] = None,
    merchant: Annotated[str | None, typer.Option(metavar="MCHID", help="Only of this merchant.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the payouts of all periods that have ended, each once. A period waits until its days are closed."""
    last = until.date() if until else None

    async def work(store: Store, origin: Origin) -> Run:
        if merchant is not None and not await store.payout_terms.of_merchant(merchant):
            raise refused(f"no terms of payout for {merchant}")
        return await run_payouts(store.payouts, store.payout_terms, merchant, last, origin)

    runs = change_stores("settlement run", data, in_cells_of_merchant(merchant, work))
    run = Run(
        list(chain.from_iterable(each.payouts for each in runs)),
        list(chain.from_iterable(each.waiting for each in runs)),
    )
    if as_json:
        show_json({"payouts": [payout_members(each) for each in run.payouts], "waiting": run.waiting})
    else:
        _show_run(run)
    runs.finish()


def _show_run(run: Run) -> None:
    show_rows([_row(each) for each in run.payouts], LISTED, "made")
    if run.waiting:
        show_rows([_waiting_row(each) for each in run.waiting], WAITING, "waiting for the daily close")


@settlement.command("list")
def list_command(
    merchant: Annotated[
        str | None, typer.Option(metavar="MCHID", help="List only those of this merchant.")
    ] = None,
    state: Annotated[PayoutState | None, typer.Option(help="List only those in this state.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List payouts, the newest periods first, at most 1000."""

    async def work(store: Store, now: datetime) -> list[Payout]:
        return await store.payouts.newest(merchant, state)

    listed = with_stores(data, in_cells_of_merchant(merchant, work))
    payouts = newest_first(listed, attrgetter("last_day"), MAX_LISTED)
    if as_json:
        show_json([payout_members(each) for each in payouts])
    else:
        show_rows([_row(each) for each in payouts], LISTED)
    listed.finish()


@settlement.command("show")
def show_command(payout: PayoutArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show how the amount of a payout results from its period."""

    async def work(store: Store, now: datetime) -> Payout | None:
        return await store.payouts.by_id(payout)

    found = with_stores(data, in_cell_of_number(payout, work))
    if found is None:
        raise refused(f"no payout {payout}")
    _show(found, as_json)


@settlement.command("paid")
def paid_command(
    payout: PayoutArgument,
    reference: Annotated[str, typer.Option(help="The bank's reference of the transfer.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record that the bank has paid a payout, once."""
    with inputs.options_named():
        checked = check_note(reference, "reference")

    async def work(store: Store, origin: Origin) -> Payout | None:
        return await store.payouts.mark_paid(payout, checked, origin)

    try:
        found = change_stores("settlement paid", data, in_cell_of_number(payout, work))
    except NotPayable as error:
        row = error.payout
        why = (
            f"was paid with {row.bank_reference}"
            if row.bank_reference
            else "pays nothing: it is carried over"
        )
        raise refused(f"payout {payout} {why}") from error
    if found is None:
        raise refused(f"no payout {payout}")
    _show(found, as_json)


settlement.command("export")(export_settlement)


def _show(payout: Payout, as_json: bool) -> None:
    members = payout_members(payout)
    if as_json:
        show_json(members)
        return
    facts = {
        **{
            name: members[name] for name in ("payout_id", "mchid", "number", "first_day", "last_day", "state")
        },
        **{str(label): _amount(count, amount, payout) for label, count, amount in calculation(payout).rows},
        **{name: value for name, value in members["terms"].items() if name != "minimum_minor"},
        "minimum": Money(payout.minimum_minor, payout.currency),
        **{name: members[name] for name in ("created_at", "paid_at", "bank_reference")},
    }
    show_members(facts, "payout")


def _amount(count: Cell, amount: Cell, payout: Payout) -> str:
    return f"{amount} {payout.currency}" + ("" if count is None else f" ({count})")


def _row(payout: Payout) -> Mapping[str, Any]:
    amounts = {"paid": payout.paid_minor, "amount": payout.amount_minor, "carried": payout.carried_minor}
    shown = {name: str(Money(minor, payout.currency)) for name, minor in amounts.items()}
    return {**payout_members(payout), **shown}


def _waiting_row(waiting: Waiting) -> Mapping[str, Any]:
    return {name: getattr(waiting, name) for name in WAITING}


def _terms_row(terms: PayoutTerms) -> Mapping[str, Any]:
    names = ("currency", "cycle", "weekday", "reserve_ppm", "reserve_days", "since")
    minimum = str(Money(terms.minimum_minor, terms.currency))
    return {**{name: getattr(terms, name) for name in names}, "minimum": minimum}
