"""The return of a payer's browser from Alipay: redirects to the merchant once paid, otherwise shows the payment's page.

Ends together with the payment's page, so that the address of a return never shows more than that page.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from tael.base.security_log import log_refused_return
from tael.cashier.context import CashierContext
from tael.cashier.payment import payment_page
from tael.cashier.redirects import onward_url
from tael.cashier.rendering import message, no_such_page, route, to_merchant
from tael.payments.checkout import checkout_of
from tael.payments.domain.page_urls import payment_page_end
from tael.payments.domain.payment import State
from tael.payments.notices import payment_returned, returned_account
from tael.payments.wallets import RETURN


def routes(context: CashierContext) -> list[BaseRoute]:
    """The path is defined in `payments/wallets.py`, which gives it to the wallet."""
    return [route(f"{RETURN}/{{account_id}}", _returned, context)]


async def _returned(request: Request, context: CashierContext) -> Response:
    """Queries the wallet: its response decides, not the parameters of the browser's address."""
    account = await returned_account(request.path_params["account_id"], context.payments)
    if account is not None:
        context = await context.for_merchant(account.mchid)
    returned = account and await payment_returned(account, dict(request.query_params), context.payments)
    if not returned:
        log_refused_return(request.path_params["account_id"], request.client.host if request.client else "")
        return message(request, "gone", "gone_more", 400)
    payment, app = returned
    if context.now() >= payment_page_end(payment):
        return no_such_page(request)
    if payment.state is State.PAID:
        url = onward_url(payment, app, await checkout_of(payment, context.payments))
        if url:
            return to_merchant(url)
    return await payment_page(request, payment, context)
