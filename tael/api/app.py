"""The HTTP application: its routes, and the responses to requests that no route takes.

`pipeline.py` has the steps of a merchant's request.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from tael.api.exchange import Access, Endpoint
from tael.api.pipeline import serve
from tael.api.request_body import peer_of
from tael.api.steps import admit
from tael.api.wire import answer
from tael.base.admission import REFUSAL
from tael.base.errors import Overloaded
from tael.base.idle import IdleWait
from tael.base.metrics import CALLS
from tael.base.security_log import network_of
from tael.qfpay.answers import bare_answer, error_answer
from tael.qfpay.codes import BAD_MESSAGE, OUT_OF_SERVICE, Client

log = structlog.get_logger()


class Application:
    """The ASGI application of merchants' `endpoints` and other `routes`.

    Merchants' calls are found by their exact path: routing takes longer than the checks of a call. In an overload most
    of them are refused here, at little cost. The others begin when what calls under way can do now is done. Starlette
    has the rest, and other methods of the same paths.

    Repeated slashes inside a path are merged, as nginx does, since signatures do not cover the path; a trailing slash
    makes another path (404). Starlette would redirect to the path without it, to plain HTTP behind a proxy, and clients
    do not repeat a POST.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint[Any]],
        access: Access,
        routes: Sequence[BaseRoute],
        until_idle: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """A merchant's call begins after `until_idle`; without it, when this process is idle."""
        _initialize_metrics(endpoints)
        self._access = access
        self._until_idle = until_idle or IdleWait()
        self._refusals = {
            each.path: answer(error_answer(Overloaded(REFUSAL), each.call, None), None)
            for each in endpoints
            if admit in each.steps
        }
        self._calls = {endpoint.path: endpoint for endpoint in endpoints if not endpoint.is_page}
        self._others = _others(endpoints, access, routes)

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """All of them."""
        return self._others.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "//" in scope.get("path", ""):
            scope = {**scope, "path": re.sub("/{2,}", "/", scope["path"])}
        endpoint = self._calls.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is None or scope["method"] not in endpoint.methods:
            await self._others(scope, receive, send)
            return
        request = Request(scope, receive)
        refusal = self._refusals.get(endpoint.path)
        if refusal is not None:
            if self._access.admission.refuses(network_of(peer_of(request))):
                self._access.rate_limit_totals.count_shed()
                await self._access.admission.delay_refusal()
                await refusal(scope, receive, send)
                return
            if not self._access.admission.is_overloaded:  # in an overload a process is never idle
                await self._until_idle()
        try:
            response = await serve(request, endpoint, self._access)
        except ClientDisconnect as error:
            response = await _client_disconnected(request, error)
        await response(scope, receive, send)


def _initialize_metrics(endpoints: Sequence[Endpoint[Any]]) -> None:
    """So that the first call that has to be sent again is an increase. Of other results no alert needs the first."""
    for endpoint in endpoints:
        CALLS.initialize(endpoint.name, Client.RETRY)


def _others(endpoints: Sequence[Endpoint[Any]], access: Access, routes: Sequence[BaseRoute]) -> Starlette:
    merchants: list[BaseRoute] = [
        Route(
            endpoint.path,
            partial(serve, endpoint=endpoint, access=access),
            methods=list(endpoint.methods),
        )
        for endpoint in endpoints
    ]
    app = Starlette(
        routes=[*merchants, *routes],
        exception_handlers={
            HTTPException: _http_error,
            ClientDisconnect: _client_disconnected,
            Exception: _internal_error,
        },
    )
    app.router.redirect_slashes = False
    return app


async def _http_error(_: Request, error: Exception) -> Response:
    """404 and 405 in the form of every response."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    text = "no such method here" if status == 405 else "no such path"
    response = answer(bare_answer(BAD_MESSAGE, text), None, status)
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


async def _client_disconnected(_: Request, __: Exception) -> Response:
    """The client closed the connection, or its body took too long, which the listener has responded to."""
    log.info("request.incomplete")
    return Response(status_code=400)


async def _internal_error(_: Request, error: Exception) -> Response:
    log.error("request.failed", error=type(error).__name__)
    return answer(bare_answer(OUT_OF_SERVICE, "out of service"), None, 500)
