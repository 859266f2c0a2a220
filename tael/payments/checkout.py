"""Checkout links: opening a link, and opening the order that its payer chooses.

One order at a time: the last order is closed at its wallet before another is opened, and only the wallet's own response
that it takes no more money makes room. Money that arrives anyway is late money, recorded with `record_outcome`.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from tael.base import errors
from tael.base.pay_types import PayType
from tael.merchants.credential_cache import AppContext, check_grant, check_state
from tael.merchants.domain.merchant import Merchant, Operation
from tael.payments.closes import close_order
from tael.payments.context import PaymentContext
from tael.payments.domain.checkout import CheckoutLink, link_pages_end, order_expires_after_s, takes_orders
from tael.payments.domain.payment import PayersSite, Payment, State
from tael.payments.opening import (
    PaymentRequest,
    await_initial_response,
    is_in_flight,
    opening_of,
    refusal_by_limits,
    send_initial_request,
    with_pay_data,
)

log = structlog.get_logger()

#: How often a choice is retried when another browser was faster.
MAX_ROUNDS: Final = 5
NOT_FROM_A_LINK: Final = "this number belongs to a payment that was not opened from a checkout link"


@dataclass(frozen=True, slots=True)
class Checkout:
    """A link with its app, its merchant and its newest order."""

    link: CheckoutLink
    context: AppContext
    merchant: Merchant
    order: Payment | None
    pay_types: frozenset[str]  #: the codes that the merchant's accounts serve

    def can_be_paid_by(self, pay_type: PayType) -> bool:
        return pay_type.code in self.pay_types


async def open_link(new_link: CheckoutLink, merchant: Merchant, context: PaymentContext) -> CheckoutLink:
    """The link with this reference: `new_link`, or an existing one with the same content.

    Raises ReferenceReused, CurrencyRefused, AmountRefused, OrderExpired once its pages have ended, StoreUnavailable.
    """
    store = context.store
    existing = await store.checkouts.by_reference(new_link.mchid, new_link.reference)
    if existing is None:
        if await store.payments.by_reference(new_link.mchid, new_link.reference) is not None:
            raise errors.ReferenceReused(NOT_FROM_A_LINK)
        refusal = refusal_by_limits(merchant, new_link.amount)
        if refusal is not None:
            raise refusal
        await store.checkouts.add(new_link)
        existing = await store.checkouts.by_reference(new_link.mchid, new_link.reference)
    if existing is None or existing.content != new_link.content:
        raise errors.ReferenceReused(
            "this number belongs to a checkout link with different content; use a new one"
        )
    order = await _newest_order(existing, context)
    if context.clock.now() >= link_pages_end(existing, order):
        raise errors.OrderExpired("this checkout link has expired; use a new number")
    return existing


async def find_checkout(mchid: str, link_id: str, context: PaymentContext) -> Checkout | None:
    """The link with this id, or None. Raises StoreUnavailable."""
    link = await context.store.checkouts.by_id(mchid, link_id)
    return await _checkout(link, context) if link else None


async def checkout_of(payment: Payment, context: PaymentContext) -> Checkout | None:
    """The link whose newest order `payment` is, or None."""
    link = await context.store.checkouts.by_reference(payment.mchid, payment.reference)
    return await _checkout(link, context) if link and link.payment_syssn == payment.syssn else None


async def choose(
    checkout: Checkout, pay_type: PayType, context: PaymentContext, site: PayersSite | None = None
) -> Payment:
    """The link's order with `pay_type`; the previous order if it is paid or its wallet did not close it yet.

    `site` is for a pay type whose wallet compares the payer's address.

    Raises the TaelErrors of a payment, OrderClosed and OrderExpired if the link has ended, StoreUnavailable.
    """
    check_state(checkout.context.app, checkout.merchant)
    await context.wallets.credentials.check_open()
    check_grant(checkout.merchant, Operation.PAYMENT)
    for _ in range(MAX_ROUNDS):
        order = await _previous_order(checkout.order, pay_type, site, context)
        if order is not None and order.state in (State.PENDING, State.PAID):
            return await with_pay_data(order, context)
        _refuse_ended(checkout.link, context)
        request = _payment_request(checkout, pay_type, site, context)
        opening = await opening_of(request, context)
        if await context.store.checkouts.open_order(
            checkout.link, opening.payment, checkout.merchant.volume_limits
        ):
            return await send_initial_request(opening, context)
        link = await context.store.checkouts.by_reference(checkout.link.mchid, checkout.link.reference)
        if link is None or link == checkout.link:
            break  # no other browser was faster, so the number belongs to a payment of the merchant's own
        checkout = await _checkout(link, context)
    raise errors.ReferenceReused(NOT_FROM_A_LINK)


async def leave(checkout: Checkout, context: PaymentContext) -> Payment | None:
    """Close the open order, if its wallet does, when the payer goes back to the shop. Raises StoreUnavailable."""
    order = checkout.order
    return await _closed(order, context) if order is not None and order.state is State.PENDING else order


async def _checkout(link: CheckoutLink, context: PaymentContext) -> Checkout:
    known = await context.wallets.credentials.app(link.appcode)
    if known is None:
        raise LookupError(f"the app of link {link.link_id} is missing, which the database forbids")
    merchant = known.merchants[link.mchid]
    accounts = [account for account in known.accounts if account.mchid == merchant.mchid]
    pay_types = frozenset[str]().union(
        *(context.wallets.capabilities(account).pay_types for account in accounts)
    )
    return Checkout(link, known, merchant, await _newest_order(link, context), pay_types)


async def _newest_order(link: CheckoutLink, context: PaymentContext) -> Payment | None:
    if not link.payment_syssn:
        return None
    return await context.store.payments.by_syssn(link.mchid, link.payment_syssn)


async def _previous_order(
    order: Payment | None, pay_type: PayType, site: PayersSite | None, context: PaymentContext
) -> Payment | None:
    """`order` after its initial request; closed at its wallet if the payer needs another one.

    That is for another pay type, and at another address for an order that can be paid from one address only.
    """
    if order is None:
        return None
    if is_in_flight(order, context):
        order = await await_initial_response(order, context)
    is_for_this_payer = order.pay_type == pay_type and order.payer_ip == (site.ip if site else "")
    if order.state is State.PENDING and not is_for_this_payer:
        return await _closed(order, context)
    return order


async def _closed(order: Payment, context: PaymentContext) -> Payment:
    """`order` after a close request to its wallet: CLOSED, PAID if the payer was faster, or still PENDING."""
    try:
        return await close_order(order, context)
    except errors.TaelError as error:
        log.info("checkout.not_closed", mchid=order.mchid, syssn=order.syssn, reason=error.reason)
        return await context.store.payments.by_syssn(order.mchid, order.syssn) or order


def _refuse_ended(link: CheckoutLink, context: PaymentContext) -> None:
    if link.ended_at is not None:
        raise errors.OrderClosed("the merchant closed this checkout link")
    if not takes_orders(link, context.clock.now()):
        raise errors.OrderExpired("this checkout link accepts no more orders")


def _payment_request(
    checkout: Checkout, pay_type: PayType, site: PayersSite | None, context: PaymentContext
) -> PaymentRequest:
    link = checkout.link
    return PaymentRequest(
        context=checkout.context,
        merchant=checkout.merchant,
        pay_type=pay_type,
        reference=link.reference,
        amount=link.amount,
        auth_code="",
        openid=link.openid,
        subject=link.subject,
        client_time=link.client_time,
        device=link.device,
        forbid_credit=link.forbid_credit,
        expires_after_s=order_expires_after_s(link, pay_type.expires_after_s, context.clock.now()),
        site=site,
    )
