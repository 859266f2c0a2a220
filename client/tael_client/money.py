"""Money: whole minor units and a currency. There is no conversion from or to float."""

import re
from dataclasses import dataclass
from typing import Final

#: `txamt` has at most 11 digits.
MAX_MINOR: Final = 99_999_999_999

CURRENCY: Final = re.compile(r"[A-Z]{3}|")


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
