"""Finding the payment that a close, a reversal or a refund means, by our number, the merchant's, or both."""

from tael.base.errors import Mismatch, NotFound
from tael.payments.domain.payment import Payment
from tael.payments.gateway import Gateway
from tael.payments.opening import await_initial_response, is_in_flight


async def find_payment(mchid: str, syssn: str, reference: str, gateway: Gateway) -> Payment:
    """The payment named; a merchant's number means its current attempt. Waits while its first question is out.

    Raises NotFound, Mismatch where the two numbers name different payments, StoreUnavailable.
    """
    payments = gateway.store.payments
    found = await payments.by_syssn(mchid, syssn) if syssn else await payments.by_reference(mchid, reference)
    if found is None:
        raise NotFound("no such payment")
    if syssn and reference and found.reference != reference:
        raise Mismatch("syssn and out_trade_no name different payments")
    return await await_initial_response(found, gateway) if is_in_flight(found, gateway) else found
