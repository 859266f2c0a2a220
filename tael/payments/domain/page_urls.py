"""URLs of the pages that a payer opens, and how long they work. Pure.

A syssn can be guessed, so a URL carries a token that cannot: the id of a key, and a truncated HMAC of mchid and syssn
under it. The URL alone gives access to payee, subject, amount and state, and lets its holder pay, so it stops working a
while after the order ends.
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
#: Between the id of the key and the HMAC; in neither of them.
SEPARATOR: Final = "."
TOKEN_BYTES: Final = 12
#: Long enough to come back and read the result; a URL that leaks later shows nothing.
PAGE_LIFETIME_AFTER_END: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class LinkKey:
    """A key of tokens. Instants are UTC."""

    key_id: str  #: letters and digits
    key: Secret  #: in hex
    created_at: datetime
    accepted_until: datetime | None = None  #: None for the current key


@dataclass(frozen=True, slots=True)
class Site:
    """The addresses that have no token, below `public_url`, which has no slash at the end."""

    public_url: str

    @property
    def root(self) -> str:
        """The path prefix in a browser: "", unless a proxy serves us below one."""
        return urlsplit(self.public_url).path

    def checkout_path(self, mchid: str, link_id: str) -> str:
        """The page of a checkout link, where the payer chooses a wallet."""
        return f"{self.root}{CHECKSTAND}/{quote(mchid, safe='')}/{link_id}"


@dataclass(frozen=True, slots=True)
class Pages(Site):
    """The addresses of payments' pages, made with the current one of `keys`."""

    keys: tuple[LinkKey, ...]

    def token(self, mchid: str, syssn: str) -> str:
        """An id and 16 characters that cannot be derived from the numbers without the key."""
        (current,) = (key for key in self.keys if key.accepted_until is None)
        return _token(current, mchid, syssn)

    def has_key_of(self, token: str) -> bool:
        """Whether the key that `token` names is one of `keys`."""
        return self._key_of(token) is not None

    def is_token(self, given: str, mchid: str, syssn: str, now: datetime) -> bool:
        key = self._key_of(given)
        if key is None or (key.accepted_until is not None and now >= key.accepted_until):
            return False
        return hmac.compare_digest(_token(key, mchid, syssn).encode(), given.encode())

    def _key_of(self, token: str) -> LinkKey | None:
        key_id, separator, _ = token.partition(SEPARATOR)
        return next((key for key in self.keys if separator and key.key_id == key_id), None)

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


def _token(key: LinkKey, mchid: str, syssn: str) -> str:
    mac = hmac.digest(bytes.fromhex(key.key.reveal()), f"{mchid}/{syssn}".encode(), hashlib.sha256)
    return f"{key.key_id}{SEPARATOR}{base64.urlsafe_b64encode(mac[:TOKEN_BYTES]).decode()}"
