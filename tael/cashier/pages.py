"""The page inside WeChat of 800207: hands the stored `pay_params` to the wallet's bridge. Its address is `pay_url`."""

import json
import secrets
from functools import partial
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from tael.domain.money import major_text
from tael.domain.outcome import BridgeParams
from tael.domain.payment import Payment, State
from tael.service.gateway import Gateway

PAGES: Final = Environment(
    loader=PackageLoader("tael.cashier"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def routes(gateway: Gateway) -> list[BaseRoute]:
    return [Route("/cashier/wechat/{mchid}/{syssn}", partial(_in_wechat, gateway=gateway), methods=["GET"])]


async def _in_wechat(request: Request, gateway: Gateway) -> Response:
    payment = await gateway.store.payments.by_syssn(
        request.path_params["mchid"], request.path_params["syssn"]
    )
    if payment is None or not isinstance(payment.pay, BridgeParams):
        return _page("gone.html", 404)
    if payment.state is not State.PENDING:
        return _page("ended.html", 200, is_paid=payment.state is State.PAID)
    return _page("in_wechat.html", 200, **_shown(payment, payment.pay))


def _shown(payment: Payment, pay: BridgeParams) -> dict[str, object]:
    return {
        "subject": payment.subject,
        "amount": major_text(payment.amount),
        "currency": payment.amount.currency,
        "params": json.dumps(dict(pay.params)),
    }


def _page(name: str, status: int, **values: object) -> Response:
    """A page whose only scripts and styles are its own, by a nonce that no injected text can know."""
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; frame-ancestors 'none'"
    )
    return HTMLResponse(
        PAGES.get_template(name).render(nonce=nonce, **values),
        status,
        {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )
