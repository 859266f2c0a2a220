"""Closing an unpaid online order: first at the wallet, then here. If the payer was faster, the payment stands."""

from dataclasses import dataclass

from tael.base import errors
from tael.base.reasons import Reason
from tael.channels.outcomes import Closed, NotSent, Paid, Refused, Unknown
from tael.merchants.domain.merchant import Merchant
from tael.payments.domain.payment import Payment, State, numbers_of
from tael.payments.gateway import Gateway
from tael.payments.lookup import find_payment
from tael.payments.outcomes import record_outcome


@dataclass(frozen=True, slots=True)
class CloseRequest:
    """The order to close; one of the two numbers may be empty."""

    merchant: Merchant
    syssn: str
    reference: str


async def close_payment(request: CloseRequest, gateway: Gateway) -> Payment:
    """The payment: CLOSED, or still PENDING if the wallet's outcome is unknown. Raises TaelErrors."""
    payment = await _payment_without_link(request, gateway)
    return await close_order(payment, gateway)


async def _payment_without_link(request: CloseRequest, gateway: Gateway) -> Payment:
    """The payment to close, once no payer can open another order under its number. Raises NotFound, Mismatch."""
    mchid, end = request.merchant.mchid, gateway.store.checkouts.end
    if request.syssn:
        payment = await find_payment(mchid, request.syssn, request.reference, gateway)
        await end(mchid, payment.reference, gateway.clock.now())
        return payment
    await end(mchid, request.reference, gateway.clock.now())
    return await find_payment(mchid, "", request.reference, gateway)


async def close_order(payment: Payment, gateway: Gateway) -> Payment:
    """`payment`, closed at its wallet and here, or still PENDING if the wallet's outcome is unknown."""
    refusal = refusal_to_close(payment)
    if refusal is not None:
        raise refusal
    if payment.state is State.CLOSED:
        return payment
    account = await gateway.account(payment)
    if not gateway.capabilities(account).supports_close:
        raise errors.NotAllowed("this account cannot close orders", **numbers_of(payment))
    if not payment.close_syssn:
        close_syssn = await gateway.store.serials.syssn(gateway.clock.now())
        requested = await gateway.store.payments.request_close(payment, close_syssn)
        if requested is None:  # the row changed meanwhile: read it again
            return await close_order(await find_payment(payment.mchid, payment.syssn, "", gateway), gateway)
        payment = requested
    return await _close_at_wallet(payment, gateway)


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


async def _close_at_wallet(payment: Payment, gateway: Gateway) -> Payment:
    if payment.is_unopened:  # and stays so: no payer is redirected to the wallet once a close is requested
        return await record_outcome(payment, Closed(), gateway)
    outcome = await gateway.channel(payment.protocol).close(await gateway.order(payment))
    match outcome:
        case Closed() | Paid():
            closed = await record_outcome(payment, outcome, gateway)
            refusal = refusal_to_close(closed)
            if refusal is not None:
                raise refusal
            return closed
        case Refused(_, wallet_code):
            await record_outcome(payment, Unknown(f"close refused: {wallet_code}"), gateway)
            raise errors.WalletRefused(
                Reason.CLOSE_REFUSED, "the wallet refused to close the order", **numbers_of(payment)
            )
        case NotSent():
            raise errors.WalletUnreachable("the wallet could not be reached", **numbers_of(payment))
        case _:
            return await record_outcome(payment, Unknown("close not decided"), gateway)
