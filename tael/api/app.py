"""The HTTP application: routes, the order of the checks, and the conversion of errors to responses.

Order of the checks: size, form, repeated names; appcode, signature, purpose of the signature, address and age;
merchant and its state; maintenance, denied operations; then the call itself. A response is signed only if the
signature of its request was verified.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tael.api import answers, checkout, fields, health, notices
from tael.api.authenticate import (
    check_address,
    check_age,
    check_reading,
    not_signed_by,
    read_credentials,
    verify,
)
from tael.api.request_body import BodyTooLarge, peer_of, read_body
from tael.api.signed_names import CALL_NAMES
from tael.api.trade import CALLS, AuthenticatedRequest, Handler
from tael.api.wire import Parameters, answer, read_parameters
from tael.base import errors, ids
from tael.base.respcd import BAD_MESSAGE, Call
from tael.base.security_log import log_failed_authentication
from tael.db.database import StoreUnavailable, budget
from tael.db.outages import log_unavailable
from tael.merchants.credential_cache import AppContext, check_grant, check_state
from tael.merchants.domain.merchant import App, Merchant, Operation
from tael.payments.gateway import Gateway

log = structlog.get_logger()

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(gateway: Gateway, more_routes: list[BaseRoute], max_form_bytes: int) -> Starlette:
    """The ASGI application on `gateway`. `more_routes` are added to the API's own.

    Repeated slashes inside a path are merged, as nginx does; a trailing slash makes another path (404). Starlette
    would redirect to the path without it, to plain HTTP behind a proxy, and clients do not repeat a POST.
    """
    trade: list[BaseRoute] = [
        Route(path, _endpoint(call, handler, gateway, max_form_bytes), methods=list(methods))
        for path, methods, call, handler in CALLS
    ]
    app = Starlette(
        routes=[
            *trade,
            *notices.routes(gateway),
            *checkout.routes(gateway, max_form_bytes),
            *health.routes(gateway),
            *more_routes,
        ],
        middleware=[Middleware(MergedSlashes)],
        exception_handlers={
            HTTPException: _http_error,
            ClientDisconnect: _client_disconnected,
            Exception: _internal_error,
        },
    )
    app.router.redirect_slashes = False
    return app


class MergedSlashes:
    """Middleware: `//trade/v1/query` becomes `/trade/v1/query`. Signatures do not cover the path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "//" in scope.get("path", ""):
            scope = {**scope, "path": re.sub("/{2,}", "/", scope["path"])}
        await self._app(scope, receive, send)


def _endpoint(call: Call, handler: Handler, gateway: Gateway, max_form_bytes: int) -> Endpoint:
    return partial(_serve, call=call, handler=handler, gateway=gateway, max_form_bytes=max_form_bytes)


async def _serve(
    request: Request, call: Call, handler: Handler, gateway: Gateway, max_form_bytes: int
) -> Response:
    """Serve one call of the merchant API."""
    signer: App | None = None
    reference: str | None = None
    with (
        structlog.contextvars.bound_contextvars(request_id=ids.request_id(), call=call),
        budget(gateway.store.database.limits.call_s),
    ):
        try:
            body = await read_body(request, max_form_bytes)
            parameters = read_parameters(request.scope["query_string"], request.headers, body)
            reference = fields.echoed_reference(parameters.values)
            context, params = await _authenticate(request, parameters, call, gateway)
            merchant = context.merchant_of(fields.mchid(params))
            signer = context.app
            check_state(merchant)
            await _check_permitted(call, merchant, gateway)
            return answer(await handler(AuthenticatedRequest(context, merchant, params), gateway), signer)
        except BodyTooLarge as error:
            return answer(_bare(BAD_MESSAGE, str(error)), None, 413)
        except errors.TaelError as error:
            if isinstance(error, errors.NotAuthentic):
                log_failed_authentication(error, request.headers.get("x-qf-appcode", ""), peer_of(request))
            return answer(answers.error_answer(error, call, error.reference or reference), signer)
        except StoreUnavailable as error:
            log_unavailable(error, call=call)
            return answer(answers.error_answer(errors.OutOfService(), call, reference), signer)
        except ClientDisconnect:
            raise
        except Exception:
            log.exception("request.failed")
            return answer(answers.error_answer(errors.OutOfService(), call, reference), signer)


async def _check_permitted(call: Call, merchant: Merchant, gateway: Gateway) -> None:
    """Raises during maintenance and for an operation denied to the merchant. Queries are always permitted."""
    if call != "query":
        await gateway.credentials.check_open()
        check_grant(merchant, Operation(call))


async def _authenticate(
    request: Request, parameters: Parameters, call: Call, gateway: Gateway
) -> tuple[AppContext, Mapping[str, str]]:
    """The app that signed the request, and the signed values. Raises NotAuthentic, BadField."""
    credentials = read_credentials(request.headers)
    context = await gateway.credentials.app(credentials.appcode)
    values = verify(
        parameters,
        credentials.sign,
        credentials.sign_type,
        context.app.key if context else None,
        context.app.sha256_only if context else False,
    )
    if context is None or values is None:
        raise not_signed_by(context)
    check_reading(parameters.values, CALL_NAMES[call])
    check_address(peer_of(request), context.app)
    check_age(values, context.app, gateway.clock.now())
    return context, values


async def _http_error(_: Request, error: Exception) -> Response:
    """404 and 405 in the form of every response."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    text = "no such method here" if status == 405 else "no such path"
    response = answer(_bare(BAD_MESSAGE, text), None, status)
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


async def _client_disconnected(_: Request, __: Exception) -> Response:
    """The client closed the connection, or its body took too long, which the listener has responded to."""
    log.info("request.incomplete")
    return Response(status_code=400)


async def _internal_error(_: Request, error: Exception) -> Response:
    log.error("request.failed", error=type(error).__name__)
    return answer(_bare(errors.OutOfService.respcd, "out of service"), None, 500)


def _bare(code: str, english: str) -> dict[str, str]:
    return {"respcd": code, "respmsg": english, "resperr": ""}
