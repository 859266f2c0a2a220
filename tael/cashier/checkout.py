"""The pages of a checkout link: reading the link, choosing a wallet, returning to the shop.

A link's parameters are behind the `#`, which browsers do not send: the first page posts them to the API, which verifies
them (`api/checkout.py`) and responds with the path of the choice page.
"""

import json
from ipaddress import ip_address
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from tael.base.errors import OrderClosed, OrderExpired, TaelError
from tael.base.money import major_text
from tael.base.pay_types import PAY_TYPES, PayType, Wallet
from tael.cashier.browsers import Browser, browser_of, pay_types_for
from tael.cashier.context import CashierContext
from tael.cashier.rendering import PRIVATE, message, no_such_page, page, route, to_merchant
from tael.payments.checkout import Checkout, choose, find_checkout, leave
from tael.payments.domain.checkout import link_pages_end, takes_orders
from tael.payments.domain.page_urls import CHECKSTAND, payment_page_end
from tael.payments.domain.payment import PayersSite, Payment, State
from tael.qfpay.pay_types import FIELDS
from tael.qfpay.reasons import code_of

#: `scene_info` has at most 256 characters, most of which may be the public URL's.
MAX_SITE_NAME: Final = 32
#: A browser's timers are limited to 24 days. The page reloads after a day and continues to count down.
MAX_LEFT_S: Final = 24 * 3600
ONE: Final = f"{CHECKSTAND}/{{mchid}}/{{link_id}}"


def routes(context: CashierContext) -> list[BaseRoute]:
    return [
        route(CHECKSTAND, _reader, context),
        route(f"{CHECKSTAND}/", _reader, context),
        route(ONE, _choice, context),
        route(f"{ONE}/by/{{wallet}}", _chosen, context, "POST"),
        route(f"{ONE}/leave", _leave, context, "POST"),
        route(f"{ONE}/left", _left, context),
        route(f"{ONE}/failed", _failed, context),
    ]


async def _reader(request: Request, context: CashierContext) -> Response:
    return page(request, "reader.html", open_path=f"{context.links.site.root}{CHECKSTAND}/open")


async def _choice(request: Request, context: CashierContext) -> Response:
    checkout = await _requested_checkout(request, context)
    if checkout is None:
        return no_such_page(request)
    order, now = checkout.order, context.now()
    if order is not None and order.state is State.PAID:
        return await _to_order(request, order, context)
    browser = browser_of(request)
    path = _path(checkout, context)
    order_path = ""
    if order is not None and order.state is State.PENDING and now < payment_page_end(order):
        order_path = (await context.links.pages()).path(order)
    return page(
        request,
        "choice.html",
        payee=checkout.merchant.name,
        subject=checkout.link.subject or checkout.link.reference,
        amount=major_text(checkout.link.amount),
        currency=checkout.link.amount.currency,
        is_open=takes_orders(checkout.link, now),
        is_ended=checkout.link.ended_at is not None,
        order_path=order_path,
        choices=[(wallet.value, f"{path}/by/{wallet}") for wallet in _pay_types(checkout, request)],
        notes=_notes(checkout, browser),
        leave_path=f"{path}/leave" if checkout.link.cancel_url else "",
        failed_path=f"{path}/failed" if checkout.link.failed_url else "",
        left_s=min(max(0, int((checkout.link.expires_at - now).total_seconds())), MAX_LEFT_S),
    )


async def _chosen(request: Request, context: CashierContext) -> Response:
    """To the page of the order with this wallet, or of an earlier order that its wallet could not close yet."""
    checkout = await _requested_checkout(request, context)
    if checkout is None:
        return no_such_page(request)
    pay_types = _pay_types(checkout, request)
    pay_type = next(
        (pay_type for wallet, pay_type in pay_types.items() if wallet == request.path_params["wallet"]), None
    )
    if pay_type is None:
        return no_such_page(request)
    try:
        order = await choose(
            checkout, pay_type, context.payments, _site(request, pay_type, checkout, context)
        )
    except (OrderClosed, OrderExpired):
        return _to(request, _path(checkout, context))  # that page shows that the link has ended
    except TaelError as error:
        return message(request, "not_now", "bad_link_more", 409, code_of(error.reason))
    is_another = order.state is State.PENDING and order.pay_type != pay_type
    return await _to_order(request, order, context, "still=1" if is_another else "")


