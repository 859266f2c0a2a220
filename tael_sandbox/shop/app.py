"""The shop's pages and forms, and the addresses for the gateway: `/webhook`, and `/return` for the payer's browser.

An invalid form is shown again with a message beside the field and the submitted values. Forms from another site are
refused, so that no other page can order or refund in the name of a user of the shop.
"""

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route
from tael_client import PayType, read_return

from tael_sandbox.bodies import client_left, read_body
from tael_sandbox.phone.texts import money
from tael_sandbox.shop.checkout import read_checkout, repeat_form
from tael_sandbox.shop.order import Order, Refund, RefundState, State, minor_of
from tael_sandbox.shop.order_store import OrderStore
from tael_sandbox.shop.pages import FOLDER, HEADERS, Form, Pages, View
from tael_sandbox.shop.payers import Payers
from tael_sandbox.shop.shop_service import ShopService, Visitor

MAX_BODY_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 40
LATEST_ORDERS: Final = 8
LATEST_WEBHOOKS: Final = 50
STATIC: Final = {"shop.css": "text/css", "shop.js": "text/javascript"}
ALLOWED_SITES: Final = ("same-origin", "none")
PROBLEMS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("Invalid form", "The form could not be read. Nothing was done."),
    403: ("Form from another site", "This form came from another site, so nothing was done."),
    404: ("Not found", "There is no such page or order in this shop."),
    405: ("Not found", "This address accepts forms only."),
    413: ("Form too large", "The form is larger than this shop accepts. Nothing was done."),
}
Typed = dict[str, str]


