"""Addresses of the pages that a payer opens, and how long they work. Pure.

A syssn can be guessed, so an address carries a token that cannot: the start of an HMAC of both numbers. The address is
enough to see payee, subject, amount and state, and to pay, so it ends a while after the order does.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote, urlsplit

from tael.base.pay_types import Presentment
from tael.base.secret import Secret
from tael.payments.domain.payment import Payment, State

CASHIER: Final = "/cashier"
CHECKSTAND: Final = "/checkstand"
#: Says what the key is for, so that no other use of the sealing key makes the same one.
PURPOSE: Final = b"tael: addresses of the cashier's pages"
TOKEN_BYTES: Final = 12
#: Long enough to come back and read the result; an address that leaks later shows nothing.
PAGE_LIFETIME_AFTER_END: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages below `public_url`, which has no slash at the end."""

    public_url: str
    key: Secret

    @property
    def root(self) -> str:
        """What stands before each path when a browser asks for it: "", unless a proxy serves us below one."""
        return urlsplit(self.public_url).path

    def token(self, mchid: str, syssn: str) -> str:
        """16 letters that nobody can guess from the numbers."""
        made = hmac.digest(bytes.fromhex(self.key.reveal()), f"{mchid}/{syssn}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(made[:TOKEN_BYTES]).decode()

    def is_token(self, given: str, mchid: str, syssn: str) -> bool:
        return hmac.compare_digest(self.token(mchid, syssn).encode(), given.encode())

    def path(self, payment: Payment) -> str:
        """The payment's page, as a link inside another page."""
        return self.root + self._below(payment)

    def of_payment(self, payment: Payment) -> str:
        """The payment's page, for whoever is elsewhere."""
        return self.public_url + self._below(payment)

    def opening_path(self, payment: Payment) -> str:
        """Where a payer is sent on to the wallet's page, as a link inside another page."""
        return f"{self.path(payment)}/open"

    def opening_of(self, payment: Payment) -> str:
        """The same for whoever is elsewhere."""
        return f"{self.of_payment(payment)}/open"

    def checkout_path(self, mchid: str, link_id: str) -> str:
        """Where the payer of a checkout link chooses a wallet."""
        return f"{self.root}{CHECKSTAND}/{quote(mchid, safe='')}/{link_id}"

    def _below(self, payment: Payment) -> str:
        # WeChat lets its bridge be called from one folder only, which the operator names to it.
        folder = "wechat" if payment.pay_type.presentment is Presentment.IN_APP else "pay"
        token = self.token(payment.mchid, payment.syssn)
        return f"{CASHIER}/{folder}/{quote(payment.mchid, safe='')}/{payment.syssn}/{token}"


def order_end(payment: Payment) -> datetime:
    """When `payment` was decided; its deadline while it is not, since its wallet takes no money after that."""
    return payment.deadline if payment.state is State.PENDING else payment.changed_at


def payment_page_end(payment: Payment) -> datetime:
    """From then on the pages of `payment` answer like those of an unknown one."""
    return order_end(payment) + PAGE_LIFETIME_AFTER_END


def pages_below(public_url: str, encryption_key: bytes) -> Pages:
    """The pages of a gateway with this sealing key, whose processes all know the same tokens."""
    return Pages(public_url, Secret(hmac.digest(encryption_key, PURPOSE, hashlib.sha256).hex()))
