"""What the sandbox asks of a wallet, whichever it is: routes, the payer's hand, its book, its accounts.

`control.py` and the courier's loop speak to wallets through this only.
"""

from datetime import date, datetime
from typing import Any, Protocol

from starlette.routing import BaseRoute

from tael_sandbox.lies import Liar

Row = dict[str, Any]


class ControlError(Exception):
    """A control call that cannot be done: becomes HTTP 400 with the text and the field at fault."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class Wallet(Protocol):
    """One wallet with its merchants, trades and payers.

    All of it is synchronous and quick: it runs inside the event loop, one request after the other.
    """

    @property
    def names(self) -> tuple[str, ...]: ...  # the values of "wallet" that it answers for

    def routes(self) -> list[BaseRoute]: ...

    def liar(self) -> Liar: ...  # for the faults that it is told to have

    def scan(self, url: str) -> Row | None:
        """What the payer's phone shows for this URL; None if the URL is another wallet's."""
        ...

    def confirm(self, trade: str | None, url: str | None, action: str, payer: str | None) -> Row | None:
        """`pay`, `cancel` or `wrong_password`; None if the trade or URL is another wallet's."""
        ...

    def book(self, wallet: str) -> dict[str, list[Row]]: ...

    def close_day(self, wallet: str, day: date) -> Row:
        """Cuts the day's statements, once: what was cut, how many rows, where each is downloaded."""
        ...

    def accounts(self) -> list[Row]: ...

    def openids(self, payer: str) -> dict[str, str]: ...

    def tick(self, now: datetime) -> None:
        """Does what time alone brings about (expiry, delayed payments) up to `now`."""
        ...
