"""The table `payout`: each row is written with its ledger entries and its audit entry in one commit.

A run locks the terms, so that two runs make the batches of a merchant and currency one after the other; unique keys
forbid the rest. Only closed days are read. They gain no entries, so the sums of a batch are final.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from tael.audit_log.domain.entry import Origin
from tael.audit_log.store.entries import write_change
from tael.db.database import Database
from tael.db.tables import Home, Table, write_rows
from tael.ledger.domain.digest import beginning_of
from tael.ledger.store.entries import write_entries
from tael.settlement.domain.payout import (
    OF_PAYOUTS,
    KindSum,
    Payout,
    PayoutState,
    Slot,
    new_payout,
    paid_out,
    payout_entries,
    transfer_entry,
)
from tael.settlement.domain.terms import PayoutTerms, period_end
from tael.settlement.store.terms import locked_terms

if TYPE_CHECKING:
    from tael.db.database import Connection

MAX_LISTED: Final = 1_000
PAGE: Final = 1_000
PAYOUT: Final = Table("payout", Home.CELL, Payout, ("mchid", "payout_id"))
INSERT: Final = PAYOUT.insert_one()
MARK_PAID: Final = PAYOUT.update_one(("state", "paid_at", "bank_reference"))
SELECT: Final = f"SELECT {PAYOUT.select} FROM payout"
NEWEST: Final = f"{SELECT} WHERE mchid = $1 AND currency = $2 ORDER BY number DESC LIMIT 1"
BY_ID: Final = f"{SELECT} WHERE payout_id = $1"
LOCK: Final = f"{SELECT} WHERE payout_id = $1 FOR UPDATE"
LIST: Final = f"""
{SELECT} WHERE ($1::text IS NULL OR mchid = $1) AND ($2::text IS NULL OR state = $2)
ORDER BY last_day DESC, mchid, currency, number DESC LIMIT {MAX_LISTED}
"""
#: $3 is null for all merchants.
ENDED_BETWEEN: Final = f"""
{SELECT} WHERE last_day BETWEEN $1 AND $2 AND ($3::text IS NULL OR mchid = $3)
  AND (last_day, mchid, currency, number) > ($4, $5, $6, $7)
ORDER BY last_day, mchid, currency, number LIMIT {PAGE}
"""
#: A day has its digest once all transactions that might have written into it are over (`ledger/store/digests.py`).
IS_CLOSED: Final = "SELECT 1 FROM daily_close WHERE mchid = $1 AND next_day > $2 AND closed_until >= $3"
SUMS: Final = """
SELECT kind, credit = $4 AS is_in, count(*) AS count, sum(amount_minor)::bigint AS amount_minor
FROM ledger_entry
WHERE mchid = $1 AND at >= $2 AND at < $3 AND $4 IN (debit, credit) AND kind <> ALL($5)
GROUP BY 1, 2
"""
#: Reserves whose days end by $3, the last day of this period, and had not ended by $4, that of the batch before ($5).
RELEASED: Final = """
SELECT coalesce(sum(reserve_held_minor), 0)::bigint AS released_minor FROM payout
WHERE mchid = $1 AND currency = $2 AND last_day + reserve_days <= $3
  AND (last_day + reserve_days > $4 OR number = $5)
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch that cannot be made yet: the last day of its period is not closed."""

    mchid: str
    currency: str
    first_day: date
    last_day: date


class NotPayable(Exception):
    """The payout is not in state CREATED. `payout` is its present row."""

    def __init__(self, payout: Payout) -> None:
        super().__init__(payout.state.value)
        self.payout = payout


class Payouts:
    """The payouts of all merchants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_next(
        self, mchid: str, currency: str, until: date, payout_id: str, origin: Origin
    ) -> Payout | Waiting | None:
        """Make the next batch under `payout_id`. None if no period ends by `until`, or if there are no terms."""
        async with self._database.transaction() as connection:
            terms = await locked_terms(connection, mchid, currency)
            if terms is None:
                return None
            slot = await _next_slot(connection, terms)
            if slot.last_day > until:
                return None
            end = beginning_of(slot.last_day + timedelta(days=1))
            if not await connection.fetch(IS_CLOSED, mchid, slot.last_day, end):
                return Waiting(mchid, currency, slot.first_day, slot.last_day)
            sums = await _sums(connection, terms, beginning_of(slot.first_day), end)
            payout = new_payout(terms, slot, sums, payout_id, origin.at)
            await write_rows(connection, INSERT, 1, *PAYOUT.values(payout, PAYOUT.columns))
            await write_entries(connection, payout_entries(payout))
            await write_change(connection, origin, PAYOUT, payout_id, None, payout)
        return payout

    async def mark_paid(self, payout_id: str, bank_reference: str, origin: Origin) -> Payout | None:
        """Record the bank transfer, once. None if there is no such payout. Raises NotPayable."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(LOCK, payout_id)
            if not rows:
                return None
            before = PAYOUT.read(rows[0])
            if before.state is not PayoutState.CREATED:
                raise NotPayable(before)
            after = paid_out(before, bank_reference, origin.at)
            columns = ("mchid", "payout_id", "state", "paid_at", "bank_reference")
            await connection.execute(MARK_PAID, *PAYOUT.values(after, columns))
            await write_entries(connection, [transfer_entry(after, origin.at)])
            await write_change(connection, origin, PAYOUT, payout_id, before, after)
        return after

    async def by_id(self, payout_id: str) -> Payout | None:
        rows = await self._database.fetch(BY_ID, payout_id)
        return PAYOUT.read(rows[0]) if rows else None

    async def newest(self, mchid: str | None, state: PayoutState | None) -> list[Payout]:
        """Those of the newest periods first, at most `MAX_LISTED`."""
        return [PAYOUT.read(row) for row in await self._database.fetch(LIST, mchid, state)]

    async def ended_between(self, first: date, last: date, mchid: str | None) -> AsyncIterator[list[Payout]]:
        """Pages of those whose period ends in these days, oldest first."""
        after: tuple[date, str, str, int] = (first, "", "", 0)
        while rows := await self._database.fetch(ENDED_BETWEEN, first, last, mchid, *after):
            page = [PAYOUT.read(row) for row in rows]
            yield page
            newest = page[-1]
            after = newest.last_day, newest.mchid, newest.currency, newest.number


async def _next_slot(connection: "Connection", terms: PayoutTerms) -> Slot:
    rows = await connection.fetch(NEWEST, terms.mchid, terms.currency)
    if not rows:
        return Slot(1, terms.since, period_end(terms, terms.since), 0, 0)
    before = PAYOUT.read(rows[0])
    first_day = before.last_day + timedelta(days=1)
    last_day = period_end(terms, first_day)
    (row,) = await connection.fetch(
        RELEASED, terms.mchid, terms.currency, last_day, before.last_day, before.number
    )
    return Slot(before.number + 1, first_day, last_day, before.carried_minor, row["released_minor"])


async def _sums(
    connection: "Connection", terms: PayoutTerms, since: datetime, until: datetime
) -> list[KindSum]:
    account = f"merchant:{terms.currency}:{terms.mchid}"
    rows = await connection.fetch(SUMS, terms.mchid, since, until, account, list(OF_PAYOUTS))
    return [KindSum(**row) for row in rows]
