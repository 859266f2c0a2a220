"""A payout: one batch of a merchant and currency, over whole closed days. Pure.

Every cent of the merchant's ledger account is in exactly one batch: the periods of a merchant and currency are
contiguous, and what a batch does not pay is the next one's opening balance. The entries of payouts themselves were
counted in their own batch, so they are left out of the period in which they are booked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from tael.base.money import Money
from tael.ledger.domain.entries import Entry, EntryKind
from tael.settlement.domain.terms import MILLION, Cycle, PayoutTerms, Weekday


class PayoutState(StrEnum):
    CREATED = "CREATED"  #: booked; the bank transfer is to be made
    PAID = "PAID"  #: an operator has recorded the bank's reference
    CARRIED = "CARRIED"  #: nothing is paid; the balance is in the next batch


@dataclass(frozen=True, slots=True)
class KindSum:
    """Entries of one kind and direction in the merchant's account. `is_in` if they credit it."""

    kind: str
    is_in: bool
    count: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Payout:
    """Amounts are minor units of `currency`, and not negative except for the balances carried. Days are in UTC+8."""

    mchid: str
    payout_id: str
    currency: str
    number: int  #: 1, 2, 3 … of the merchant and currency
    first_day: date
    last_day: date
    cycle: Cycle  #: this and the next four are the terms that were followed
    weekday: Weekday | None
    minimum_minor: int
    reserve_ppm: int
    reserve_days: int
    opening_minor: int  #: carried over from the batch before
    payments: int
    paid_minor: int
    refunds: int
    refunded_minor: int
    reversals: int
    reversed_minor: int
    fee_minor: int  #: charged
    fee_back_minor: int  #: returned
    adjusted_in_minor: int  #: by entries of any other kind
    adjusted_out_minor: int
    reserve_released_minor: int  #: of earlier batches
    reserve_held_minor: int
    amount_minor: int
    carried_minor: int
    state: PayoutState
    created_at: datetime
    paid_at: datetime | None = None
    bank_reference: str = ""

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a batch in its chain: its period, and what it takes over from those before it."""

    number: int
    first_day: date
    last_day: date
    opening_minor: int
    released_minor: int  #: reserves of earlier batches whose time ends with this period


#: Entries of our own batches.
OF_PAYOUTS: Final = (EntryKind.PAYOUT, EntryKind.RESERVE_HELD, EntryKind.RESERVE_RELEASED)
#: Kinds with a column of their own, each in one direction. The opposite direction is an adjustment.
COLUMNS: Final[Mapping[tuple[str, bool], tuple[str | None, str]]] = {
    (EntryKind.PAYMENT, True): ("payments", "paid_minor"),
    (EntryKind.REFUND, False): ("refunds", "refunded_minor"),
    (EntryKind.REVERSAL, False): ("reversals", "reversed_minor"),
    (EntryKind.FEE, False): (None, "fee_minor"),
    (EntryKind.FEE_BACK, True): (None, "fee_back_minor"),
}
#: Where every other kind is summed.
ADJUSTED: Final = {True: "adjusted_in_minor", False: "adjusted_out_minor"}


def new_payout(
    terms: PayoutTerms, slot: Slot, sums: Sequence[KindSum], payout_id: str, at: datetime
) -> Payout:
    """The batch in this slot. `sums` are those of its period, without entries of payouts."""
    columns = _columns(sums)
    returned_minor = columns["refunded_minor"] + columns["reversed_minor"]
    payable_minor = slot.opening_minor + _net(columns) + slot.released_minor
    held_minor = held_of(columns["paid_minor"] - returned_minor, terms.reserve_ppm, payable_minor)
    remainder_minor = payable_minor - held_minor
    is_paid_out = remainder_minor > 0 and remainder_minor >= terms.minimum_minor
    return Payout(
        mchid=terms.mchid,
        payout_id=payout_id,
        currency=terms.currency,
        number=slot.number,
        first_day=slot.first_day,
        last_day=slot.last_day,
        cycle=terms.cycle,
        weekday=terms.weekday,
        minimum_minor=terms.minimum_minor,
        reserve_ppm=terms.reserve_ppm,
        reserve_days=terms.reserve_days,
        opening_minor=slot.opening_minor,
        **columns,
        reserve_released_minor=slot.released_minor,
        reserve_held_minor=held_minor,
        amount_minor=remainder_minor if is_paid_out else 0,
        carried_minor=0 if is_paid_out else remainder_minor,
        state=PayoutState.CREATED if is_paid_out else PayoutState.CARRIED,
        created_at=at,
    )


def held_of(kept_minor: int, reserve_ppm: int, payable_minor: int) -> int:
    """The reserve on what was paid and not returned: rounded half up, not negative, not more than is payable."""
    reserve_minor = (max(kept_minor, 0) * reserve_ppm + MILLION // 2) // MILLION
    return min(reserve_minor, max(payable_minor, 0))


def paid_out(payout: Payout, bank_reference: str, at: datetime) -> Payout:
    """`payout` after its bank transfer. It must be CREATED."""
    assert payout.state is PayoutState.CREATED
    return replace(payout, state=PayoutState.PAID, paid_at=at, bank_reference=bank_reference)


def payout_entries(payout: Payout) -> list[Entry]:
    """The entries of a new batch: what is to be paid and what is held leaves the merchant's account."""
    merchant, payable, reserve = (_account(kind, payout) for kind in ("merchant", "payout", "reserve"))
    moves = (
        (EntryKind.PAYOUT, merchant, payable, payout.amount_minor),
        (EntryKind.RESERVE_HELD, merchant, reserve, payout.reserve_held_minor),
        (EntryKind.RESERVE_RELEASED, reserve, merchant, payout.reserve_released_minor),
    )
    return [
        _entry(payout, kind, debit, credit, minor, payout.created_at)
        for kind, debit, credit, minor in moves
        if minor
    ]


def transfer_entry(payout: Payout, at: datetime) -> Entry:
    """The bank has paid the merchant: we owe it nothing more."""
    bank = f"bank:{payout.currency}:payouts"
    return _entry(payout, EntryKind.PAYOUT_PAID, _account("payout", payout), bank, payout.amount_minor, at)


def _columns(sums: Sequence[KindSum]) -> dict[str, Any]:
    """The sums of a period by the names of their columns, all integers."""
    names = [name for pair in COLUMNS.values() for name in pair if name] + list(ADJUSTED.values())
    columns: dict[str, Any] = dict.fromkeys(names, 0)
    for each in sums:
        count, total = COLUMNS.get((each.kind, each.is_in), (None, ADJUSTED[each.is_in]))
        columns[total] += each.amount_minor
        if count:
            columns[count] += each.count
    return columns


def _net(columns: Mapping[str, int]) -> int:
    gained = columns["paid_minor"] + columns["fee_back_minor"] + columns["adjusted_in_minor"]
    lost = columns["refunded_minor"] + columns["reversed_minor"]
    return gained - lost - columns["fee_minor"] - columns["adjusted_out_minor"]


def _account(kind: str, payout: Payout) -> str:
    return f"{kind}:{payout.currency}:{payout.mchid}"


def _entry(payout: Payout, kind: EntryKind, debit: str, credit: str, minor: int, at: datetime) -> Entry:
    return Entry(payout.mchid, payout.payout_id, kind, debit, credit, Money(minor, payout.currency), at)