async def _leave(request: Request, context: CashierContext) -> Response:
    checkout = await _requested_checkout(request, context)
    if checkout is None or not checkout.link.cancel_url:
        return no_such_page(request)
    order = await leave(checkout, context.payments)
    if order is not None and order.state is State.PAID:
        return await _to_order(request, order, context)
    return _to(request, f"{_path(checkout, context)}/left")


async def _left(request: Request, context: CashierContext) -> Response:
    """Redirects by script: the content policy does not let a form lead to another site, so the form leads here."""
    checkout = await _requested_checkout(request, context)
    if checkout is None or not checkout.link.cancel_url:
        return no_such_page(request)
    return page(request, "left.html", url=checkout.link.cancel_url)


async def _failed(request: Request, context: CashierContext) -> Response:
    """To the merchant's `failed_url` if the link has ended unpaid, otherwise to the link's own page."""
    checkout = await _requested_checkout(request, context)
    if checkout is None:
        return no_such_page(request)
    if takes_orders(checkout.link, context.now()) or not checkout.link.failed_url:
        return _to(request, _path(checkout, context))
    return to_merchant(checkout.link.failed_url)


async def _requested_checkout(request: Request, context: CashierContext) -> Checkout | None:
    """The checkout link of the request's path; None if it is unknown or its pages have ended."""
    checkout = await find_checkout(
        request.path_params["mchid"], request.path_params["link_id"], context.payments
    )
    if checkout is None or context.now() >= link_pages_end(checkout.link, checkout.order):
        return None
    return checkout


def _pay_types(checkout: Checkout, request: Request) -> dict[Wallet, PayType]:
    """The pay types that the merchant's accounts and this browser support."""
    given = {"sub_openid"} if checkout.link.openid else set()
    if _payer_ip(request):
        given.add("extend_info")
    chosen: dict[Wallet, PayType] = {}
    for wallet in Wallet:
        for pay_type in pay_types_for(wallet, browser_of(request), given):
            if checkout.can_be_paid_by(pay_type):
                chosen.setdefault(wallet, pay_type)
    return chosen


def _payer_ip(request: Request) -> str:
    """The address of the payer's browser, or "" if it is unknown."""
    peer = request.client.host if request.client else ""
    try:
        return str(ip_address(peer))
    except ValueError:
        return ""


def _site(
    request: Request, pay_type: PayType, checkout: Checkout, context: CashierContext
) -> PayersSite | None:
    """What the wallet wants to know of the site on which the payer is, for a pay type that needs it."""
    if "extend_info" not in FIELDS[pay_type.code].needs:
        return None
    site = {
        "type": "Wap",
        "wap_url": context.links.site.public_url,
        "wap_name": checkout.merchant.name[:MAX_SITE_NAME],
    }
    scene_info = json.dumps({"h5_info": site}, ensure_ascii=False, separators=(",", ":"))
    return PayersSite(_payer_ip(request), scene_info)


def _notes(checkout: Checkout, browser: Browser) -> list[str]:
    """Names of texts about wallets that the merchant accepts but WeChat's browser cannot use."""
    if browser is not Browser.WECHAT:
        return []
    lacks_openid = not checkout.link.openid and checkout.can_be_paid_by(PAY_TYPES["800207"])
    accepts_alipay = checkout.can_be_paid_by(PAY_TYPES["800152"])
    return ["wechat_needs_openid"] * lacks_openid + ["leave_wechat_alipay"] * accepts_alipay


def _path(checkout: Checkout, context: CashierContext) -> str:
    return context.links.site.checkout_path(checkout.link.mchid, checkout.link.link_id)


async def _to_order(request: Request, order: Payment, context: CashierContext, query: str = "") -> Response:
    return _to(request, (await context.links.pages()).path(order), query)


def _to(request: Request, path: str, query: str = "") -> Response:
    """A redirect to another page of the cashier, in the current language."""
    lang = request.query_params.get("lang", "")
    kept = "&".join(
        part for part in (query, f"lang={lang}" if lang.replace("-", "").isalnum() else "") if part
    )
    return RedirectResponse(f"{path}?{kept}" if kept else path, 303, PRIVATE)
