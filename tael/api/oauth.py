"""POST /oauth/v2/access_token: a code or a refresh token becomes a pair of tokens. JSON of RFC 6749, without a respcd.

The request is not signed. `client_secret` is the app's key, so responses are never cached, and a wrong one is logged.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tael.api.authenticate import check_address
from tael.api.exchange import Access
from tael.api.request_body import BodyTooLarge, peer_of, read_body
from tael.base.errors import NotAuthentic, RateLimited
from tael.base.security_log import log_failed_client, log_rate_limited
from tael.db.database import StoreUnavailable, budget
from tael.db.outages import log_unavailable
from tael.merchants.domain.merchant import App
from tael.oauth.context import OAuthContext
from tael.oauth.domain.grant import ACCESS_LIFE, IssuedTokens
from tael.oauth.parameters import MAX_BYTES
from tael.oauth.server import Refused
from tael.oauth.tokens import new_tokens, read_token_request

log = structlog.get_logger()

PATH: Final = "/oauth/v2/access_token"
FORM: Final = "application/x-www-form-urlencoded"
HEADERS: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def routes(context: OAuthContext, access: Access) -> list[BaseRoute]:
    return [Route(PATH, partial(_access_token, context=context, access=access), methods=["POST"])]


async def _access_token(request: Request, context: OAuthContext, access: Access) -> Response:
    """Raises ClientDisconnect."""
    try:
        access.address_guard.check(peer_of(request))
        body = await read_body(request, MAX_BYTES)
        with budget(access.call_s):
            return _answer(_members(await _issue(request, body, context)))
    except Refused as error:
        return _refusal(error.error, error.description, error.status)
    except BodyTooLarge as error:
        return _refusal("invalid_request", str(error), 413)
    except RateLimited as error:
        log_rate_limited(error, "", peer_of(request))
        return _refusal("temporarily_unavailable", error.english, 429, error.retry_after_s)
    except StoreUnavailable as error:
        log_unavailable(error, call="access_token")
        return _refusal("temporarily_unavailable", "the service is not available", 503)


async def _issue(request: Request, body: bytes, context: OAuthContext) -> IssuedTokens:
    """Raises Refused, StoreUnavailable."""
    if request.headers.get("content-type", FORM).partition(";")[0].strip().lower() != FORM:
        raise Refused("invalid_request", f"the body must be {FORM}")
    authorization = request.headers.get("authorization", "")
    values, appcode = read_token_request(body, authorization)
    app = await context.client(appcode)
    try:
        return await new_tokens(values, authorization, _called_from(request, app), context)
    except Refused as error:
        if error.error == "invalid_client":
            log_failed_client(appcode, app is not None, peer_of(request))
        raise


def _called_from(request: Request, app: App | None) -> App | None:
    """The app, unless it accepts no requests from the sender's address."""
    try:
        if app is not None:
            check_address(peer_of(request), app)
    except NotAuthentic:
        return None
    return app


def _members(tokens: IssuedTokens) -> Mapping[str, object]:
    return {
        "access_token": tokens.access_token.reveal(),
        "expires_in": int(ACCESS_LIFE.total_seconds()),
        "refresh_token": tokens.refresh_token.reveal(),
        "token_type": "Bearer",
        "userid": tokens.userid,
    }


def _answer(members: Mapping[str, object], status: int = 200) -> JSONResponse:
    return JSONResponse(members, status, HEADERS)


def _refusal(error: str, description: str, status: int, retry_after_s: int = 0) -> Response:
    response = _answer({"error": error, "error_description": description}, status)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="oauth"'
    if retry_after_s:
        response.headers["Retry-After"] = str(retry_after_s)
    return response
