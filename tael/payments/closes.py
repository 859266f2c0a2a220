"""Closing an unpaid online order: first at the wallet, then here. If the payer was faster, the payment stands."""

from dataclasses import dataclass

from tael.base import errors
from tael.base.reasons import Reason
from tael.channels.outcomes import Closed, NotSent, Paid, Refused, Unknown
from tael.merchants.domain.merchant import Merchant
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import Payment, State, numbers_of
from tael.payments.lookup import find_payment
from tael.payments.outcomes import record_outcome


@dataclass(frozen=True, slots=True)
class CloseRequest:
    """The order to close; one of the two numbers may be empty."""

    merchant: Merchant
    syssn: str
    reference: str


async def close_payment(request: CloseRequest, context: PaymentContext) -> Payment:
    """The payment: CLOSED, or still PENDING if the wallet's outcome is unknown. Raises TaelErrors."""
    payment = await _payment_without_link(request, context)
    return await close_order(payment, context)


async def _payment_without_link(request: CloseRequest, context: PaymentContext) -> Payment:
    """The payment to close, once no payer can open another order under its number. Raises NotFound, Mismatch."""
    mchid, end = request.merchant.mchid, context.store.checkouts.end
    if request.syssn:
        payment = await find_payment(mchid, request.syssn, request.reference, context)
        await end(mchid, payment.reference, context.clock.now())
        return payment
    await end(mchid, request.reference, context.clock.now())
    return await find_payment(mchid, "", request.reference, context)


async def close_order(payment: Payment, context: PaymentContext) -> Payment:
    """`payment`, closed at its wallet and here, or still PENDING if the wallet's outcome is unknown."""
    refusal = refusal_to_close(payment)
    if refusal is not None:
        raise refusal
    if payment.state is State.CLOSED:
        return payment
    account = await context.wallets.account(payment)
    if not context.wallets.capabilities(account).supports_close:
        raise errors.NotAllowed("this account cannot close orders", **numbers_of(payment))
    if not payment.close_syssn:
        close_syssn = await context.store.serials.syssn(context.clock.now())
        requested = await context.store.payments.request_close(payment, close_syssn)
        if requested is None:  # the row changed meanwhile: read it again
            return await close_order(await find_payment(payment.mchid, payment.syssn, "", context), context)
        payment = requested
    return await _close_at_wallet(payment, context)


def refusal_to_close(payment: Payment) -> errors.TaelError | None:
    """Why `payment` cannot be closed, or None."""
    if not payment.pay_type.is_online:
        return errors.NotAllowed("a barcode payment cannot be closed: call reversal", **numbers_of(payment))
    match payment.state:
        case State.PAID if payment.refunded_minor >= payment.amount.amount_minor:
            return errors.AlreadyRefunded("the payment is refunded in full", **numbers_of(payment))
        case State.PAID:
            return errors.NotAllowed("a paid order cannot be closed; refund it", **numbers_of(payment))
        case State.FAILED:
            return errors.NotAllowed(
                "the payment has failed; there is nothing to close", **numbers_of(payment)
            )
        case State.EXPIRED:
            return errors.OrderExpired("the order has expired", **numbers_of(payment))
        case _:
            return None


async def _close_at_wallet(payment: Payment, context: PaymentContext) -> Payment:
    if payment.is_unopened:  # and stays so: no payer is redirected to the wallet once a close is requested
        return await record_outcome(payment, Closed(), context)
    outcome = await context.wallets.channel(payment.protocol).close(await context.wallets.order(payment))
    match outcome:
        case Closed() | Paid():
            closed = await record_outcome(payment, outcome, context)
            refusal = refusal_to_close(closed)
            if refusal is not None:
                raise refusal
            return closed
        case Refused(_, wallet_code):
            await record_outcome(payment, Unknown(f"close refused: {wallet_code}"), context)
            raise errors.WalletRefused(
                Reason.CLOSE_REFUSED, "the wallet refused to close the order", **numbers_of(payment)
            )
        case NotSent():
            raise errors.WalletUnreachable("the wallet could not be reached", **numbers_of(payment))
        case _:
            return await record_outcome(payment, Unknown("close not decided"), context)
