"""Options and output of the commands that export: to standard output, or to a new file."""

import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from tael.cli import inputs
from tael.cli.cell_answers import Answers, in_cell_of_merchant, in_cell_of_number, in_cells_of_merchant
from tael.cli.finding import DataOption, with_stores
from tael.cli.showing import UNUSABLE, refused
from tael.operations.store import Store
from tael.settlement.domain.payout import Payout
from tael.settlement.exports import Format
from tael.settlement.movement_export import Period, export_movements
from tael.settlement.payout_export import export_payout, export_payouts, payouts_ended
from tael.settlement.store.payouts import Payouts
from tael.stores import Stores

FormatOption = Annotated[
    Format, typer.Option("--format", help="For spreadsheets, for programs, or for printing.")
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="Write to this new file instead of standard output."),
]
FromOption = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day, UTC+8.")]
ToOption = Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day, UTC+8.")]


def export_statement(
    merchant: Annotated[str, typer.Option(metavar="MCHID", help="Whose movements.")],
    first: FromOption,
    last: ToOption,
    form: FormatOption,
    output: OutputOption = None,
    data: DataOption = None,
) -> None:
    """Export a merchant's account statement: its movements in the ledger, and totals in JSON and HTML."""
    with inputs.options_named():
        period = Period(first.date(), last.date())

    async def work(store: Store, now: datetime) -> None:
        found = await store.merchants.merchant(merchant)
        if found is None:
            raise refused(f"no merchant {merchant}")
        await write_export(export_movements(store.database, found, period, form, now), output)

    with_stores(data, in_cell_of_merchant(merchant, work))


def export_settlement(
    form: FormatOption,
    payout: Annotated[
        str | None,
        typer.Argument(metavar="PAYOUT", help="Export this payout with the movements of its period."),
    ] = None,
    first: Annotated[
        datetime | None,
        typer.Option(
            "--from",
            formats=["%Y-%m-%d"],
            help="Export payouts whose period ends on this day or later, UTC+8.",
        ),
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d"], help="The last day on which their period ends, UTC+8."),
    ] = None,
    merchant: Annotated[str | None, typer.Option(metavar="MCHID", help="Only of this merchant.")] = None,
    output: OutputOption = None,
    data: DataOption = None,
) -> None:
    """Export one payout with the movements of its period, or all payouts whose period ends in some days."""
    if payout is not None:
        if (first, last, merchant) != (None, None, None):
            raise refused("give PAYOUT, or --from and --to, not both", UNUSABLE)
        _export_one(payout, form, output, data)
        return
    if first is None or last is None:
        raise refused("give PAYOUT, or --from and --to", UNUSABLE)
    with inputs.options_named():
        period = Period(first.date(), last.date())

    async def work(stores: Stores, now: datetime) -> Answers[Payouts]:
        names = {each.mchid: each.name for each in await stores.first.merchants.all()}
        if merchant is not None and merchant not in names:
            raise refused(f"no merchant {merchant}")
        found = await in_cells_of_merchant(merchant, _readable_payouts)(stores, now)
        pages = payouts_ended(list(found), period, merchant)
        await write_export(export_payouts(pages, names, period, form, now), output)
        return found

    with_stores(data, work).finish()


async def _readable_payouts(store: Store, now: datetime) -> Payouts:
    """Those of a cell that can be reached now: one that is lost while it is read ends the export."""
    await store.database.execute("SELECT FROM payout LIMIT 0")
    return store.payouts


def _export_one(payout_id: str, form: Format, output: Path | None, data: Path | None) -> None:
    async def work(store: Store, now: datetime) -> Payout | None:
        payout = await store.payouts.by_id(payout_id)
        if payout is not None:
            merchant = await store.merchants.merchant(payout.mchid)
            name = merchant.name if merchant else ""
            await write_export(export_payout(store.database, name, payout, form), output)
        return payout

    if with_stores(data, in_cell_of_number(payout_id, work)) is None:
        raise refused(f"no payout {payout_id}")


async def write_export(pieces: AsyncGenerator[bytes, None], output: Path | None) -> None:
    """Write the pieces as they come. An incomplete file is removed."""
    with _target(output) as target:
        async with aclosing(pieces):
            async for piece in pieces:
                target.write(piece)
        target.flush()


@contextmanager
def _target(output: Path | None) -> Iterator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        return
    try:
        target = output.open("xb")
    except OSError as error:
        raise _not_written(output, error) from error
    try:
        with target:
            yield target
    except BaseException as error:
        output.unlink(missing_ok=True)
        raise (_not_written(output, error) if isinstance(error, OSError) else error) from None


def _not_written(output: Path, error: OSError) -> typer.Exit:
    return refused(f"--output: {output} cannot be written: {error.strerror}", UNUSABLE)
