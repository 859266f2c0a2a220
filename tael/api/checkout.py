"""POST /checkstand/open: verifies the parameters of a checkout link and stores the link.

The link's page reads the parameters behind the `#` and posts them. Here the signature is a parameter: it covers every
parameter that has a value, including `sign_type`, with or without `lang`. Responses are not signed and repeat no
parameter before the signature is verified.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tael.api import answers, fields
from tael.api.answers import Members
from tael.api.authenticate import UNKNOWN_APP_KEY, algorithm_of, check_age, check_reading, not_signed_by
from tael.api.request_body import BodyTooLarge, peer_of, read_body
from tael.api.signed_names import LINK_NAMES, LINK_NAMES_WITH_LANG
from tael.api.wire import answer, read_parameters
from tael.base import errors, ids, respcd
from tael.base.money import Money
from tael.base.security_log import log_failed_authentication
from tael.db.database import StoreUnavailable, budget
from tael.db.outages import log_unavailable
from tael.merchants.credential_cache import AppContext, check_grant, check_state
from tael.merchants.domain.merchant import App, Merchant, Operation
from tael.payments.checkout import open_link
from tael.payments.domain.checkout import CheckoutLink
from tael.payments.domain.page_urls import CHECKSTAND
from tael.payments.gateway import Gateway
from tael.qfpay.signature import LANG, SIGN, SIGN_TYPE, digest, is_same, link_texts

log = structlog.get_logger()

PAYSOURCE: Final = re.compile(r"[A-Za-z0-9_-]{0,64}_checkout")
#: Safe in Location headers and links: a web address without whitespace, double quotes, backslashes and angle brackets.
WEB_URL: Final = re.compile(r"""https?://[^\s\\"<>\x00-\x20\x7f]{1,500}""", re.IGNORECASE)
CHECKOUT_DEFAULT_MIN: Final = 120
CHECKOUT_MAX_MIN: Final = 999
#: A Unix time in milliseconds.
UNIX_MS: Final = re.compile(r"[0-9]{13}")
UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def routes(gateway: Gateway, max_form_bytes: int) -> list[BaseRoute]:
    endpoint = partial(_open, gateway=gateway, max_form_bytes=max_form_bytes)
    return [Route(f"{CHECKSTAND}/open", endpoint, methods=["POST"])]


async def _open(request: Request, gateway: Gateway, max_form_bytes: int) -> Response:
    """Responds with `page`, the path where the payer chooses a wallet, or with an error."""
    verified: AppContext | None = None
    values: Mapping[str, str] = {}
    with (
        structlog.contextvars.bound_contextvars(request_id=ids.request_id(), call="checkout"),
        budget(gateway.store.database.limits.call_s),
    ):
        try:
            body = await read_body(request, max_form_bytes)
            values = read_parameters(b"", request.headers, body).values
            verified = await _signer(values, gateway)
            check_age(values, verified.app, gateway.clock.now())
            merchant = verified.merchant_of(fields.mchid(values))
            check_state(merchant)
            await gateway.credentials.check_open()
            check_grant(merchant, Operation.PAYMENT)
            verified.accounts_of(merchant)  # raises if there is none: the payer would have nothing to choose
            requested = link_of(values, verified.app, merchant, gateway.clock.now())
            link = await open_link(requested, merchant, gateway)
        except BodyTooLarge:
            return answer(_refusal(errors.UnreadableMessage(), is_signed=False), None, 413)
        except errors.TaelError as error:
            if isinstance(error, errors.NotAuthentic):
                log_failed_authentication(error, values.get("appcode", ""), peer_of(request))
            return answer(_refusal(error, is_signed=verified is not None), None)
        except StoreUnavailable as error:
            log_unavailable(error, call="checkout")
            return answer(_refusal(errors.OutOfService(), is_signed=False), None)
        page = gateway.pages.checkout_path(link.mchid, link.link_id)
        return answer({"respcd": respcd.OK, "respmsg": "ok", "resperr": "", "page": page}, None)


