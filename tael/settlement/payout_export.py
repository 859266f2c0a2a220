"""Payouts as files: one with the movements of its period, or all whose period ends in some days."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import date, datetime

from tael.db.database import Database
from tael.settlement.domain.payout import Payout
from tael.settlement.exports import Format, Head, writer_of
from tael.settlement.movement_columns import MOVEMENTS, moment_cell
from tael.settlement.movement_export import Period
from tael.settlement.payout_columns import PAYOUTS, NamedPayout, calculation, payout_members
from tael.settlement.store.movements import movement_snapshot
from tael.settlement.store.payouts import Payouts


async def export_payout(
    database: Database, name: str, payout: Payout, form: Format
) -> AsyncGenerator[bytes, None]:
    """One payout: how its amount results, and the movements of its period. `name` is the merchant's.

    Raises StoreUnavailable.
    """
    period = Period(payout.first_day, payout.last_day)
    async with movement_snapshot(
        database, payout.mchid, period.since, period.until, counted_in=payout.currency
    ) as ledger:
        writer = writer_of(form, MOVEMENTS, _head(name, payout))
        yield writer.begin()
        async for page in ledger.pages():
            yield writer.page(page)
        yield writer.end()


async def payouts_ended(
    tables: Sequence[Payouts], period: Period, mchid: str | None
) -> AsyncIterator[Sequence[Payout]]:
    """Pages of the payouts in all these tables whose period ends in `period`, oldest first. Raises StoreUnavailable."""
    streams = [table.ended_between(period.first, period.last, mchid) for table in tables]
    read = await asyncio.gather(*(anext(stream, []) for stream in streams))
    held = {place: page for place, page in enumerate(read) if page}
    while held:
        # What is read later of any table comes after the last row of its page.
        first_end = min(_place_of(page[-1]) for page in held.values())
        yield sorted(
            (row for page in held.values() for row in page if _place_of(row) <= first_end), key=_place_of
        )
        for place, page in [*held.items()]:
            rest = [row for row in page if _place_of(row) > first_end]
            held[place] = rest or await anext(streams[place], [])
            if not held[place]:
                del held[place]


def _place_of(payout: Payout) -> tuple[date, str, str, int]:
    """Where it is in the order of an export."""
    return payout.last_day, payout.mchid, payout.currency, payout.number


async def export_payouts(
    pages: AsyncIterator[Sequence[Payout]],
    names: Mapping[str, str],
    period: Period,
    form: Format,
    now: datetime,
) -> AsyncGenerator[bytes, None]:
    """Payouts whose period ends in `period`, as they come. `names` are the merchants', by mchid.

    Raises StoreUnavailable.
    """
    facts = {"Periods ending": f"{period.first} to {period.last}, UTC+8", "Created": moment_cell(now)}
    members = {"from": period.first, "to": period.last, "created_at": moment_cell(now)}
    writer = writer_of(form, PAYOUTS, Head("Payouts", facts, (), members))
    yield writer.begin()
    async for page in pages:
        yield writer.page([NamedPayout(names.get(payout.mchid, ""), payout) for payout in page])
    yield writer.end()


def _head(name: str, payout: Payout) -> Head:
    facts = {
        "Merchant": name,
        "mchid": payout.mchid,
        "Payout": payout.payout_id,
        "Period": f"{payout.first_day} to {payout.last_day}, UTC+8",
        "Currency": payout.currency,
        "State": payout.state.value,
        "Paid": moment_cell(payout.paid_at) if payout.paid_at else "",
        "Bank reference": payout.bank_reference,
    }
    return Head("Payout", facts, [calculation(payout)], {"name": name, "payout": payout_members(payout)})
