"""Merchants with ledger entries and closed days, for tests of payouts. Day 0 is a Thursday; all days are in UTC+8."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, cast

from tael.audit.domain.audit import Disagreement
from tael.audit.domain.payouts import PayoutChain
from tael.audit.store.snapshot import snapshot
from tael.audit_log.domain.entry import Origin
from tael.base.money import Money
from tael.ledger.domain.digest import beginning_of
from tael.ledger.domain.entries import Entry, EntryKind
from tael.ledger.store.entries import write_entries
from tael.operations.store import Store
from tael.settlement.domain.payout import Payout
from tael.settlement.domain.terms import Cycle, PayoutTerms
from tael.settlement.run import Run, run_payouts
from tael.settlement.terms import TermsChange, set_terms
from tests.support.values import MCHID, new_syssn, origin_at

DAY_0: Final = date(2026, 1, 1)
#: Kinds that credit the merchant; every other one debits it. Some are not ours: a ledger may have more kinds.
CREDITS: Final = frozenset({"payment", "fee_back", "converted_in"})


@dataclass(frozen=True, slots=True)
class Moved:
    """An entry of the merchant's account on a day after day 0."""

    day: int
    kind: str
    minor: int
    currency: str = "HKD"

    @property
    def signed_minor(self) -> int:
        return self.minor if self.kind in CREDITS else -self.minor


def day(number: int) -> date:
    return DAY_0 + timedelta(days=number)


def morning_of(number: int) -> Origin:
    """An operator's command, ten hours after the day has begun."""
    return origin_at(beginning_of(day(number)) + timedelta(hours=10))


async def with_terms(
    store: Store, mchid: str = MCHID, currency: str = "HKD", cycle: Cycle = Cycle.DAILY, **changes: int
) -> PayoutTerms:
    """Terms since day 0."""
    change = TermsChange(cycle=cycle, since=DAY_0, **changes)  # type: ignore[arg-type]
    return await set_terms(store.payout_terms, mchid, currency, change, morning_of(0))


async def move(store: Store, *moves: Moved, mchid: str = MCHID) -> None:
    """Write the entries, as every use case does: those of a closed day move to the first open one."""
    entries = [_entry(mchid, each) for each in moves]
    async with store.database.transaction() as connection:
        await write_entries(connection, entries)


async def close_before(store: Store, number: int, mchid: str = MCHID) -> None:
    """Close all days before this one, as after a daily close. The digests are left out, and no day is opened again."""
    await store.database.execute(
        "INSERT INTO daily_close (mchid, close_at, closed_until, next_day) VALUES ($1, $2, $2, $3) "
        "ON CONFLICT (mchid) DO UPDATE SET closed_until = greatest(daily_close.closed_until, $2), "
        "next_day = greatest(daily_close.next_day, $3)",
        mchid,
        beginning_of(day(number)),
        day(number),
    )


async def run(store: Store, number: int, mchid: str | None = MCHID, until: date | None = None) -> Run:
    """`tael settlement run` in the morning of a day."""
    return await run_payouts(store.payouts, store.payout_terms, mchid, until, morning_of(number))


async def chain_of(store: Store, mchid: str = MCHID, currency: str = "HKD") -> list[Payout]:
    """The payouts of a merchant and currency, in their order."""
    payouts = [each for each in await store.payouts.newest(mchid, None) if each.currency == currency]
    return sorted(payouts, key=lambda payout: payout.number)


async def balances_of(store: Store, mchid: str = MCHID, currency: str = "HKD") -> dict[str, int]:
    """What each kind of ledger account owes, by the sum of all entries; accounts with nothing are left out."""
    rows = await store.database.fetch(
        """
        SELECT account, sum(minor)::bigint AS minor FROM (
            SELECT credit AS account, amount_minor AS minor FROM ledger_entry WHERE mchid = $1 AND currency = $2
            UNION ALL
            SELECT debit, -amount_minor FROM ledger_entry WHERE mchid = $1 AND currency = $2
        ) AS moves GROUP BY account
        """,
        mchid,
        currency,
    )
    return {row["account"].partition(":")[0]: row["minor"] for row in rows if row["minor"]}


async def audited(store: Store) -> list[Disagreement]:
    """What the audit finds in payouts, without the orders that these entries do not have."""
    found: list[Disagreement] = []
    chain = PayoutChain()
    async with snapshot(store.database) as books:
        async for payout, sums, lines in books.payouts():
            found += chain.disagreements(payout, sums, lines)
    return found


def total(moves: Iterable[Moved]) -> int:
    return sum(each.signed_minor for each in moves)


def _entry(mchid: str, moved: Moved) -> Entry:
    merchant, other = f"merchant:{moved.currency}:{mchid}", f"wallet:{moved.currency}:w"
    debit, credit = (other, merchant) if moved.kind in CREDITS else (merchant, other)
    at = beginning_of(day(moved.day)) + timedelta(hours=12)
    kind = cast(EntryKind, moved.kind)
    return Entry(mchid, new_syssn(), kind, debit, credit, Money(moved.minor, moved.currency), at)
