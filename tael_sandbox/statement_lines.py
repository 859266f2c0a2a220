"""The lines of a wallet's statement as errors are planted in them: what a stored row says, and rows like it.

Each wallet has one `LineFormat`, which alone knows the columns of its rows.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

from tael_sandbox.wallet import Row

LineType = Literal["payment", "refund", "reversal"]


@dataclass(frozen=True, slots=True)
class LineValues:
    """What a row says. Amounts are in major units of `currency`."""

    type: LineType
    number: str  #: the merchant's: of the order, or of the refund
    at: datetime
    amount: Decimal
    fee: Decimal  #: negative where the wallet prints a returned fee so
    currency: str
    state: str  #: the wallet's


class LineFormat(Protocol):
    """The rows of one wallet, read in one transaction. `account` is the account's number in the books."""

    @property
    def wallet(self) -> str: ...  # the name of the book in which its days are closed

    def values(self, account: str, row: Row) -> LineValues: ...

    def with_amount(self, row: Row, amount: Decimal) -> Row:
        """Changes this cell only; the totals of a file are made from its lines."""
        ...

    def with_fee(self, row: Row, fee: Decimal) -> Row: ...

    def at_time(self, row: Row, at: datetime) -> Row:
        """With the printed time of its own transaction at `at`, and times that follow it by as much later."""
        ...

    def for_order(self, row: Row, number: str, draw_digits: "DrawDigits") -> Row:
        """A payment's row for another order, and with another number of the wallet's."""
        ...

    def returned(self, row: Row, at: datetime) -> Row:
        """The row that a payment's reversal at `at` has."""
        ...

    def is_unreturned(self, account: str, number: str) -> bool:
        """Whether nothing of the paid order was returned by now, by the wallet's book."""
        ...

    def has_order(self, account: str, number: str) -> bool: ...


class DrawDigits(Protocol):
    def __call__(self, text: str) -> str:
        """`text` with other digits at its end: the same length and form."""
        ...
