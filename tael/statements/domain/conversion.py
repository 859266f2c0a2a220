"""A conversion: what a wallet's bill of a day converts from the currency of prices to that of settlement. Pure.

The amounts are the wallet's own, what was paid less what was returned. The exchange rate is not used.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from tael.channels.statements import LineType, StatementLine, check_sums


@dataclass(frozen=True, slots=True)
class Conversion:
    """A stored one, of the statement that it was read from. Amounts are negative if more was returned than paid."""

    mchid: str
    conversion_id: str
    statement_id: str
    account_id: str
    price_currency: str
    price_minor: int
    settlement_currency: str
    settlement_minor: int
    superseded_at: datetime | None = None  #: with its statement


@dataclass(frozen=True, slots=True)
class ConvertedSums:
    """Sums of one pair of currencies in minor units."""

    price_currency: str
    price_minor: int
    settlement_currency: str
    settlement_minor: int


class ConversionBuilder:
    """Sums the lines of a bill that are settled in another currency than their price."""

    def __init__(self) -> None:
        self._sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])

    def add(self, line: StatementLine) -> None:
        if line.settlement is None or line.settlement.currency == line.amount.currency:
            return
        sign = 1 if line.type is LineType.PAYMENT else -1
        sums = self._sums[line.amount.currency, line.settlement.currency]
        sums[0] += sign * line.amount.amount_minor
        sums[1] += sign * line.settlement.amount_minor

    def finish(self) -> list[ConvertedSums]:
        """After the last line. Raises StatementRefused."""
        for sums in self._sums.values():
            check_sums(*sums)
        return [
            ConvertedSums(price, sums[0], settlement, sums[1])
            for (price, settlement), sums in sorted(self._sums.items())
        ]
