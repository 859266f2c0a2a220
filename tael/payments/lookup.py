"""Finding the payment of a close or reversal by our number, the merchant's, or both."""

from tael.base.errors import Mismatch, NotFound
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import Payment
from tael.payments.opening import await_initial_response, is_in_flight


async def find_payment(mchid: str, syssn: str, reference: str, context: PaymentContext) -> Payment:
    """The payment; a merchant's number means its current attempt. Waits while its initial request is in flight.

    Raises NotFound, Mismatch if the two numbers belong to different payments, StoreUnavailable.
    """
    payments = context.store.payments
    payment = (
        await payments.by_syssn(mchid, syssn) if syssn else await payments.by_reference(mchid, reference)
    )
    if payment is None:
        raise NotFound("no such payment")
    if syssn and reference and payment.reference != reference:
        raise Mismatch("syssn and out_trade_no belong to different payments")
    return await await_initial_response(payment, context) if is_in_flight(payment, context) else payment
