"""A checkout link: what a merchant signed for a payer to open, and the order that the payer chose under it. Pure.

At most one order of a link is open at a time. The payer may choose again when the wallet has ended the last one.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tael.base.money import Money
from tael.payments.domain.page_urls import PAGE_LIFETIME_AFTER_END, order_end
from tael.payments.domain.payment import Payment

#: A payer who cannot decide costs a wallet a close and an order each time.
MAX_ORDERS: Final = 20
#: Orders are not asked of a wallet for less time than this, however little the link has left.
MIN_ORDER: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class CheckoutLink:
    """One link; `reference` is the merchant's number of whatever is paid under it. Instants are UTC."""

    mchid: str
    reference: str
    link_id: str  #: random; the part of its page's address that nobody can guess
    appcode: str
    amount: Money
    subject: str
    openid: str  #: of the payer under the merchant's official account, where the merchant knows it
    client_time: str  #: "" where the merchant gave none
    device: str
    return_url: str  #: where the payer goes when it is paid; "" for our own page
    failed_url: str  #: where it came to nothing; "" for our own page
    cancel_url: str  #: "" where the merchant gave none
    order_s: int | None  #: how long an order lives, where the merchant says so
    created_at: datetime  #: when it was first opened
    expires_at: datetime
    has_fixed_end: bool = (
        False  #: the merchant named the instant of `expires_at`; it may lie before `created_at`
    )
    forbid_credit: bool = False  #: as of a payment
    payment_syssn: str = ""  #: the newest order, open or ended
    orders: int = 0
    ended_at: datetime | None = None  #: the merchant closed it

    @property
    def content(self) -> str:
        """What a second opening must agree in, as a digest. Minutes that it has left began with the first."""
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
            *(
                ["no_credit"] if self.forbid_credit else []
            ),  # only then: links that are known keep their digest
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def takes_orders(link: CheckoutLink, now: datetime) -> bool:
    """Whether the payer may still choose."""
    return link.ended_at is None and now < link.expires_at and link.orders < MAX_ORDERS


def link_pages_end(link: CheckoutLink, order: Payment | None) -> datetime:
    """From then on the link's pages answer like those of an unknown one. `order` is its newest."""
    end = link.ended_at or max(link.expires_at, link.created_at)
    return (max(end, order_end(order)) if order else end) + PAGE_LIFETIME_AFTER_END


def order_expires_after_s(link: CheckoutLink, default_s: int, now: datetime) -> int:
    """How long an order that is opened now shall be payable: not beyond the link, but long enough to pay."""
    wanted = timedelta(seconds=link.order_s or default_s)
    return int(max(min(wanted, link.expires_at - now), MIN_ORDER).total_seconds())
