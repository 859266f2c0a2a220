"""A page out of its template: words in the payer's language, and the headers that let nothing else in."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final
from urllib.parse import quote

import structlog
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tael.cashier.languages import HTML_LANG, OWN_NAME, wanted, words
from tael.db.database import StoreUnavailable, budget
from tael.db.outages import log_unavailable
from tael.payments.gateway import Gateway

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

Show = Callable[[Request, Gateway], Awaitable[Response]]


def route(path: str, show: Show, gateway: Gateway, method: str = "GET") -> Route:
    return Route(path, partial(_guarded, show=show, gateway=gateway), methods=[method])


async def _guarded(request: Request, show: Show, gateway: Gateway) -> Response:
    """What `show` answers, or a page that says that it cannot be answered now."""
    if any("\0" in part for part in request.path_params.values()):
        return no_such_page(request)  # nothing is called so: no text in the database can hold it
    try:
        with budget(gateway.store.database.limits.call_s):
            return await show(request, gateway)
    except StoreUnavailable as error:
        log_unavailable(error, page=request.method)
    except Exception:
        log.exception("page.failed")
    return message(request, "not_now", "try_later", 503)


def page(request: Request, template: str, status: int = 200, **values: object) -> Response:
    """A page whose only scripts and styles are its own, by a nonce that no injected text can know."""
    nonce = secrets.token_urlsafe(16)
    lang = wanted(request)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    text = TEMPLATES.get_template(template).render(
        nonce=nonce,
        t=words(lang),
        lang=lang,
        html_lang=HTML_LANG[lang],
        languages=OWN_NAME,
        html_langs=HTML_LANG,
        **values,
    )
    return HTMLResponse(text, status, {"Content-Security-Policy": policy, **PRIVATE})


def to_merchant(url: str) -> Response:
    """To a page of the merchant's, whose address is passed on as it was given.

    Starlette's own redirect would encode some characters anew. What is not ASCII is encoded as browsers do.
    """
    location = "".join(c if c.isascii() else quote(c) for c in url)
    return Response(status_code=303, headers={**PRIVATE, "Location": location})


def message(request: Request, title: str, more: str, status: int, code: str = "") -> Response:
    """A page that only says something; `title` and `more` are names of words, `code` is a respcd."""
    return page(request, "message.html", status, title=title, more=more, code=code)


def no_such_page(request: Request) -> Response:
    """The same for what never was, for an address with a wrong token, and for a page that has ended."""
    return message(request, "gone", "gone_more", 404)
