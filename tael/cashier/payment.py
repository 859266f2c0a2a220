"""A payment's page: the code or link for the payer while it is pending, its result afterwards.

The page polls the state, which is cached for a second. The page ends some time after its order.
"""

from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute

from tael.base.money import major_text
from tael.base.pay_types import Presentment
from tael.base.read_cache import ReadCache
from tael.cashier.browsers import browser_of
from tael.cashier.context import CashierContext
from tael.cashier.qr import qr_code
from tael.cashier.redirects import base_url, onward_url
from tael.cashier.rendering import PRIVATE, TO_WALLET, no_such_page, page, route, to_merchant
from tael.channels.outcomes import PayCode, PayLink, PayParams
from tael.payments.checkout import checkout_of
from tael.payments.domain.checkout import takes_orders
from tael.payments.domain.page_urls import CASHIER, Pages, payment_page_end
from tael.payments.domain.payment import Payment, State, takes_payers
from tael.payments.opening import with_pay_data

ONE: Final = "{mchid}/{syssn}"
ENDS: Final = (State.PAID, State.CLOSED, State.EXPIRED, State.FAILED)
#: A page asks every few seconds, and many pages may show one payment.
STATE_CACHE_S: Final = 1.0


def routes(context: CashierContext) -> list[BaseRoute]:
    states: ReadCache[tuple[State, datetime]] = ReadCache(ttl_s=STATE_CACHE_S)

    async def state(request: Request, context: CashierContext) -> Response:
        return await _state(request, context, states)

    parts = (("/state", state), ("/onward", _onward))
    pages = {"pay": (("", _pay_page), ("/open", _open), *parts), "wechat": (("", _wechat_page), *parts)}
    return [
        route(f"{CASHIER}/{folder}/{ONE}/{{token}}{part}", show, context)
        for folder, shown in pages.items()
        for part, show in shown
    ]


async def _pay_page(request: Request, context: CashierContext) -> Response:
    payment = await _requested_payment(request, context)
    if payment is None or not payment.pay_type.has_page:
        return no_such_page(request)
    if payment.pay_type.presentment is Presentment.JSAPI:
        return await _to_page(payment, context)
    return await payment_page(request, payment, context)


async def _wechat_page(request: Request, context: CashierContext) -> Response:
    payment = await _requested_payment(request, context)
    if payment is None or payment.pay_type.presentment is not Presentment.JSAPI:
        return no_such_page(request)
    return await payment_page(request, payment, context)


async def _state(
    request: Request, context: CashierContext, states: ReadCache[tuple[State, datetime]]
) -> Response:
    """The state's name in lower case and nothing else. The end of the page is cached with it."""
    if not await _is_entitled(request, context):
        return JSONResponse({"state": "unknown"}, 404, PRIVATE)
    mchid, syssn = request.path_params["mchid"], request.path_params["syssn"]

    async def read(_: str) -> tuple[State, datetime] | None:
        payment = await context.payments.store.payments.by_syssn(mchid, syssn)
        return (payment.state, payment_page_end(payment)) if payment else None

    cached = await states.get(f"{mchid}/{syssn}", read)
    if cached is None or context.now() >= cached[1]:
        return JSONResponse({"state": "unknown"}, 404, PRIVATE)
    return JSONResponse({"state": cached[0].value.lower()}, 200, PRIVATE)


async def _onward(request: Request, context: CashierContext) -> Response:
    """To the merchant's page for this result; without one, to the payment's own page."""
    payment = await _requested_payment(request, context)
    if payment is None:
        return no_such_page(request)
    known = await context.payments.wallets.credentials.app(payment.appcode)
    url = onward_url(payment, known.app if known else None, await checkout_of(payment, context.payments))
    return to_merchant(url) if url else await _to_page(payment, context)


