"""Renders pages from templates in the payer's language, with headers that forbid any other content."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final
from urllib.parse import quote

import structlog
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tael.cashier.context import CashierContext
from tael.cashier.languages import HTML_LANG, OWN_NAME, language_of, words
from tael.db.cells import NoSuchCell
from tael.db.database import StoreUnavailable, budget
from tael.db.outages import log_unavailable

log = structlog.get_logger()

TEMPLATES: Final = Environment(
    loader=PackageLoader("tael.cashier"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
PRIVATE: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

#: Of a page that leads to a wallet's: WeChat Pay refuses a browser that does not name the site it comes from.
TO_WALLET: Final[Mapping[str, str]] = {**PRIVATE, "Referrer-Policy": "strict-origin"}

Show = Callable[[Request, CashierContext], Awaitable[Response]]


def route(path: str, show: Show, context: CashierContext, *methods: str) -> Route:
    """A page; by default for GET."""
    return Route(path, partial(_guarded, show=show, context=context), methods=methods or ["GET"])


async def _guarded(request: Request, show: Show, context: CashierContext) -> Response:
    """The response of `show`, or an error page if the service is unavailable."""
    if any("\0" in part for part in request.path_params.values()):
        return no_such_page(request)  # text in PostgreSQL cannot contain NUL
    try:
        with budget(context.payments.store.database.limits.call_s):
            return await show(request, await _in_cell(request, context))
    except ClientDisconnect:
        raise
    except StoreUnavailable as error:
        log_unavailable(error, page=request.method)
    except Exception:
        log.exception("page.failed")
    return message(request, "not_now", "try_later", 503)


async def _in_cell(request: Request, context: CashierContext) -> CashierContext:
    """The context in the cell of the payment or the merchant that the path names; any for one that cannot exist."""
    path = request.path_params
    try:
        if "syssn" in path:
            return await context.for_payment(path["syssn"])
        return await context.for_merchant(path["mchid"]) if "mchid" in path else context
    except NoSuchCell:
        return context


def page(
    request: Request,
    template: str,
    status: int = 200,
    headers: Mapping[str, str] = PRIVATE,
    form_action: str = "'self'",
    query: str = "",
    **values: object,
) -> Response:
    """A page that runs only its own scripts and styles, which carry a nonce that injected text cannot know.

    `query` is what the links to other languages keep of the address, and `form_action` where its forms may lead.
    """
    nonce = secrets.token_urlsafe(16)
    lang = language_of(request)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        f"form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    )
    text = TEMPLATES.get_template(template).render(
        nonce=nonce,
        t=words(lang),
        lang=lang,
        html_lang=HTML_LANG[lang],
        languages=OWN_NAME,
        html_langs=HTML_LANG,
        query=query,
        **values,
    )
    return HTMLResponse(text, status, {"Content-Security-Policy": policy, **headers})


def to_merchant(url: str) -> Response:
    """A redirect to the merchant's page, with the address as the merchant gave it.

    Starlette's redirect would encode some characters again. Non-ASCII characters are encoded as browsers do.
    """
    location = "".join(c if c.isascii() else quote(c) for c in url)
    return Response(status_code=303, headers={**PRIVATE, "Location": location})


def message(request: Request, title: str, more: str, status: int, code: str = "") -> Response:
    """A page with a message. `title` and `more` are names of texts, `code` is a respcd."""
    return page(request, "message.html", status, title=title, more=more, code=code)


def no_such_page(request: Request) -> Response:
    """The same page for an unknown payment, a wrong token, and a page that has ended."""
    return message(request, "gone", "gone_more", 404)
