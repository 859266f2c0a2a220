"""The interface of a simulated wallet: routes, the payer's actions, its book and its accounts.

`control.py`, the phone and the courier's loop use wallets only through this interface.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, Protocol

from starlette.responses import Response
from starlette.routing import BaseRoute

from tael_sandbox.fault_injection.tampering import Tampering
from tael_sandbox.shops import Shops
from tael_sandbox.unserved import UnservedCall

Row = dict[str, Any]


class ControlError(Exception):
    """An invalid control call. Becomes HTTP 400 with the text and the invalid field."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class NotEnoughMoney(ControlError):
    """The payer's balance is too low; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A payment or a refund as the payer's phone lists it."""

    number: str  #: the wallet's number of the trade
    order: str  #: the merchant's number of the payment or the refund
    payee: str
    subject: str
    amount_minor: int  #: of the price
    currency: str
    charged_minor: int  #: taken from the payer's balance, or returned to it
    charged_currency: str
    scenario: Literal["waiting", "paid", "refunded", "reversed", "not paid", "giving back", "given back"]
    state: str  #: the wallet's own name of it
    at: float
    refunded_minor: int = 0  #: of the price

    @property
    def is_refund(self) -> bool:
        return self.scenario in ("giving back", "given back")


@dataclass(frozen=True, slots=True)
class Planting:
    """Errors to plant in a day's statement: of one account, or of any if `account` is None."""

    day: date
    kind: str
    count: int
    seed: int
    account: str | None


class Wallet(Protocol):
    """One wallet with its merchants, trades and payers.

    Every method is synchronous and fast: it runs inside the event loop, one request after the other.
    """

    @property
    def names(self) -> tuple[str, ...]: ...  # the values of "wallet" that it serves

    def routes(self) -> list[BaseRoute]: ...

    def refuse_unserved(self, call: UnservedCall) -> Response | None:
        """The wallet's refusal of a call without a route. None if the call is not this wallet's."""
        ...

    def tampering(self) -> Tampering: ...

    def is_link(self, url: str) -> bool:
        """Whether `url` is one of the wallet's own links, valid or not."""
        ...

    def scan(self, url: str) -> Row | None:
        """What the payer's phone shows for this URL; None if the URL is another wallet's."""
        ...

    def confirm(self, trade: str | None, url: str | None, action: str, payer: str | None) -> Row | None:
        """`pay`, `cancel` or `wrong_password`; None if the trade or URL is another wallet's."""
        ...

    def waiting(self, payer: str) -> list[Entry]:
        """The barcode payments that wait for this payer's password, newest first."""
        ...

    def history(self, payer: str, limit: int) -> list[Entry]:
        """The payer's newest decided payments and refunds, up to `limit` of each kind, in any order."""
        ...

    def book(self, wallet: str) -> dict[str, list[Row]]: ...

    def close_day(self, wallet: str, day: date) -> Row:
        """Closes the day's statements, once. The row has their numbers of rows and where to download each."""
        ...

    def plant_statement_errors(self, planting: Planting) -> list[Row]:
        """Changes lines of a closed day's statements. Raises ControlError, with nothing changed."""
        ...

    def accounts(self) -> list[Row]: ...

    def set_bill_headers(self, shop: str, language: str) -> Row:
        """Sets the language of the bills' headings of the shop's account. Raises ControlError if it has none."""
        ...

    def with_new_keys(self, shops: Shops, shop: str, key: str | None) -> Shops:
        """`shops` with other keys of the shop's accounts at this wallet; `key` is the shared one, None generates it.

        Raises ControlError if the shop has no account, or none with a shared key.
        """
        ...

    def use(self, shops: Shops) -> None:
        """Sign and verify with the keys of `shops` from now on."""
        ...

    def openids(self, payer: str) -> dict[str, str]: ...

    def tick(self, now: datetime) -> None:
        """Applies the changes that are due by `now`: expiry and delayed payments."""
        ...
