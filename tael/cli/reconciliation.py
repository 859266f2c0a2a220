"""`tael reconcile`: the wallets' statements against our records, and the differences between them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Final

import typer

from tael.audit_log.domain.entry import Origin
from tael.channels.base import Channel, note_nothing
from tael.cli import inputs
from tael.cli.cell_answers import Answers, in_cell_of_number, in_cells_of_account, newest_first
from tael.cli.finding import DataOption, change_stores, found_settings, with_channels, with_stores
from tael.cli.origin import origin_of_command
from tael.cli.reconciliation_rows import (
    difference_row,
    run_row,
    shown_run,
    side_by_side,
)
from tael.cli.showing import UNUSABLE, JsonOption, refused, show_json, show_members, show_rows
from tael.merchants.domain.account import UnknownProtocol
from tael.operations.store import Store
from tael.reconciliation.domain.difference import Difference, DifferenceKind
from tael.reconciliation.domain.reconciliation import Reconciliation
from tael.reconciliation.review import (
    MAX_LISTED,
    Decided,
    DifferenceFilter,
    assign_difference,
    list_differences,
    resolve_difference,
)
from tael.reconciliation.runs import reconcile_statement
from tael.services import ServiceSettings, clock_of, payments_over, reconciliation_over
from tael.stores import Stores

reconciliation: Final = typer.Typer(
    help="Compare the wallets' statements with our records.", no_args_is_help=True
)

RUNS: Final = ("day", "account_id", "kind", "lines", "matched", "theirs", "ours", "differences")
LISTED: Final = ("difference_id", "day", "account_id", "kind", "type", "number", "detail", "owner", "state")
MAX_OWNER: Final = 100
DifferenceArgument = Annotated[
    str, typer.Argument(metavar="DIFFERENCE", help="The id, as shown by `tael reconcile list`.")
]
DayOption = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only statements of this day, UTC+8.")
]
AccountOption = Annotated[str | None, typer.Option(help="Only those of this account.")]


@reconciliation.callback()
def group() -> None:
    """Compare the wallets' statements with our records."""


@reconciliation.command("run")
def run_command(
    account: AccountOption = None,
    day: DayOption = None,
    first: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="Only statements of this day or later, UTC+8."),
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d"], help="Only statements of this day or earlier, UTC+8."),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reconcile current statements now, the oldest first.

    `tael work` does so whenever a statement is stored. Wallets are queried about news of money.
    """
    if day is not None and (first or last):
        raise refused("give either --day or --from and --to", UNUSABLE)
    begin, end = (first, last) if day is None else (day, day)
    done = _run(account, begin.date() if begin else None, end.date() if end else None, data)
    runs = sorted(chain.from_iterable(done), key=attrgetter("day"))
    if as_json:
        show_json([run_row(each) for each in runs])
    else:
        show_rows([shown_run(each) for each in runs], RUNS)
    done.finish()


def _run(
    account_id: str | None, first: date | None, last: date | None, data: Path | None
) -> Answers[list[Reconciliation]]:
    async def work(
        stores: Stores, channels: Mapping[str, Channel], now: datetime
    ) -> Answers[list[Reconciliation]]:
        if account_id is not None and await stores.first.accounts.by_id(account_id) is None:
            raise refused(f"no account {account_id}")

        async def run(store: Store, origin: Origin) -> list[Reconciliation]:
            settings = found_settings(data)
            payments = payments_over(store, channels, clock_of(settings), ServiceSettings.of(settings))
            of_cell = stores.of_cell.map(lambda each: each.payments).of
            context = reconciliation_over(store, replace(payments, of_cell=of_cell))
            statements = store.reconciliations.current_statements(account_id, first, last)
            runs = [await reconcile_statement(each, context, origin) async for each in statements]
            return [each.run for each in runs if each is not None]

        return await in_cells_of_account(account_id, run)(stores, origin_of_command("reconcile run", now))

    try:
        return with_channels(data, work, note_nothing)
    except UnknownProtocol as error:
        raise refused(str(error), UNUSABLE) from error


@reconciliation.command("list")
def list_command(
    with_resolved: Annotated[
        bool, typer.Option("--all/--open", help="Include resolved ones. Default: only open ones.")
    ] = False,
    account: AccountOption = None,
    day: DayOption = None,
    kind: Annotated[DifferenceKind | None, typer.Option(help="Only those of this kind.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only those of this owner.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List differences, those that were found last first, at most 1000."""
    of = DifferenceFilter(account, day.date() if day else None, kind, owner)

    async def work(store: Store, now: datetime) -> list[Difference]:
        return list(await list_differences(store.differences, of, with_resolved=with_resolved))

    listed = with_stores(data, in_cells_of_account(account, work))
    found = newest_first(listed, attrgetter("found_at", "day"), MAX_LISTED)
    if as_json:
        show_json([difference_row(each) for each in found])
    else:
        show_rows([difference_row(each) for each in found], LISTED)
    listed.finish()


@reconciliation.command("show")
def show(difference_id: DifferenceArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show a difference with the evidence of both sides, and what to do next."""

    async def work(store: Store, now: datetime) -> Difference | None:
        return await store.differences.by_id(difference_id)

    found = with_stores(data, in_cell_of_number(difference_id, work))
    if found is None:
        raise refused(f"no difference {difference_id}")
    _show(found, as_json)


@reconciliation.command("assign")
def assign(
    difference_id: DifferenceArgument,
    owner: Annotated[str, typer.Option(help="Who works on it.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record who works on an open difference."""
    name = inputs.checked_note(owner)
    if len(name) > MAX_OWNER:
        raise refused(f"--owner: at most {MAX_OWNER} characters", UNUSABLE)

    async def work(store: Store, origin: Origin) -> Decided | None:
        return await assign_difference(store.differences, difference_id, name, origin)

    decided = change_stores("reconcile assign", data, in_cell_of_number(difference_id, work))
    _show(_decided(difference_id, decided), as_json)


@reconciliation.command("resolve")
def resolve(
    difference_id: DifferenceArgument,
    note: Annotated[str, typer.Option(help="What you found and did.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Resolve an open difference for good: no later run opens it again."""
    text = inputs.checked_note(note)

    async def work(store: Store, origin: Origin) -> Decided | None:
        return await resolve_difference(store.differences, difference_id, text, origin)

    decided = change_stores("reconcile resolve", data, in_cell_of_number(difference_id, work))
    _show(_decided(difference_id, decided), as_json)


def _decided(difference_id: str, decided: Decided | None) -> Difference:
    if decided is None:
        raise refused(f"no difference {difference_id}")
    if not decided.was_open:
        raise refused(f"difference {difference_id} is already resolved: {decided.difference.resolution}")
    return decided.difference


def _show(difference: Difference, as_json: bool) -> None:
    if as_json:
        show_json(difference_row(difference))
        return
    members = difference_row(difference)
    show_members(
        {name: value for name, value in members.items() if name not in ("theirs", "ours")}, "difference"
    )
    show_rows(side_by_side(difference), ("member", "theirs", "ours"), "evidence")
