"""The wallets' calls to us: raw bytes in, the wallet's own acknowledgement out. And the payer's browser coming back."""

from functools import partial
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tael.domain.payment import Payment, State
from tael.domain.paytype import Wallet
from tael.domain.webhook import Style, payment_members
from tael.service.gateway import NOTICES, RETURN, Gateway
from tael.service.notices import NoticeRefused, payment_returned, receive_notice
from tael.store.database import StoreUnavailable

log = structlog.get_logger()

MOST_NOTICE_BYTES: Final = 256 * 1024


def routes(gateway: Gateway) -> list[BaseRoute]:
    """Where wallets and payers' browsers arrive; the paths are named in `service/gateway.py`, which gives them out."""
    arrivals: list[BaseRoute] = [
        Route(
            f"{NOTICES}/{wallet}/{{account_id}}",
            partial(_notice, wallet=wallet, gateway=gateway),
            methods=["POST"],
        )
        for wallet in Wallet
    ]
    return [
        *arrivals,
        Route(f"{RETURN}/{{account_id}}", partial(_returned, gateway=gateway), methods=["GET"]),
    ]


async def _notice(request: Request, wallet: Wallet, gateway: Gateway) -> Response:
    """Anything but "received" makes the wallet send it again."""
    words = gateway.channels[wallet].acknowledgement
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_NOTICE_BYTES:
            return Response(words.refused, 413, media_type=words.content_type)
    try:
        await receive_notice(wallet, request.path_params["account_id"], request.headers, bytes(body), gateway)
    except NoticeRefused:
        return Response(words.refused, media_type=words.content_type)
    except StoreUnavailable:
        return Response(words.refused, 503, media_type=words.content_type)
    except Exception:
        log.exception("notice.failed", wallet=wallet)
        return Response(words.refused, 503, media_type=words.content_type)
    return Response(words.received, media_type=words.content_type)


async def _returned(request: Request, gateway: Gateway) -> Response:
    """On to the merchant's return URL once the wallet says that the money came; else a word for the payer."""
    try:
        returned = await payment_returned(
            request.path_params["account_id"], dict(request.query_params), gateway
        )
    except StoreUnavailable:
        return PlainTextResponse("The payment is being confirmed. You may close this page.", 503)
    if returned is None:
        return PlainTextResponse("This link is not valid.", 400)
    payment, app = returned
    if payment.state is not State.PAID:
        return PlainTextResponse("The payment is being confirmed. You may close this page.")
    if not app.return_url:
        return PlainTextResponse("Thank you, the payment is complete. You may close this page.")
    return RedirectResponse(return_url(app.return_url, payment), 303)


def return_url(url: str, payment: Payment) -> str:
    """The merchant's return URL with the parameters of the payment; what its query held is kept."""
    parts = urlsplit(url)
    members = payment_members(payment, Style.OLD)
    query = [*parse_qsl(parts.query, keep_blank_values=True), *members.items()]
    return urlunsplit(parts._replace(query=urlencode(query)))
