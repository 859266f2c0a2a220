"""URLs of the pages that a payer opens, and how long they work. Pure.

A syssn can be guessed, so a URL carries a token that cannot: a truncated HMAC of mchid and syssn. The URL alone gives
access to payee, subject, amount and state, and lets its holder pay, so it stops working a while after the order ends.
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
#: Key derivation label, so that no other use of the encryption key derives the same key.
PURPOSE: Final = b"tael: addresses of the cashier's pages"
TOKEN_BYTES: Final = 12
#: Long enough to come back and read the result; a URL that leaks later shows nothing.
PAGE_LIFETIME_AFTER_END: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages below `public_url`, which has no slash at the end."""

    public_url: str
    key: Secret

    @property
    def root(self) -> str:
        """The path prefix in a browser: "", unless a proxy serves us below one."""
        return urlsplit(self.public_url).path

    def token(self, mchid: str, syssn: str) -> str:
        """16 characters that cannot be derived from the numbers without the key."""
        mac = hmac.digest(bytes.fromhex(self.key.reveal()), f"{mchid}/{syssn}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(mac[:TOKEN_BYTES]).decode()

    def is_token(self, given: str, mchid: str, syssn: str) -> bool:
        return hmac.compare_digest(self.token(mchid, syssn).encode(), given.encode())

    def path(self, payment: Payment) -> str:
        """The payment's page, as a path for links between our pages."""
        return self.root + self._below(payment)

    def of_payment(self, payment: Payment) -> str:
        """The payment's page, as an absolute URL."""
        return self.public_url + self._below(payment)

    def opening_path(self, payment: Payment) -> str:
        """The redirect to the wallet's page, as a path for links between our pages."""
        return f"{self.path(payment)}/open"

    def opening_of(self, payment: Payment) -> str:
        """The redirect to the wallet's page, as an absolute URL."""
        return f"{self.of_payment(payment)}/open"

    def checkout_path(self, mchid: str, link_id: str) -> str:
        """The page of a checkout link, where the payer chooses a wallet."""
        return f"{self.root}{CHECKSTAND}/{quote(mchid, safe='')}/{link_id}"

    def _below(self, payment: Payment) -> str:
        # WeChat allows its bridge in one folder only, which the operator registers with WeChat.
        folder = "wechat" if payment.pay_type.presentment is Presentment.JSAPI else "pay"
        token = self.token(payment.mchid, payment.syssn)
        return f"{CASHIER}/{folder}/{quote(payment.mchid, safe='')}/{payment.syssn}/{token}"


def order_end(payment: Payment) -> datetime:
    """When `payment` was decided; while it is pending, its deadline, after which the wallet takes no money."""
    return payment.deadline if payment.state is State.PENDING else payment.changed_at


def payment_page_end(payment: Payment) -> datetime:
    """When the pages of `payment` begin to answer as if it did not exist."""
    return order_end(payment) + PAGE_LIFETIME_AFTER_END


def pages_below(public_url: str, encryption_key: bytes) -> Pages:
    """The pages of a gateway with this encryption key. All its processes derive the same tokens."""
    return Pages(public_url, Secret(hmac.digest(encryption_key, PURPOSE, hashlib.sha256).hex()))
