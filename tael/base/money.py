"""Amounts of money: integers in minor units with a currency, never floats.

Wallets that use major units (`39.25`) are converted at the edge with `major_text` and `from_major`.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tael.base.currencies import DECIMALS

#: Of a currency that is not in the table, which only a wallet's answer can name: both wallets write two decimals of all
#: but yen and won.
USUAL_DECIMALS: Final = 2

PLAIN_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,8})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the smallest unit of `currency` (ISO 4217, upper case)."""

    amount_minor: int
    currency: str

    def __str__(self) -> str:
        return f"{major_text(self)} {self.currency}"


def exponent(currency: str) -> int:
    """How many decimals the major unit of `currency` has: 0 for the yen, so that one yen is `1` and not `100`."""
    return DECIMALS.get(currency, USUAL_DECIMALS)


def major_text(money: Money) -> str:
    """`money` in major units as the wallets write it: `39.25`, or `100` in a zero-decimal currency."""
    return f"{Decimal(money.amount_minor).scaleb(-exponent(money.currency)):f}"


def from_major(text: str, currency: str) -> Money:
    """Parse an amount in major units. Raises ValueError on anything but a plain decimal."""
    if not PLAIN_DECIMAL.fullmatch(text):
        raise ValueError(f"not an amount: {text!r}")
    value = Decimal(text).scaleb(exponent(currency))
    if value != value.to_integral_value():
        raise ValueError(f"not an amount of {currency}: {text!r}")
    return Money(int(value), currency)
