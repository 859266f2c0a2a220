"""The newest run of a statement: how many lines matched, and the sums of both sides. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from tael.base.money import Money
from tael.channels.statements import LineType, StatementKind
from tael.reconciliation.domain.difference import DifferenceKind


@dataclass(frozen=True, slots=True)
class SideTotal:
    """The movements of one currency on one side, in minor units. Reversals count as refunds."""

    currency: str
    payments: int
    paid_minor: int
    refunds: int
    refunded_minor: int


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The newest run of a statement."""

    mchid: str
    statement_id: str
    reconciliation_id: str
    account_id: str
    kind: StatementKind
    day: date  #: UTC+8
    lines: int
    matched: int  #: lines without a difference
    theirs: tuple[SideTotal, ...]  #: by currency
    ours: tuple[SideTotal, ...]  #: the records of the lines, and those that no line has; by currency
    differences: Mapping[DifferenceKind, int]  #: open ones
    run_at: datetime


class TotalsBuilder:
    """Sums movements by currency."""

    def __init__(self) -> None:
        self._sums: dict[str, list[int]] = {}

    def add(self, kind: LineType, amount: Money) -> None:
        sums = self._sums.setdefault(amount.currency, [0, 0, 0, 0])
        place = 0 if kind is LineType.PAYMENT else 2
        sums[place] += 1
        sums[place + 1] += amount.amount_minor

    def finish(self) -> tuple[SideTotal, ...]:
        return tuple(SideTotal(currency, *self._sums[currency]) for currency in sorted(self._sums))
