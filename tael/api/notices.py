"""The wallets' notices: raw bytes in, the wallet's own form of acknowledgement out."""

from functools import partial
from typing import Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tael.api.request_body import peer_of
from tael.base.pay_types import Wallet
from tael.base.security_log import log_refused_notice
from tael.channels.base import Acknowledgement, Channel
from tael.db.database import StoreUnavailable, budget
from tael.db.outages import log_unavailable
from tael.payments.context import ContextOf, PaymentContext
from tael.payments.notices import NoSuchAccount, NoticeRefused, notified_account, receive_notice
from tael.payments.wallets import NOTICES

log = structlog.get_logger()

MAX_NOTICE_BYTES: Final = 256 * 1024


class NoticeTooLarge(NoticeRefused):
    """The notice is longer than any that a wallet sends."""


def routes(context: PaymentContext, context_of: ContextOf) -> list[BaseRoute]:
    """The paths are defined in `payments/wallets.py`, which gives them to the wallets.

    `context` is for what all cells share, `context_of` for what is in a merchant's.
    """
    of_wallet: dict[Wallet, Channel] = {}
    for channel in context.wallets.channels.values():
        of_wallet.setdefault(channel.wallet, channel)
    return [
        Route(
            f"{NOTICES}/{wallet}/{{account_id}}",
            partial(
                _notice,
                wallet=wallet,
                acknowledgement=channel.acknowledgement,
                context=context,
                context_of=context_of,
            ),
            methods=["POST"],
        )
        for wallet, channel in of_wallet.items()
    ]


async def _notice(
    request: Request,
    wallet: Wallet,
    acknowledgement: Acknowledgement,
    context: PaymentContext,
    context_of: ContextOf,
) -> Response:
    """Anything but the wallet's acknowledgement makes the wallet repeat the notice.

    `acknowledgement` is the form for an unknown account; a known one's is decided by its protocol.
    """
    account_id = request.path_params["account_id"]
    try:
        body = await _body_of(request)
        with budget(context.store.database.limits.call_s):
            account = await notified_account(wallet, account_id, context)
            acknowledgement = context.wallets.channel(account.protocol).acknowledgement
            await receive_notice(account, request.headers, body, await context_of(account.mchid))
    except NoticeRefused as refused:
        is_known = not isinstance(refused, NoSuchAccount | NoticeTooLarge)
        log_refused_notice(wallet, account_id, str(refused), is_known, peer_of(request))
        status = 413 if isinstance(refused, NoticeTooLarge) else 200
        return Response(acknowledgement.refused, status, media_type=acknowledgement.content_type)
    except ClientDisconnect:
        raise
    except StoreUnavailable as error:
        log_unavailable(error, notice=wallet)
        return Response(acknowledgement.refused, 503, media_type=acknowledgement.content_type)
    except Exception:
        log.exception("notice.failed", wallet=wallet)
        return Response(acknowledgement.refused, 503, media_type=acknowledgement.content_type)
    return Response(acknowledgement.received, media_type=acknowledgement.content_type)


async def _body_of(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_NOTICE_BYTES:
            raise NoticeTooLarge(f"the body is larger than {MAX_NOTICE_BYTES} bytes")
    return bytes(body)
