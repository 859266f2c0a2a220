"""Money: whole minor units and a currency. There is no conversion from or to float."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Self

from tael_client.currencies import DECIMALS

#: `txamt` has at most 11 digits.
MAX_MINOR: Final = 99_999_999_999

CURRENCY: Final = re.compile(r"[A-Z]{3}|")
MAJOR: Final = re.compile(r"[0-9]{1,11}(?:\.[0-9]+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Money:
    """`amount_minor` is in the currency's smallest unit: 1 HKD is 100, 1 JPY is 1.

    `currency` is three capital letters, or "" for the merchant's own: it is optional in requests, and missing in
    old-style webhooks and in the rows of some servers.
    """

    amount_minor: int
    currency: str = ""

    def __post_init__(self) -> None:
        if type(self.amount_minor) is not int:
            raise TypeError("amount_minor must be an int of minor units")
        if not 0 <= self.amount_minor <= MAX_MINOR:
            raise ValueError(f"amount_minor must be from 0 to {MAX_MINOR}")
        if not CURRENCY.fullmatch(self.currency):
            raise ValueError("currency must be three capital letters, or empty")

    @classmethod
    def from_major(cls, text: str, currency: str) -> Self:
        """`from_major("12.50", "HKD")` is 1250 cents, `from_major("1250", "JPY")` 1250 yen.

        Raises ValueError if the text is not an amount of this currency, such as `12.505` HKD or `1250.0` JPY, or if the
        currency is unknown.
        """
        whole, _, part = text.partition(".")
        decimals = _decimals(currency)
        if not MAJOR.fullmatch(text) or len(part) > decimals:
            raise ValueError(f"not an amount in {currency}: {text!r}")
        return cls(int(whole + part.ljust(decimals, "0")), currency)

    @property
    def major(self) -> str:
        """The amount in major units: `12.50` HKD, `1250` JPY. Raises ValueError if the currency is unknown."""
        return f"{Decimal(self.amount_minor).scaleb(-_decimals(self.currency)):f}"


def _decimals(currency: str) -> int:
    try:
        return DECIMALS[currency]
    except KeyError:
        raise ValueError(f"unknown currency {currency!r}") from None
