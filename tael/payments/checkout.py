"""Checkout links: opening one, and the order that its payer chooses. Called by `api/checkout.py` and the cashier.

One order at a time: the last one is closed at its wallet before another is opened, and only the wallet's own word that
it takes no more money makes room. Money that comes all the same is late money, and enters by the one door.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from tael.base import errors
from tael.base.pay_types import PayType
from tael.merchants.credential_cache import AppContext, check_grant, check_state
from tael.merchants.domain.merchant import Merchant, Operation
from tael.payments.closes import close_order
from tael.payments.domain.checkout import CheckoutLink, link_pages_end, order_expires_after_s, takes_orders
from tael.payments.domain.payment import Payment, State
from tael.payments.gateway import Gateway
from tael.payments.opening import (
    PaymentRequest,
    await_initial_response,
    is_in_flight,
    pending_payment,
    refusal_by_limits,
    send_initial_request,
    with_pay_data,
)

log = structlog.get_logger()

#: How often a choice looks again when another browser was faster.
MAX_ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class Checkout:
    """A link with whom it belongs to and the order that was chosen last."""

    link: CheckoutLink
    known: AppContext
    merchant: Merchant
    order: Payment | None

    def can_be_paid_by(self, pay_type: PayType) -> bool:
        try:
            self.known.account_for(self.merchant, pay_type)
        except (errors.NoChannel, errors.NotSetUp):
            return False
        return True


async def open_link(fresh: CheckoutLink, merchant: Merchant, gateway: Gateway) -> CheckoutLink:
    """The link under this number: `fresh`, or the one that was opened before with the same content.

    Raises ReferenceReused, CurrencyRefused, AmountRefused, OrderExpired once its pages have ended, StoreUnavailable.
    """
    store = gateway.store
    known = await store.checkouts.by_reference(fresh.mchid, fresh.reference)
    if known is None:
        if await store.payments.by_reference(fresh.mchid, fresh.reference) is not None:
            raise errors.ReferenceReused("this number names a payment that no checkout link opened")
        refusal = refusal_by_limits(merchant, fresh.amount)
        if refusal is not None:
            raise refusal
        await store.checkouts.add(fresh)
        known = await store.checkouts.by_reference(fresh.mchid, fresh.reference)
    if known is None or known.content != fresh.content:
        raise errors.ReferenceReused("this number names a checkout link with other content; use a new one")
    order = await _newest_order(known, gateway)
    if gateway.clock.now() >= link_pages_end(known, order):
        raise errors.OrderExpired("this checkout link has ended; use a new number")
    return known


async def find_checkout(mchid: str, link_id: str, gateway: Gateway) -> Checkout | None:
    """The link with this id, or None. Raises StoreUnavailable."""
    link = await gateway.store.checkouts.by_id(mchid, link_id)
    return await _checkout(link, gateway) if link else None


async def checkout_of(payment: Payment, gateway: Gateway) -> Checkout | None:
    """The link whose newest order `payment` is, or None."""
    link = await gateway.store.checkouts.by_reference(payment.mchid, payment.reference)
    return await _checkout(link, gateway) if link and link.payment_syssn == payment.syssn else None


async def choose(checkout: Checkout, pay_type: PayType, gateway: Gateway) -> Payment:
    """The link's order by `pay_type`; the order before, where it is paid or its wallet would not close it yet.

    Raises the TaelErrors of a payment, OrderClosed and OrderExpired where the link is over, StoreUnavailable.
    """
    check_state(checkout.merchant)
    await gateway.credentials.check_open()
    check_grant(checkout.merchant, Operation.PAYMENT)
    for _ in range(MAX_ROUNDS):
        order = await _settled(checkout.order, pay_type, gateway)
        if order is not None and order.state in (State.PENDING, State.PAID):
            return await with_pay_data(order, gateway)
        _refuse_over(checkout.link, gateway)
        request = _ask_for(checkout, pay_type, gateway)
        fresh = await pending_payment(request, gateway)
        if await gateway.store.checkouts.open_order(checkout.link, fresh):
            return await send_initial_request(fresh, request, gateway)
        link = await gateway.store.checkouts.by_reference(checkout.link.mchid, checkout.link.reference)
        if link is None or link == checkout.link:
            break  # nobody was faster, so the number names a payment of the merchant's own
        checkout = await _checkout(link, gateway)
    raise errors.ReferenceReused("this number names a payment that no checkout link opened")


async def leave(checkout: Checkout, gateway: Gateway) -> Payment | None:
    """The payer goes back to the shop: the open order is closed, if its wallet will. Raises StoreUnavailable."""
    order = checkout.order
    return await _closed(order, gateway) if order is not None and order.state is State.PENDING else order


async def _checkout(link: CheckoutLink, gateway: Gateway) -> Checkout:
    known = await gateway.credentials.app(link.appcode)
    if known is None:
        raise LookupError(f"the link {link.link_id} has lost its app, which the database forbids")
    return Checkout(link, known, known.merchants[link.mchid], await _newest_order(link, gateway))


async def _newest_order(link: CheckoutLink, gateway: Gateway) -> Payment | None:
    if not link.payment_syssn:
        return None
    return await gateway.store.payments.by_syssn(link.mchid, link.payment_syssn)


async def _settled(order: Payment | None, pay_type: PayType, gateway: Gateway) -> Payment | None:
    """`order`, after its first question; closed at its wallet if another way of paying is wanted."""
    if order is None:
        return None
    if is_in_flight(order, gateway):
        order = await await_initial_response(order, gateway)
    if order.state is State.PENDING and order.pay_type != pay_type:
        return await _closed(order, gateway)
    return order


async def _closed(order: Payment, gateway: Gateway) -> Payment:
    """`order` once its wallet was asked to close it: CLOSED, PAID by a payer who was faster, or still PENDING."""
    try:
        return await close_order(order, gateway)
    except errors.TaelError as error:
        log.info("checkout.not_closed", mchid=order.mchid, syssn=order.syssn, respcd=error.respcd)
        return await gateway.store.payments.by_syssn(order.mchid, order.syssn) or order


def _refuse_over(link: CheckoutLink, gateway: Gateway) -> None:
    if link.ended_at is not None:
        raise errors.OrderClosed("the merchant closed this checkout link")
    if not takes_orders(link, gateway.clock.now()):
        raise errors.OrderExpired("this checkout link takes no more orders")


def _ask_for(checkout: Checkout, pay_type: PayType, gateway: Gateway) -> PaymentRequest:
    link = checkout.link
    return PaymentRequest(
        context=checkout.known,
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
        expires_after_s=order_expires_after_s(link, pay_type.expires_after_s, gateway.clock.now()),
    )
