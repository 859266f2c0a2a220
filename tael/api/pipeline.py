"""The pipeline of a merchant's request: which steps it passes, in which order, and what a refusal becomes.

A request passes the steps of its endpoint from top to bottom and stops at the first that refuses it. `refusal` is the
only place where an error becomes a response. A response is signed once `sign_responses` is passed: its receiver has
proven the key.
"""

from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from tael.api import steps
from tael.api.downloads import Download, download_response
from tael.api.exchange import Access, Endpoint, Exchange, Redirect, Step
from tael.api.request_body import BodyTooLarge, peer_of
from tael.api.wire import answer
from tael.base import tracing
from tael.base.errors import NotAuthentic, OutOfService, Overloaded, RateLimited, TaelError
from tael.base.log_context import Serving
from tael.base.metrics import CALLS, timer_s
from tael.base.security_log import log_failed_authentication, log_rate_limited
from tael.db.database import StoreUnavailable, budget
from tael.db.outages import log_unavailable
from tael.merchants.domain.rate_limits import Limit
from tael.qfpay.answers import bare_answer, error_answer
from tael.qfpay.codes import BAD_MESSAGE, TABLE
from tael.qfpay.errors import UnreadableMessage
from tael.qfpay.reasons import code_of

log = structlog.get_logger()

#: The address has a signature, which no other site needs to see.
REDIRECT_HEADERS: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}

#: A query changes nothing: it works during maintenance and cannot be denied.
QUERY: Final[tuple[Step, ...]] = (
    steps.limit_address,
    steps.read_body,
    steps.admit,
    steps.read_call,
    steps.identify,
    steps.verify_call,
    steps.check_reading,
    steps.check_address,
    steps.check_age,
    steps.select_merchant,
    steps.limit_merchant,
    steps.sign_responses,
    steps.check_state,
    steps.call_handler,
)

#: Every other call of a merchant's server.
CALL: Final[tuple[Step, ...]] = (
    steps.limit_address,
    steps.read_body,
    steps.admit,
    steps.read_call,
    steps.identify,
    steps.verify_call,
    steps.check_reading,
    steps.check_address,
    steps.check_age,
    steps.select_merchant,
    steps.limit_merchant,
    steps.sign_responses,
    steps.check_state,
    steps.check_open,
    steps.check_grant,
    steps.call_handler,
)

#: A sign-up, and documents of a merchant that may not be approved yet.
APPLICATION: Final[tuple[Step, ...]] = (
    steps.limit_address,
    steps.read_upload,
    steps.admit,
    steps.identify,
    steps.verify_call,
    steps.check_reading,
    steps.check_address,
    steps.check_age,
    steps.sign_responses,
    steps.check_app,
    steps.check_open,
    steps.call_app_handler,
)

#: What is known of a merchant, whatever its state.
APPLICATION_QUERY: Final[tuple[Step, ...]] = (
    steps.limit_address,
    steps.read_body,
    steps.admit,
    steps.read_call,
    steps.identify,
    steps.verify_call,
    steps.check_reading,
    steps.check_address,
    steps.check_age,
    steps.sign_responses,
    steps.check_app,
    steps.call_app_handler,
)

#: What an app reads of all its merchants. It changes nothing: it works during maintenance and cannot be denied.
APP_QUERY: Final[tuple[Step, ...]] = (
    steps.limit_address,
    steps.read_body,
    steps.admit,
    steps.read_call,
    steps.identify,
    steps.verify_call,
    steps.check_reading,
    steps.check_address,
    steps.check_age,
    steps.limit_app,
    steps.sign_responses,
    steps.check_app,
    steps.call_app_handler,
)

#: A checkout link, posted by its page. A payer's browser sends it, from any address, and cannot verify a signature. It
#: does not count for the merchant: a payer can send the same link any number of times.
LINK: Final[tuple[Step, ...]] = (
    steps.limit_address,
    steps.read_body,
    steps.read_link,
    steps.identify,
    steps.verify_link,
    steps.check_age,
    steps.select_merchant,
    steps.check_state,
    steps.check_open,
    steps.check_grant,
    steps.check_accounts,
    steps.call_handler,
)


#: A call that moves no money and is no query: maintenance stops it, but it cannot be denied.
TOOL: Final[tuple[Step, ...]] = tuple(step for step in CALL if step is not steps.check_grant)

