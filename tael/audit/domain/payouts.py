"""Audit of payouts: each row is recomputed from the ledger, the terms in the row, and the payouts before it. Pure.

Written apart from `tael.settlement`, which makes them, so that an error of one is found by the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from tael.audit.domain.audit import Disagreement, wrong_lines
from tael.ledger.domain.digest import Line

#: Entries of payouts, which no payout counts.
OWN_KINDS: Final = ("payout", "reserve_held", "reserve_released")
#: The column of the sums of a kind that credits the merchant, and of one that debits it.
CREDITED: Final[Mapping[str, str]] = {"payment": "paid_minor", "fee_back": "fee_back_minor"}
DEBITED: Final[Mapping[str, str]] = {
    "refund": "refunded_minor",
    "reversal": "reversed_minor",
    "fee": "fee_minor",
}
COUNTED: Final[Mapping[str, str]] = {
    "paid_minor": "payments",
    "refunded_minor": "refunds",
    "reversed_minor": "reversals",
}
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PayoutRow:
    mchid: str
    payout_id: str
    currency: str
    number: int
    first_day: date
    last_day: date
    cycle: str
    weekday: str | None
    minimum_minor: int
    reserve_ppm: int
    reserve_days: int
    opening_minor: int
    payments: int
    paid_minor: int
    refunds: int
    refunded_minor: int
    reversals: int
    reversed_minor: int
    fee_minor: int
    fee_back_minor: int
    adjusted_in_minor: int
    adjusted_out_minor: int
    reserve_released_minor: int
    reserve_held_minor: int
    amount_minor: int
    carried_minor: int
    state: str
    created_at: datetime
    paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class PeriodSum:
    """The entries of one kind and direction in a payout's period and account, but those of payouts."""

    kind: str
    is_in: bool
    count: int
    amount_minor: int


@dataclass(slots=True)
class PayoutChain:
    """The payouts of one merchant and currency in their order. `held` are reserves by the day on which they end."""

    last: PayoutRow | None = None
    held: list[tuple[date, int]] = field(default_factory=list)

    def disagreements(
        self, row: PayoutRow, sums: Sequence[PeriodSum], lines: Sequence[Line]
    ) -> Iterator[Disagreement]:
        """All of the next row."""
        if self.last is None or (self.last.mchid, self.last.currency) != (row.mchid, row.currency):
            self.last, self.held = None, []
        for column, expected in self._expected(row, sums).items():
            found = getattr(row, column)
            if expected != found:
                yield Disagreement("payout", row.mchid, row.payout_id, column, str(expected), str(found))
        yield from wrong_lines(expected_of_payout(row), lines)
        self.held = [(day, minor) for day, minor in self.held if day > row.last_day]
        self.held.append((row.last_day + timedelta(days=row.reserve_days), row.reserve_held_minor))
        self.last = row

    def _expected(self, row: PayoutRow, sums: Sequence[PeriodSum]) -> dict[str, object]:
        before = self.last
        columns = _columns(sums)
        columns["opening_minor"] = before.carried_minor if before else 0
        columns["reserve_released_minor"] = sum(minor for day, minor in self.held if day <= row.last_day)
        return {
            "number": before.number + 1 if before else 1,
            "first_day": before.last_day + DAY if before else row.first_day,
            "last_day": _last_day(row),
            **columns,
            **_decided(row, columns),
        }


def expected_of_payout(row: PayoutRow) -> list[Line]:
    """The entries that a payout requires."""

    def line(kind: str, debit: str, credit: str, amount_minor: int, at: datetime) -> Line:
        return Line(row.mchid, row.payout_id, kind, debit, credit, amount_minor, row.currency, at)

    merchant, payable, reserve = (
        f"{kind}:{row.currency}:{row.mchid}" for kind in ("merchant", "payout", "reserve")
    )
    lines = [
        line("payout", merchant, payable, row.amount_minor, row.created_at),
        line("reserve_held", merchant, reserve, row.reserve_held_minor, row.created_at),
        line("reserve_released", reserve, merchant, row.reserve_released_minor, row.created_at),
    ]
    if row.state == "PAID" and row.paid_at is not None:
        bank = f"bank:{row.currency}:payouts"
        lines.append(line("payout_paid", payable, bank, row.amount_minor, row.paid_at))
    return [line for line in lines if line.amount_minor]


def _columns(sums: Sequence[PeriodSum]) -> dict[str, int]:
    amounts = (*CREDITED.values(), *DEBITED.values(), "adjusted_in_minor", "adjusted_out_minor")
    columns = dict.fromkeys((*amounts, *COUNTED.values()), 0)
    for each in sums:
        named, other = (CREDITED, "adjusted_in_minor") if each.is_in else (DEBITED, "adjusted_out_minor")
        column = named.get(each.kind, other)
        columns[column] += each.amount_minor
        if column in COUNTED:
            columns[COUNTED[column]] += each.count
    return columns


def _decided(row: PayoutRow, columns: Mapping[str, int]) -> dict[str, object]:
    """What is held, paid and carried over by the terms in the row."""
    returned_minor = columns["refunded_minor"] + columns["reversed_minor"]
    payable_minor = (
        columns["opening_minor"]
        + columns["reserve_released_minor"]
        + columns["paid_minor"]
        - returned_minor
        + columns["fee_back_minor"]
        - columns["fee_minor"]
        + columns["adjusted_in_minor"]
        - columns["adjusted_out_minor"]
    )
    base_minor = max(0, columns["paid_minor"] - returned_minor)
    held_minor = min((2 * base_minor * row.reserve_ppm + 1_000_000) // 2_000_000, max(0, payable_minor))
    remainder_minor = payable_minor - held_minor
    is_paid_out = remainder_minor >= max(row.minimum_minor, 1)
    return {
        "reserve_held_minor": held_minor,
        "amount_minor": remainder_minor if is_paid_out else 0,
        "carried_minor": 0 if is_paid_out else remainder_minor,
        "state": ("PAID" if row.state == "PAID" else "CREATED") if is_paid_out else "CARRIED",
    }


def _last_day(row: PayoutRow) -> date:
    """The end of the cycle that begins on the row's first day."""
    day = row.first_day
    match row.cycle:
        case "weekly":
            while WEEKDAYS[day.weekday()] != row.weekday and day - row.first_day < timedelta(days=6):
                day += DAY
        case "monthly":
            while (day + DAY).day != 1:
                day += DAY
    return day
