"""The wallets' calls to us: raw bytes in, the wallet's own acknowledgement out."""

from functools import partial
from typing import Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tael.api.request_body import peer_of
from tael.base.pay_types import Wallet
from tael.base.security_log import log_refused_notice
from tael.db.database import StoreUnavailable, budget
from tael.db.outages import log_unavailable
from tael.payments.gateway import NOTICES, Gateway
from tael.payments.notices import NoSuchAccount, NoticeRefused, receive_notice

log = structlog.get_logger()

MAX_NOTICE_BYTES: Final = 256 * 1024


class NoticeTooLarge(NoticeRefused):
    """No wallet's notice is as long."""


def routes(gateway: Gateway) -> list[BaseRoute]:
    """Where wallets arrive; the paths are named in `payments/gateway.py`, which gives them out."""
    return [
        Route(
            f"{NOTICES}/{wallet}/{{account_id}}",
            partial(_notice, wallet=wallet, gateway=gateway),
            methods=["POST"],
        )
        for wallet in Wallet
    ]


async def _notice(request: Request, wallet: Wallet, gateway: Gateway) -> Response:
    """Anything but "received" makes the wallet send it again."""
    words = gateway.channels[wallet].acknowledgement
    account_id = request.path_params["account_id"]
    try:
        body = await _body_of(request)
        if "\0" in account_id:  # no text in the database can hold it
            raise NoSuchAccount("no such account")
        with budget(gateway.store.database.limits.call_s):
            await receive_notice(wallet, account_id, request.headers, body, gateway)
    except NoticeRefused as refused:
        is_known = not isinstance(refused, NoSuchAccount | NoticeTooLarge)
        log_refused_notice(wallet, account_id, str(refused), is_known, peer_of(request))
        status = 413 if isinstance(refused, NoticeTooLarge) else 200
        return Response(words.refused, status, media_type=words.content_type)
    except ClientDisconnect:
        raise
    except StoreUnavailable as error:
        log_unavailable(error, notice=wallet)
        return Response(words.refused, 503, media_type=words.content_type)
    except Exception:
        log.exception("notice.failed", wallet=wallet)
        return Response(words.refused, 503, media_type=words.content_type)
    return Response(words.received, media_type=words.content_type)


async def _body_of(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_NOTICE_BYTES:
            raise NoticeTooLarge(f"the body is larger than {MAX_NOTICE_BYTES} bytes")
    return bytes(body)