async def _open(request: Request, context: CashierContext) -> Response:
    """To the wallet's page, after the redirect is committed; if not possible, to the payment's own page."""
    payment = await _requested_payment(request, context)
    if payment is None or not payment.pay_type.has_page:
        return no_such_page(request)
    payment = await with_pay_data(payment, context.payments)
    if request.method == "GET" and payment.is_unopened:  # HEAD changes nothing
        await context.payments.store.payments.note_redirect(payment, context.now())
        payment = await context.payments.store.payments.by_syssn(payment.mchid, payment.syssn) or payment
    may_go = takes_payers(payment, context.now()) and not payment.is_unopened
    if isinstance(payment.pay, PayLink) and may_go:
        return RedirectResponse(payment.pay.url, 303, TO_WALLET)
    return await _to_page(payment, context)


async def _to_page(payment: Payment, context: CashierContext) -> Response:
    return RedirectResponse((await context.links.pages()).path(payment), 303, PRIVATE)


async def _is_entitled(request: Request, context: CashierContext) -> bool:
    path = request.path_params
    pages = await context.links.pages_for(path["token"])
    return pages.is_token(path["token"], path["mchid"], path["syssn"], context.now())


async def _requested_payment(request: Request, context: CashierContext) -> Payment | None:
    """The payment of the request's path; None if it is unknown, the token is wrong, or its page has ended."""
    if not await _is_entitled(request, context):
        return None
    path = request.path_params
    payment = await context.payments.store.payments.by_syssn(path["mchid"], path["syssn"])
    return payment if payment and context.now() < payment_page_end(payment) else None


async def payment_page(request: Request, payment: Payment, context: CashierContext) -> Response:
    """The page with payee, subject, amount and state, and the code or link that this browser can use."""
    known = await context.payments.wallets.credentials.app(payment.appcode)
    app = known.app if known else None
    checkout = await checkout_of(payment, context.payments)
    merchant = known.merchants.get(payment.mchid) if known else None
    now = context.now()
    pages = await context.links.pages()
    path = pages.path(payment)
    may_choose = checkout is not None and takes_orders(checkout.link, now)
    link_path = pages.checkout_path(payment.mchid, checkout.link.link_id) if checkout else ""
    presented = await _presented(payment, pages)
    onward = {state: bool(base_url(payment, state, app, checkout)) for state in ENDS}
    return page(
        request,
        "payment.html",
        headers=TO_WALLET if presented["url"] else PRIVATE,
        payee=merchant.name if merchant else "",
        subject=payment.subject,
        amount=major_text(payment.amount),
        currency=payment.amount.currency,
        wallet=payment.pay_type.wallet or "",
        state=payment.state.value.lower(),
        ends=[state.value.lower() for state in ENDS],
        onward={state.value.lower(): f"{path}/onward" if onward[state] else "" for state in ENDS},
        # A payer who can still choose another wallet is not redirected automatically.
        redirecting=[
            state.value.lower() for state in ENDS if onward[state] and (state is State.PAID or not may_choose)
        ],
        choose_path=link_path if may_choose else "",
        leave_path=f"{link_path}/leave" if checkout and checkout.link.cancel_url else "",
        is_still_open="still" in request.query_params,
        is_closing=bool(payment.close_syssn),
        state_path=f"{path}/state",
        left_s=max(0, int((payment.expires_at - now).total_seconds())),
        browser=browser_of(request).value,
        **presented,
    )


async def _presented(payment: Payment, pages: Pages) -> dict[str, Any]:
    """The code, link or parameters for the payer. `action` is "" if they are unknown or the order has ended."""
    nothing: dict[str, Any] = {"action": "", "url": "", "code": "", "params": {}}
    if payment.state is not State.PENDING or payment.close_syssn:
        return nothing
    match payment.pay:
        case PayLink() if payment.pay_type.presentment is Presentment.WAP_PAGE:
            return nothing | {"action": "open", "url": pages.opening_path(payment)}
        case PayLink():
            code = await qr_code(pages.opening_of(payment))
            return nothing | {"action": "scan", "url": pages.opening_path(payment), "code": code}
        case PayCode(text):
            return nothing | {"action": "scan", "code": await qr_code(text)}
        case PayParams(params):
            return nothing | {"action": "bridge", "params": dict(params)}
        case None:
            return nothing
