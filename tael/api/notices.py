"""The wallets' calls to us: raw bytes in, the wallet's own acknowledgement out."""

from functools import partial
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tael.domain.paytype import Wallet
from tael.service.gateway import NOTICES, Gateway
from tael.service.notices import NoticeRefused, receive_notice
from tael.store.database import StoreUnavailable, budget
from tael.store.outages import log_unavailable

log = structlog.get_logger()

MOST_NOTICE_BYTES: Final = 256 * 1024


def routes(gateway: Gateway) -> list[BaseRoute]:
    """Where wallets arrive; the paths are named in `service/gateway.py`, which gives them out."""
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
    if "\0" in account_id:  # nobody's: no text in the database can hold it
        return Response(words.refused, media_type=words.content_type)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_NOTICE_BYTES:
            return Response(words.refused, 413, media_type=words.content_type)
    try:
        with budget(gateway.store.database.limits.call_s):
            await receive_notice(wallet, account_id, request.headers, bytes(body), gateway)
    except NoticeRefused:
        return Response(words.refused, media_type=words.content_type)
    except StoreUnavailable as error:
        log_unavailable(error, notice=wallet)
        return Response(words.refused, 503, media_type=words.content_type)
    except Exception:
        log.exception("notice.failed", wallet=wallet)
        return Response(words.refused, 503, media_type=words.content_type)
    return Response(words.received, media_type=words.content_type)