#: A call of an app for a user, with an access token instead of a signature. Responses are not signed.
BEARER: Final[tuple[Step, ...]] = (
    steps.limit_address,
    steps.read_body,
    steps.admit,
    steps.read_call,
    steps.authenticate_user,
    steps.limit_user,
    steps.call_user_handler,
)

#: A link that leads a payer to the wallet's consent, signed in its address. Like a checkout link, it does not count for
#: the merchant, and its responses are not signed.
CONSENT_LINK: Final[tuple[Step, ...]] = (
    steps.limit_address,
    steps.read_consent_link,
    steps.identify,
    steps.verify_consent_link,
    steps.check_reading,
    steps.check_age,
    steps.select_merchant,
    steps.check_state,
    steps.check_open,
    steps.call_handler,
)


async def serve(request: Request, endpoint: Endpoint[Any], access: Access) -> Response:
    """The response to one request of a merchant. Raises ClientDisconnect."""
    began_s = timer_s()
    with (
        ExitStack() as held,
        Serving(endpoint.name),
        budget(access.call_s),
        _span(request, endpoint) as span,
    ):
        exchange = Exchange(request, endpoint, access, held, peer_of(request))
        try:
            for step in endpoint.steps:
                await step(exchange)
            response = await _completed(exchange)
        except ClientDisconnect:
            raise
        except Exception as error:
            response = refusal(error, exchange)
        if tracing.is_on():
            span.set("http.response.status_code", response.status_code)
            span.set("tael.respcd", exchange.respcd)
        CALLS.observe_since(began_s, endpoint.name, TABLE[exchange.respcd].client)
        return response


def _span(request: Request, endpoint: Endpoint[Any]) -> AbstractContextManager[tracing.Span]:
    """Below the client's own span, if it has sent one."""
    if not tracing.is_on():
        return tracing.NO_SPAN
    attributes = {"http.request.method": request.method, "http.route": endpoint.path}
    name, traceparent = f"{request.method} {endpoint.path}", request.headers.get("traceparent", "")
    return tracing.span(name, tracing.SpanKind.SERVER, attributes, traceparent)


async def _completed(exchange: Exchange) -> Response:
    result = exchange.members
    assert result is not None  # the last step of every list has set it
    match result:
        case Redirect(url):
            return RedirectResponse(url, 302, REDIRECT_HEADERS)
        case Download():
            return await download_response(result, exchange.signer)
        case _:
            exchange.respcd = result["respcd"]
            return answer(result, exchange.signer)


def refusal(error: Exception, exchange: Exchange) -> Response:
    """The response to a request that `error` ended. `exchange` is as the last completed step left it."""
    match error:
        case BodyTooLarge():
            return _too_large(error, exchange)
        case RateLimited():
            return _rate_limited(error, exchange)
        case Overloaded():
            exchange.access.rate_limit_totals.count_shed()
            return _refused(error, exchange)
        case TaelError():
            if isinstance(error, NotAuthentic):
                log_failed_authentication(
                    error, exchange.appcode, exchange.peer, respcd=code_of(error.reason)
                )
            return _refused(error, exchange)
        case StoreUnavailable():
            log_unavailable(error, call=exchange.endpoint.name)
            return _refused(OutOfService(), exchange)
        case _ if exchange.endpoint.is_page:
            raise error  # a 500, as for any page
        case _:
            log.error("request.failed", exc_info=error)
            return _refused(OutOfService(), exchange)


def _refused(error: TaelError, exchange: Exchange) -> Response:
    members = error_answer(error, exchange.endpoint.call, error.reference or exchange.reference)
    # A merchant of another app is no reason to sign, in whichever step it is found.
    signer = None if isinstance(error, NotAuthentic) else exchange.signer
    exchange.respcd = members["respcd"]
    return answer(members, signer)


def _rate_limited(error: RateLimited, exchange: Exchange) -> Response:
    """Never signed, so that a flood costs no signatures."""
    exchange.access.rate_limit_totals.count_refused(Limit(error.limit))
    log_rate_limited(error, exchange.merchant.mchid if exchange.merchant else "", exchange.peer)
    members = error_answer(error, exchange.endpoint.call, exchange.reference)
    exchange.respcd = members["respcd"]
    response = answer(members, None, 429)
    response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _too_large(error: BodyTooLarge, exchange: Exchange) -> Response:
    exchange.respcd = BAD_MESSAGE
    if exchange.endpoint.is_page:
        return answer(error_answer(UnreadableMessage(), exchange.endpoint.call, None), None, 413)
    return answer(bare_answer(BAD_MESSAGE, str(error)), None, 413)
