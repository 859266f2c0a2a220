"""Payouts as files: one with the movements of its period, or all whose period ends in some days."""

from collections.abc import AsyncGenerator, Mapping
from datetime import datetime

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


async def export_payouts(
    payouts: Payouts,
    names: Mapping[str, str],
    mchid: str | None,
    period: Period,
    form: Format,
    now: datetime,
) -> AsyncGenerator[bytes, None]:
    """The payouts whose period ends in `period`, oldest first. `names` are the merchants', by mchid.

    Raises StoreUnavailable.
    """
    facts = {"Periods ending": f"{period.first} to {period.last}, UTC+8", "Created": moment_cell(now)}
    members = {"from": period.first, "to": period.last, "created_at": moment_cell(now)}
    writer = writer_of(form, PAYOUTS, Head("Payouts", facts, (), members))
    yield writer.begin()
    async for page in payouts.ended_between(period.first, period.last, mchid):
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
