"""GET /oauth/v2/authorize: a merchant's user signs in, and permits an app to read data, or refuses.

One address has both pages and takes both forms; its query is the app's request, which is checked each time. A form is
accepted from the browser that got it only: it has a token made of the browser's cookie, which other sites cannot read.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from tael.base import ids
from tael.base.errors import OutOfService
from tael.base.secret import Secret
from tael.cashier.context import CashierContext
from tael.cashier.rendering import PRIVATE, message, page, route, to_merchant
from tael.oauth.authorization import ConsentRequest, check_request, denial_url, permit
from tael.oauth.domain.grant import SESSION_LIFE
from tael.oauth.domain.user import User
from tael.oauth.parameters import MAX_BYTES, BadParameters, read
from tael.oauth.server import Refused
from tael.oauth.sign_in import (
    RETRY_AFTER_S,
    TooManyAttempts,
    WrongPassword,
    sign_in,
    sign_out,
    signed_in,
)

PATH: Final = "/oauth/v2/authorize"
COOKIE: Final = "tael_session"
#: What `ids.session` makes.
TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
#: Chrome applies `form-action` to the redirects that follow a form: the app's page, and wherever that leads.
TO_APP: Final = "'self' https: http:"
PURPOSE: Final = b"tael: forms of the consent pages"


@dataclass(frozen=True, slots=True)
class Visit:
    """A request to the consent pages that is in order."""

    asked: ConsentRequest
    cookie: Secret  #: the session's token, or of a browser that is not signed in, only the form's
    user: User | None
    query: str  #: the app's request, for the address of the forms


def routes(context: CashierContext) -> list[BaseRoute]:
    return [route(PATH, _serve, context, "GET", "POST")]


async def _serve(request: Request, context: CashierContext) -> Response:
    visit = await _visit(request, context)
    if isinstance(visit, Response):
        return visit
    if request.method != "POST":
        return await _page(request, visit, context)
    return await _act(request, visit, context)


async def _act(request: Request, visit: Visit, context: CashierContext) -> Response:
    """What the form asks for."""
    form = await _form(request)
    if not hmac.compare_digest(form.get("form", "").encode(), _form_token(visit.cookie).encode()):
        return await _page(request, visit, context, "form_expired", 403)
    match form.get("action"), visit.user:
        case "sign_in", _:
            return await _signed_in(request, visit, form, context)
        case "sign_out", _:
            await sign_out(visit.cookie, context.oauth)
            return _again(request, visit, context)
        case "allow", User() as user:
            return to_merchant(await permit(visit.asked, user, context.oauth))
        case "deny", User():
            return to_merchant(denial_url(visit.asked))
        case _:
            return await _page(request, visit, context)


async def _visit(request: Request, context: CashierContext) -> Visit | Response:
    """The visit, or the response to a request that is not in order."""
    query = request.scope["query_string"]
    try:
        asked = await check_request(query, context.oauth)
    except Refused as error:
        if error.redirect_uri:
            return to_merchant(error.redirect_uri)
        return message(request, "bad_consent", "bad_consent_more", 400, error.description)
    cookie = request.cookies.get(_cookie_name(context), "")
    session = Secret(cookie if TOKEN.fullmatch(cookie) else "")
    user = await signed_in(session, context.oauth) if session.reveal() else None
    kept = urlencode([pair for pair in request.query_params.multi_items() if pair[0] != "lang"])
    return Visit(asked, session if session.reveal() else Secret(ids.session()), user, kept)


async def _form(request: Request) -> dict[str, str]:
    """The form; empty if it is not one."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            return {}
    try:
        return dict(read(bytes(body)).values)
    except BadParameters:
        return {}


async def _signed_in(
    request: Request, visit: Visit, form: dict[str, str], context: CashierContext
) -> Response:
    """Back to the same address with a new session, or the page again."""
    peer = request.client.host if request.client else ""
    try:
        result = await sign_in(
            form.get("username", ""), Secret(form.get("password", "")), peer, context.oauth
        )
    except OutOfService:
        return message(request, "not_now", "try_later", 503)
    match result:
        case Secret() as session:
            return _with_cookie(_again(request, visit, context), session, context)
        case WrongPassword():
            return await _page(request, visit, context, "wrong_password", 401)
        case TooManyAttempts():
            response = await _page(request, visit, context, "too_many_attempts", 429)
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
            return response


async def _page(
    request: Request, visit: Visit, context: CashierContext, problem: str = "", status: int = 200
) -> Response:
    """The question to a user who is signed in, or the form for signing in."""
    owner = await context.oauth.merchant_of(visit.user) if visit.user else None
    target = urlsplit(visit.asked.redirect_uri)
    response = page(
        request,
        "consent.html" if owner else "sign_in.html",
        status,
        form_action=TO_APP,
        query=visit.query,
        form=_form_token(visit.cookie),
        problem=problem,
        appcode=visit.asked.app.appcode,
        host=target.netloc,
        scopes=visit.asked.scopes,
        nickname=visit.user.nickname if visit.user else "",
        merchant=owner[1].name if owner else "",
    )
    return _with_cookie(response, visit.cookie, context)


def _again(request: Request, visit: Visit, context: CashierContext) -> Response:
    lang = request.query_params.get("lang", "")
    kept = f"&lang={lang}" if lang.replace("-", "").isalnum() and lang.isascii() else ""
    return RedirectResponse(f"{context.links.site.root}{PATH}?{visit.query}{kept}", 303, PRIVATE)


def _with_cookie(response: Response, cookie: Secret, context: CashierContext) -> Response:
    """`Lax`: the browser comes from the app's site, and must then be signed in. Forms of other sites get no cookie."""
    response.set_cookie(
        _cookie_name(context),
        cookie.reveal(),
        max_age=int(SESSION_LIFE.total_seconds()),
        path="/",
        secure=_is_https(context),
        httponly=True,
        samesite="lax",
    )
    return response


def _cookie_name(context: CashierContext) -> str:
    """With the prefix that keeps other hosts of the domain from setting it, which needs HTTPS."""
    return f"__Host-{COOKIE}" if _is_https(context) else COOKIE


def _is_https(context: CashierContext) -> bool:
    return context.links.site.public_url.startswith("https://")


def _form_token(cookie: Secret) -> str:
    return hmac.digest(cookie.reveal().encode(), PURPOSE, hashlib.sha256).hex()
