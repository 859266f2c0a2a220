"""Refunding a payment: the refund is committed and its amount reserved before the wallet is called.

`check_refund` polls an accepted refund until the wallet decides it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from tael.base.errors import NotFound, ReferenceReused, TaelError
from tael.base.moments import moment_text
from tael.base.money import Money
from tael.channels.outcomes import Refused, Unknown
from tael.db.database import StoreUnavailable
from tael.merchants.domain.merchant import Merchant
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import Refund, RefundRules
from tael.payments.opening import await_initial_response, is_in_flight
from tael.payments.outcomes import record_refund_outcome
from tael.payments.store.reservations import Repeated, Reservation

log = structlog.get_logger()

FIRST_CHECK: Final = timedelta(seconds=1)
#: No request of ours is still on its way to a wallet after this time.
MAX_REQUEST_TRANSIT: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """A merchant's request to refund `amount_minor` of the payment `payment_syssn`, under its own `reference`."""

    merchant: Merchant
    payment_syssn: str
    reference: str
    amount_minor: int
    client_time: str  #: "" if not given: then ours is used
    device: str


async def refund_payment(request: RefundRequest, context: PaymentContext) -> Refund:
    """The refund after its initial request. Raises TaelErrors and StoreUnavailable."""
    payment = await context.store.payments.by_syssn(request.merchant.mchid, request.payment_syssn)
    if payment is None:
        raise NotFound("no such payment")
    if is_in_flight(payment, context):
        payment = await await_initial_response(payment, context)
    reserved = await context.store.refunds.reserve(await _reservation(request, payment, context))
    match reserved:
        case TaelError():
            raise reserved
        case Repeated(refund):
            if refund.payment_syssn != payment.syssn or refund.amount.amount_minor != request.amount_minor:
                raise ReferenceReused("this number belongs to a refund with different content; use a new one")
            return refund
        case _ if not reserved.is_sent_now:
            return reserved.refund
    return await _send_initial_request(payment, reserved.refund, context)


async def check_refund(refund: Refund, context: PaymentContext) -> Refund:
    """Query a refund. If it never reached the wallet it is sent again, under the same number."""
    payment = await context.store.payments.by_syssn(refund.mchid, refund.payment_syssn)
    if payment is None:
        raise LookupError(f"the payment of refund {refund.syssn} is missing")
    order = await context.wallets.refund_order(payment, refund)
    channel = context.wallets.channel(payment.protocol)
    is_young = context.clock.now() - refund.created_at < MAX_REQUEST_TRANSIT
    outcome = await channel.query_refund(order)
    if isinstance(outcome, Unknown) and outcome.no_such_order:
        outcome = await channel.refund(order)
        # The refusal is about this repeat only, while the initial request may still be on its way.
        if isinstance(outcome, Refused) and is_young:
            outcome = Unknown(f"a repeat was refused: {outcome.wallet_code}")
    return await record_refund_outcome(payment, refund, outcome, context)


async def _send_initial_request(payment: Payment, refund: Refund, context: PaymentContext) -> Refund:
    try:
        order = await context.wallets.refund_order(payment, refund)
        outcome = await context.wallets.channel(payment.protocol).refund(order)
        return await record_refund_outcome(payment, refund, outcome, context, is_first=True)
    except StoreUnavailable:
        # The refund is committed and the wallet was called: a job will query the outcome.
        log.warning("refund.unrecorded", mchid=refund.mchid, syssn=refund.syssn)
        return refund


async def _reservation(request: RefundRequest, payment: Payment, context: PaymentContext) -> Reservation:
    now = context.clock.now()
    account = await context.wallets.account(payment)
    refund = Refund(
        mchid=request.merchant.mchid,
        syssn=await context.store.serials.syssn(now),
        payment_syssn=payment.syssn,
        account_id=payment.account_id,
        protocol=payment.protocol,
        reference=request.reference,
        amount=Money(request.amount_minor, payment.amount.currency),
        client_time=request.client_time or moment_text(now),
        device=request.device,
        created_at=now,
        changed_at=now,
        check_at=now + FIRST_CHECK,
    )
    capabilities = context.wallets.capabilities(account)
    rules = RefundRules(
        window=timedelta(days=account.refund_window_days),
        supports_partial=capabilities.supports_partial_refunds,
        max_refunds=capabilities.max_refunds_per_order,
    )
    return Reservation(refund, rules, now, capabilities.refund_gap)
