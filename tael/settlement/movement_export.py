"""A merchant's movements and totals of a period, as a file. Sums and rows are of one snapshot, so they agree."""

from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

from tael.db.database import Database
from tael.ledger.domain.digest import beginning_of
from tael.merchants.domain.forms import InvalidValue
from tael.merchants.domain.merchant import Merchant
from tael.settlement.domain.movement import currency_totals, method_totals
from tael.settlement.domain.terms import MAX_DAY, MIN_DAY
from tael.settlement.exports import Format, Head, writer_of
from tael.settlement.movement_columns import (
    MOVEMENTS,
    method_grid,
    method_members,
    moment_cell,
    total_grid,
)
from tael.settlement.store.movements import MovementSnapshot, movement_snapshot


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days in UTC+8, both included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        """Raises InvalidValue."""
        for name, day in (("from", self.first), ("to", self.last)):
            if not MIN_DAY <= day <= MAX_DAY:
                raise InvalidValue(name, f"must be from {MIN_DAY} to {MAX_DAY}")
        if self.last < self.first:
            raise InvalidValue("to", "must not be before the first day")

    @property
    def since(self) -> datetime:
        return beginning_of(self.first)

    @property
    def until(self) -> datetime:
        """The end, exclusive."""
        return beginning_of(self.last + timedelta(days=1))


async def export_movements(
    database: Database, merchant: Merchant, period: Period, form: Format, now: datetime
) -> AsyncGenerator[bytes, None]:
    """The file, piece by piece. Raises StoreUnavailable."""
    async with movement_snapshot(database, merchant.mchid, period.since, period.until) as ledger:
        writer = writer_of(form, MOVEMENTS, await _head(ledger, merchant, period, now))
        yield writer.begin()
        async for page in ledger.pages():
            yield writer.page(page)
        yield writer.end()


async def _head(ledger: MovementSnapshot, merchant: Merchant, period: Period, now: datetime) -> Head:
    sums = await ledger.sums()
    totals, methods = currency_totals(await ledger.opening(), sums), method_totals(sums)
    facts = {
        "Merchant": merchant.name,
        "mchid": merchant.mchid,
        "Period": f"{period.first} to {period.last}, UTC+8",
        "Created": moment_cell(now),
    }
    members = {
        "mchid": merchant.mchid,
        "name": merchant.name,
        "from": period.first,
        "to": period.last,
        "created_at": moment_cell(now),
        "totals": [asdict(each) for each in totals],
        "methods": [method_members(each) for each in methods],
    }
    return Head("Account statement", facts, [total_grid(totals), method_grid(methods)], members)
