"""Rotation of the link keys, and how long the one before is accepted: until all pages of its orders have ended."""

from datetime import timedelta
from typing import Final

from tael.audit_log.domain.entry import Origin
from tael.base.pay_types import PAY_TYPES
from tael.channels.registry import installed_protocols
from tael.payments.domain.checkout import MIN_ORDER
from tael.payments.domain.page_urls import PAGE_LIFETIME_AFTER_END, LinkKey
from tael.payments.domain.payment import LATE_MONEY
from tael.payments.page_links import MAX_AGE_S
from tael.payments.store.link_keys import LinkKeys
from tael.qfpay.fields import EXPIRED_TIME_MAX, VALID_TIME_MAX_S

#: The longest time that an order can be given, by a request, a checkout link or its pay type.
MAX_ORDER_LIFETIME: Final = max(
    timedelta(seconds=VALID_TIME_MAX_S),
    timedelta(minutes=EXPIRED_TIME_MAX),
    MIN_ORDER,
    *(timedelta(seconds=pay_type.expires_after_s) for pay_type in PAY_TYPES.values()),
)
#: A process that has not seen the new key yet opens an order; its requests last less than a minute.
FOLLOWING: Final = timedelta(seconds=MAX_AGE_S) + timedelta(minutes=1)


def max_deadline() -> timedelta:
    """How long after its opening an order can still be paid, over all installed protocols."""
    return max(each.max_deadline(MAX_ORDER_LIFETIME) for each in installed_protocols().by_name.values())


def accepted_for() -> timedelta:
    """How long a link key is accepted after its successor was made.

    Until the last order that it names can no longer be paid, and is no longer polled for late money, and its page ends.
    """
    return FOLLOWING + max_deadline() + LATE_MONEY + PAGE_LIFETIME_AFTER_END


async def rotate_link_keys(link_keys: LinkKeys, origin: Origin) -> LinkKey:
    """The new current key. Raises TooManyLinkKeys."""
    return await link_keys.rotate(origin, origin.at + accepted_for())