class Shop:
    """A shop with prices in `currency`, which is its merchant's."""

    def __init__(
        self, shop_service: ShopService, order_store: OrderStore, sandbox_url: str, currency: str
    ) -> None:
        self._shop_service = shop_service
        self._order_store = order_store
        self._payers = Payers(sandbox_url)
        self._pages = Pages(sandbox_url, currency)
        self._currency = currency

    def app(self) -> Starlette:
        app = Starlette(
            routes=[
                Route("/", self._show_shop, methods=["GET"]),
                Route("/orders", self._place_order, methods=["POST"]),
                Route("/orders/{reference}", self._show_order, methods=["GET"]),
                self._form("refresh", self._refresh),
                self._form("close", self._close),
                self._form("reverse", self._reverse),
                self._form("refund", self._refund),
                Route("/webhooks", self._show_webhooks, methods=["GET"]),
                Route("/webhook", self._receive_webhook, methods=["POST"]),
                Route("/return", self._return_to_order, methods=["GET"]),
                Route("/healthz", _healthz, methods=["GET"]),
                *(_static(name, media_type) for name, media_type in STATIC.items()),
            ],
            exception_handlers={
                HTTPException: self._show_problem,
                ClientDisconnect: client_left,
                Exception: self._show_failure,
            },
            lifespan=self._lifespan,
        )
        app.router.redirect_slashes = False
        return app

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        await self._shop_service.close_connections()
        await self._payers.close_connections()
        self._order_store.close()

    # ---- buying --------------------------------------------------------------------------------------------

    async def _show_shop(self, request: Request) -> Response:
        previous = self._order_store.order(request.query_params.get("again", ""))
        return await self._shop(
            Form(repeat_form(previous) if previous else {"pay_type": PayType.WECHAT_QR.value})
        )

    async def _shop(self, form: Form, status: int = 200) -> Response:
        openids = await self._payers.openids()
        latest = self._order_store.latest(LATEST_ORDERS, self._currency)
        page = self._pages.shop(form, new_reference(), openids, latest)
        return HTMLResponse(page, status, HEADERS)

    async def _place_order(self, request: Request) -> Response:
        typed = await read_form(request)
        if typed.get("action") == "total":
            return await self._shop(Form(typed))
        checkout, errors = read_checkout(typed)
        if checkout is None:
            return await self._shop(Form(typed, errors), 400)
        order = Order(
            reference=checkout.reference,
            basket=checkout.basket,
            amount=checkout.basket.total(self._currency),
            pay_type=checkout.pay_type,
            state=State.SENDING,
            placed_at=time.time(),
        )
        # A duplicate means that the form was sent twice and the first one is in progress.
        if self._order_store.place(order):
            await self._shop_service.pay(order, checkout.auth_code, checkout.openid, _visitor(request))
        return _redirect_to(order.reference)

    # ---- an order ------------------------------------------------------------------------------------------

    async def _show_order(self, request: Request) -> Response:
        order = self._order(request)
        await self._shop_service.refresh_if_due(order)
        view = self._view(order.reference)
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"regions": self._pages.regions(view)}, headers=HEADERS)
        return HTMLResponse(self._pages.order(view), headers=HEADERS)

    def _form(self, name: str, act: Callable[[Order, Typed], Awaitable[str | View]]) -> Route:
        """A form on an order's page. `act` returns a message to show, "", or the page with errors in its form."""

        async def answer(request: Request) -> Response:
            typed = await read_form(request)
            order = self._order(request)
            result = await act(order, typed)
            if result == "":
                return _redirect_to(order.reference)
            if isinstance(result, View):
                return HTMLResponse(self._pages.order(result), 400, HEADERS)
            return HTMLResponse(self._pages.order(self._view(order.reference), result), 400, HEADERS)

        return Route(f"/orders/{{reference}}/{name}", answer, methods=["POST"])

    async def _refresh(self, order: Order, _: Typed) -> str:
        await self._shop_service.refresh(order)
        return ""

    async def _close(self, order: Order, _: Typed) -> str:
        refusal = await self._shop_service.close(order)
        return refusal and f"The order was not closed: {refusal}"

    async def _reverse(self, order: Order, _: Typed) -> str:
        refusal = await self._shop_service.reverse(order)
        return refusal and f"The payment was not reversed: {refusal}"

    async def _refund(self, order: Order, typed: Typed) -> str | View:
        view = self._view(order.reference)
        reference = typed.get("reference")
        if any(refund.reference == reference for refund in view.refunds):
            return ""  # the form was sent twice, and the first one is in progress
        if reference != view.next_refund:
            return "This form is out of date. Nothing was refunded; try again."
        try:
            amount_minor = requested_refund_minor(typed, view)
        except ValueError as error:
            return replace(view, form=Form(typed, {"amount": str(error)}))
        refund = Refund(reference, amount_minor, RefundState.PENDING)
        self._order_store.add_refund(order.reference, refund)
        await self._shop_service.refund(order, refund)
        return ""

    def _order(self, request: Request) -> Order:
        order = self._order_store.order(request.path_params["reference"])
        if order is None:
            raise HTTPException(404)
        return order

    def _view(self, reference: str) -> View:
        order = self._order_store.order(reference)
        assert order is not None
        return View(
            order,
            self._order_store.refunds(reference),
            self._order_store.exchanges(reference),
            self._order_store.webhooks(reference),
        )

    # ---- webhooks and returns ------------------------------------------------------------------------------

    async def _receive_webhook(self, request: Request) -> Response:
        body = await read_body(request, MAX_BODY_BYTES)
        if body is None:
            return PlainTextResponse("too long", 413)
        is_verified = self._shop_service.receive_webhook(body, request.headers.get("X-QF-SIGN", ""))
        return PlainTextResponse("SUCCESS") if is_verified else PlainTextResponse("bad signature", 400)

    async def _show_webhooks(self, _: Request) -> Response:
        page = self._pages.webhooks(self._order_store.latest_webhooks(LATEST_WEBHOOKS))
        return HTMLResponse(page, headers=HEADERS)

    async def _return_to_order(self, request: Request) -> Response:
        """The payer's browser returns. Its address is not signed, so it only selects the order to query."""
        try:
            reference = read_return(str(request.url)).reference
        except ValueError:
            reference = ""
        order = self._order_store.order(reference)
        if order is None:
            raise HTTPException(404)
        await self._shop_service.refresh_if_due(order)
        return _redirect_to(order.reference)

    # ---- errors --------------------------------------------------------------------------------------------

    async def _show_problem(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        title, text = PROBLEMS.get(error.status_code, PROBLEMS[404])
        return HTMLResponse(self._pages.problem(title, text), error.status_code, HEADERS)

    async def _show_failure(self, _request: Request, _error: Exception) -> Response:
        """Starlette raises the exception again afterwards, for the log."""
        page = self._pages.problem("Something went wrong", "The error is in the shop's log.")
        return HTMLResponse(page, 500, HEADERS)


def requested_refund_minor(typed: Mapping[str, str], view: View) -> int:
    """Raises ValueError with a message for the user."""
    currency = view.order.amount.currency
    if view.refundable_minor == 0:
        raise ValueError("There is nothing left to refund.")
    if typed.get("how") == "whole":
        return view.refundable_minor
    try:
        amount_minor = minor_of(typed.get("amount", ""), currency)
    except ValueError:
        raise ValueError("Enter an amount such as 12.50.") from None
    if not 0 < amount_minor <= view.refundable_minor:
        refundable = money(view.refundable_minor, currency)
        raise ValueError(f"Enter an amount above zero and at most {refundable}, the amount that is left.")
    return amount_minor


def new_reference() -> str:
    return f"shop-{secrets.token_hex(6)}"


async def read_form(request: Request) -> Typed:
    """The submitted fields, the last value of each name. Raises HTTPException for a form that is not the shop's."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ALLOWED_SITES:
        raise HTTPException(403)
    body = await read_body(request, MAX_BODY_BYTES)
    if body is None:
        raise HTTPException(413)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise HTTPException(400) from None


def _visitor(request: Request) -> Visitor:
    return Visitor(request.client.host if request.client else "127.0.0.1", str(request.base_url))


def _redirect_to(reference: str) -> Response:
    return RedirectResponse(f"/orders/{reference}", 303, HEADERS)


def _static(name: str, media_type: str) -> Route:
    async def serve(_: Request) -> Response:
        return FileResponse(FOLDER / "static" / name, headers=HEADERS, media_type=media_type)

    return Route(f"/static/{name}", serve, methods=["GET"])


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})