def _refusal(error: errors.TaelError, *, is_signed: bool) -> Members:
    """The response to an invalid link. Without a verified signature it repeats nothing of the link."""
    if isinstance(error, errors.BadField) and not is_signed:
        error = errors.UnreadableMessage("a parameter was sent twice, with different values")
    return answers.error_answer(error, "payment", None)


async def _signer(values: Mapping[str, str], gateway: Gateway) -> AppContext:
    """The app whose key signed the link. Raises NotAuthentic."""
    context = await gateway.credentials.app(values.get("appcode", ""))
    check_link(values, context.app if context else None)
    if context is None:
        raise not_signed_by(None)
    return context


def check_link(values: Mapping[str, str], app: App | None) -> None:
    """Raises NotAuthentic unless `app` signed these as a link. For an unknown appcode (None), after the same work."""
    sign = values.get(SIGN, "")
    algorithm = algorithm_of(values.get(SIGN_TYPE, ""), sign)
    key = app.key if app else UNKNOWN_APP_KEY
    matches = [is_same(digest(text, key, algorithm or "SHA256"), sign) for text in link_texts(values)]
    if app is None or algorithm is None or not any(matches):
        raise not_signed_by(app)
    if app.sha256_only and algorithm == "MD5":
        raise not_signed_by(app)
    if not values.get("paysource"):
        raise errors.NotAuthentic(cause="signed as a request, not as a link")
    is_lang_signed = not matches[0]
    if is_lang_signed and "&" in values[LANG]:
        raise errors.NotAuthentic("lang contains &, which may be the end of another value")
    check_reading(values, LINK_NAMES_WITH_LANG if is_lang_signed else LINK_NAMES)


def link_of(params: Mapping[str, str], app: App, merchant: Merchant, now: datetime) -> CheckoutLink:
    """The signed link. Raises BadField."""
    fields.shaped(params, "paysource", PAYSOURCE, "a name that ends in _checkout", required=True)
    web_url(params, "notify_url")
    order_min = fields.expired_time(params)
    fixed_end = checkout_end(params)
    return CheckoutLink(
        mchid=merchant.mchid,
        reference=fields.reference(params),
        link_id=ids.link_id(),
        appcode=app.appcode,
        amount=Money(
            fields.amount_minor(params),
            fields.text(params, "txcurrcd", max_len=3) or merchant.currency,
        ),
        subject=fields.product_name(params),
        openid=fields.openid(params, required=False),
        client_time=fields.moment_text(params, required=False),
        device=fields.device(params),
        return_url=web_url(params, "return_url"),
        failed_url=web_url(params, "failed_url"),
        cancel_url=web_url(params, "cancel_url"),
        order_s=None if order_min is None else order_min * 60,
        forbid_credit=fields.forbid_credit(params),
        created_at=now,
        expires_at=fixed_end or now + timedelta(minutes=checkout_min(params)),
        has_fixed_end=fixed_end is not None,
    )


def checkout_end(params: Mapping[str, str]) -> datetime | None:
    """The expiry of the link, if the merchant gives an instant. It may be in the past."""
    value = params.get("checkout_expired_time", "")
    return UNIX_EPOCH + timedelta(milliseconds=int(value)) if UNIX_MS.fullmatch(value) else None


def checkout_min(params: Mapping[str, str]) -> int:
    """How long the link can be used, in minutes from its first opening."""
    what = (
        f"a whole number of minutes from 1 to {CHECKOUT_MAX_MIN}, or a Unix time in milliseconds of 13 digits"
    )
    minutes = fields.whole_number(
        params, "checkout_expired_time", what, lambda number: 1 <= number <= CHECKOUT_MAX_MIN
    )
    return CHECKOUT_DEFAULT_MIN if minutes is None else minutes


def web_url(params: Mapping[str, str], name: str) -> str:
    """An address to which a browser may be redirected, or ""; never `javascript:` or similar."""
    what = "a web address of at most 500 characters"
    url = fields.shaped(params, name, WEB_URL, what, required=False)
    try:
        is_good = not url or bool(urlsplit(url).hostname)
    except ValueError:
        is_good = False
    if not is_good:
        raise errors.BadField.malformed(name, f"must be {what}")
    return url
