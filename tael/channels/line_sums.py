"""Sums of a statement's lines in one currency, of which a wallet makes a remittance. Pure."""

from dataclasses import dataclass, field
from datetime import date

from tael.base.moments import UTC8
from tael.channels.statements import LineType, StatementLine


@dataclass(slots=True)
class LineSums:
    """Of the lines so far. Reversals count as refunds."""

    days: set[date] = field(default_factory=set)  #: in UTC+8
    paid_minor: int = 0
    refunded_minor: int = 0
    fee_micros: int = 0  #: charged less returned

    def add(self, line: StatementLine) -> None:
        self.days.add(line.at.astimezone(UTC8).date())
        if line.type is LineType.PAYMENT:
            self.paid_minor += line.amount.amount_minor
            self.fee_micros += line.fee_micros
        else:
            self.refunded_minor += line.amount.amount_minor
            self.fee_micros -= line.fee_micros
