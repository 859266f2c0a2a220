"""What the sandbox asks of a wallet, whichever it is: routes, the payer's hand, its book, its accounts.

`control.py` and the courier's loop speak to wallets through this only.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, Protocol

from starlette.responses import Response
from starlette.routing import BaseRoute

from tael_sandbox.tampering import Tampering
from tael_sandbox.unserved import UnservedCall

Row = dict[str, Any]


class ControlError(Exception):
    """A control call that cannot be done: becomes HTTP 400 with the text and the field at fault."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class NotEnoughMoney(ControlError):
    """The payer's balance does not reach; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A payment or a refund as the payer's phone lists it."""

    number: str  #: the wallet's own, of the trade
    order: str  #: the merchant's, of the payment or the refund
    payee: str
    subject: str
    amount_minor: int  #: of the price
    currency: str
    charged_minor: int  #: what the balance gives, or gets back
    charged_currency: str
    scenario: Literal["waiting", "paid", "refunded", "reversed", "not paid", "giving back", "given back"]
    state: str  #: in the wallet's own word
    at: float
    refunded_minor: int = 0  #: of the price

    @property
    def is_refund(self) -> bool:
        return self.scenario in ("giving back", "given back")


class Wallet(Protocol):
    """One wallet with its merchants, trades and payers.

    All of it is synchronous and quick: it runs inside the event loop, one request after the other.
    """

    @property
    def names(self) -> tuple[str, ...]: ...  # the values of "wallet" that it answers for

    def routes(self) -> list[BaseRoute]: ...

    def refuse_unserved(self, call: UnservedCall) -> Response | None:
        """A call that no route has, refused in the wallet's own form; None if it is not this wallet's."""
        ...

    def tampering(self) -> Tampering: ...  # for the faults that it is told to have

    def is_link(self, url: str) -> bool:
        """Whether `url` is of the wallet's own, whatever it leads to."""
        ...

    def scan(self, url: str) -> Row | None:
        """What the payer's phone shows for this URL; None if the URL is another wallet's."""
        ...

    def confirm(self, trade: str | None, url: str | None, action: str, payer: str | None) -> Row | None:
        """`pay`, `cancel` or `wrong_password`; None if the trade or URL is another wallet's."""
        ...

    def waiting(self, payer: str) -> list[Entry]:
        """The barcode payments for which this payer is asked for a password now, newest first."""
        ...

    def history(self, payer: str, limit: int) -> list[Entry]:
        """The payer's newest decided payments and refunds: `limit` of each kind, in any order."""
        ...

    def book(self, wallet: str) -> dict[str, list[Row]]: ...

    def close_day(self, wallet: str, day: date) -> Row:
        """Cuts the day's statements, once: what was cut, how many rows, where each is downloaded."""
        ...

    def accounts(self) -> list[Row]: ...

    def set_bill_headers(self, shop: str, language: str) -> Row:
        """The shop's account with this language of its bills' headings. Raises ControlError if there is none."""
        ...

    def openids(self, payer: str) -> dict[str, str]: ...

    def tick(self, now: datetime) -> None:
        """Does what time alone brings about (expiry, delayed payments) up to `now`."""
        ...
