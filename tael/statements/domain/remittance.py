"""A remittance: what a wallet paid out to an account's bank in one batch and currency. Pure.

The file's own batches are used if it has them, otherwise the sums of its lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

from tael.base.money import exponent
from tael.channels.line_sums import LineSums
from tael.channels.statements import (
    MICROS,
    RemittedBatch,
    StatementContent,
    StatementKind,
    StatementLine,
    StatementRefused,
    check_sums,
)
from tael.statements.domain.statement import Summary


@dataclass(frozen=True, slots=True)
class Remittance:
    """A stored one, of the statement that it was read from."""

    mchid: str
    remittance_id: str
    statement_id: str
    account_id: str
    protocol: str
    batch_no: str  #: the wallet's; the day of settlement if it has none
    settled_on: date  #: in UTC+8
    trades_from: date
    trades_to: date
    currency: str
    paid_minor: int
    refunded_minor: int
    fee_minor: int  #: charged less returned
    net_minor: int
    superseded_at: datetime | None = None  #: with its statement


class RemittanceBuilder:
    """Sums the lines of a statement of settlements: one remittance for each currency."""

    def __init__(self) -> None:
        self._by_currency: dict[str, LineSums] = {}

    def add(self, line: StatementLine) -> None:
        self._by_currency.setdefault(line.amount.currency, LineSums()).add(line)

    def finish(self, settled_on: date) -> list[RemittedBatch]:
        """After the last line."""
        return [
            _remittance(sums, currency, settled_on) for currency, sums in sorted(self._by_currency.items())
        ]


def _remittance(sums: LineSums, currency: str, settled_on: date) -> RemittedBatch:
    return RemittedBatch(
        f"{settled_on:%Y%m%d}",
        settled_on,
        min(sums.days),
        max(sums.days),
        currency,
        sums.paid_minor,
        sums.refunded_minor,
        rounded_minor(sums.fee_micros, currency),
    )


def batches_of(
    content: StatementContent, sums: RemittanceBuilder, summary: Summary
) -> Sequence[RemittedBatch]:
    """What a complete file reports as paid out. Raises StatementRefused for a batch of another day."""
    if summary.kind is not StatementKind.SETTLEMENT:
        return ()
    batches = content.remittances or sums.finish(summary.day)
    for batch in batches:
        check_sums(batch.paid_minor, batch.refunded_minor, batch.fee_minor)
        if batch.settled_on != summary.day:
            raise StatementRefused(f"batch {batch.batch_no} is of {batch.settled_on}, not of {summary.day}")
    return batches


def rounded_minor(micros: int, currency: str) -> int:
    """Millionths of the major unit in minor units, rounded half up."""
    unit = Decimal(micros).scaleb(exponent(currency) - MICROS)
    return int(unit.quantize(Decimal(1), ROUND_HALF_UP))
