"""A payer's browser comes back from Alipay: on to the merchant once the money is there, or a page that waits for it.

Both end when the payment's own page does, so that a return's address does not show more than that page.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from tael.base.security_log import log_refused_return
from tael.cashier.payment import payment_page
from tael.cashier.redirects import onward_url
from tael.cashier.rendering import message, no_such_page, route, to_merchant
from tael.payments.checkout import checkout_of
from tael.payments.domain.page_urls import payment_page_end
from tael.payments.domain.payment import State
from tael.payments.gateway import RETURN, Gateway
from tael.payments.notices import payment_returned


def routes(gateway: Gateway) -> list[BaseRoute]:
    """The path is named in `payments/gateway.py`, which gives it out."""
    return [route(f"{RETURN}/{{account_id}}", _returned, gateway)]


async def _returned(request: Request, gateway: Gateway) -> Response:
    """The wallet is asked: its own word decides, not the address that the browser came with."""
    returned = await payment_returned(request.path_params["account_id"], dict(request.query_params), gateway)
    if returned is None:
        log_refused_return(request.path_params["account_id"], request.client.host if request.client else "")
        return message(request, "gone", "gone_more", 400)
    payment, app = returned
    if gateway.clock.now() >= payment_page_end(payment):
        return no_such_page(request)
    if payment.state is State.PAID:
        url = onward_url(payment, app, await checkout_of(payment, gateway))
        if url:
            return to_merchant(url)
    return await payment_page(request, payment, gateway)
