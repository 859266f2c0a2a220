"""A checkout link: signed by a merchant, opened by a payer, who chooses how to pay. Pure.

At most one order of a link is open at a time. The payer may choose again once the wallet has ended the last one.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tael.base.money import Money
from tael.payments.domain.page_urls import PAGE_LIFETIME_AFTER_END, order_end
from tael.payments.domain.payment import Payment

#: Each change of wallet costs a close and a new order.
MAX_ORDERS: Final = 20
#: An order is payable for at least this long, even if the link expires sooner.
MIN_ORDER: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class CheckoutLink:
    """One link; `reference` is the merchant's number of the order, whichever wallet pays it. Instants are UTC."""

    mchid: str
    reference: str
    link_id: str  #: random; the unguessable part of its page's URL
    appcode: str
    amount: Money
    subject: str
    openid: str  #: the payer's, under the merchant's official account; "" if unknown
    client_time: str  #: "" if not given
    device: str
    return_url: str  #: where the payer goes after paying; "" for our own page
    failed_url: str  #: where the payer goes if the payment failed; "" for our own page
    cancel_url: str  #: "" if not given
    order_s: int | None  #: the lifetime of an order, if the merchant sets one
    created_at: datetime  #: when it was first opened
    expires_at: datetime
    #: The merchant gave `expires_at` as an instant, which may lie before `created_at`.
    has_fixed_end: bool = False
    forbid_credit: bool = False  #: as in a payment
    payment_syssn: str = ""  #: the newest order, open or ended
    orders: int = 0
    ended_at: datetime | None = None  #: when the merchant closed it

    @property
    def content(self) -> str:
        """Digest of what must not change when the link is opened again. A relative expiry starts at the first time."""
        parts = (
            self.appcode,
            str(self.amount.amount_minor),
            self.amount.currency,
            self.subject,
            self.openid,
            self.client_time,
            self.device,
            self.return_url,
            self.failed_url,
            self.cancel_url,
            str(self.order_s or ""),
            self.expires_at.isoformat() if self.has_fixed_end else str(self.expires_at - self.created_at),
            # Only if set, so that the digests of existing links stay the same.
            *(["no_credit"] if self.forbid_credit else []),
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def takes_orders(link: CheckoutLink, now: datetime) -> bool:
    """Whether the payer may still open an order."""
    return link.ended_at is None and now < link.expires_at and link.orders < MAX_ORDERS


def link_pages_end(link: CheckoutLink, order: Payment | None) -> datetime:
    """When the link's pages begin to answer as if it did not exist. `order` is its newest."""
    end = link.ended_at or max(link.expires_at, link.created_at)
    return (max(end, order_end(order)) if order else end) + PAGE_LIFETIME_AFTER_END


def order_expires_after_s(link: CheckoutLink, default_s: int, now: datetime) -> int:
    """How long an order opened now is payable, in seconds: until the link expires, but at least MIN_ORDER."""
    wanted = timedelta(seconds=link.order_s or default_s)
    return int(max(min(wanted, link.expires_at - now), MIN_ORDER).total_seconds())
