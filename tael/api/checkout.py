"""POST /checkstand/open: stores a checkout link whose parameters are verified.

The link's page reads the parameters behind the `#` and posts them. Here the signature is a parameter: it covers every
parameter that has a value, including `sign_type`, with or without `lang`. Responses are not signed and repeat no
parameter before the signature is verified.
"""

from functools import partial

from tael.api.exchange import Endpoint
from tael.api.pipeline import LINK
from tael.payments.checkout import open_link
from tael.payments.context import PaymentContext
from tael.payments.domain.page_urls import CHECKSTAND, Site
from tael.qfpay import codes
from tael.qfpay.answers import Members
from tael.qfpay.links import link_of
from tael.qfpay.requests import AuthenticatedRequest


async def open_checkout(request: AuthenticatedRequest, context: PaymentContext, site: Site) -> Members:
    """`page`, the path where the payer chooses a wallet."""
    requested = link_of(request.params, request.context.app, request.merchant, context.clock.now())
    link = await open_link(requested, request.merchant, context)
    page = site.checkout_path(link.mchid, link.link_id)
    return {"respcd": codes.OK, "respmsg": "ok", "resperr": "", "page": page}


def opening(context: PaymentContext, site: Site) -> Endpoint[AuthenticatedRequest]:
    """The endpoint that stores a link."""
    handler = partial(open_checkout, context=context, site=site)
    return Endpoint(f"{CHECKSTAND}/open", ("POST",), "checkout", "payment", handler, LINK, is_page=True)
