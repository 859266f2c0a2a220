"""Telling merchants: one attempt to deliver one webhook. Called by `jobs/webhooks.py`.

The URL is read when it is needed, since an app's settings may change at any time; the body is fixed at the first
attempt and kept before it is sent, so that every repeat is the same bytes.
"""

from dataclasses import replace
from typing import Final

import structlog

from tael.domain.merchant import App
from tael.domain.webhook import (
    RETRY_GAPS,
    Style,
    WebhookKind,
    body_of,
    is_acknowledged,
    payment_members,
    refund_members,
    sign,
)
from tael.service.gateway import Gateway
from tael.store.webhooks import Delivery, DueWebhook
from tael.transport import Answer, NoAnswer, NothingSent

log = structlog.get_logger()

DELIVERY_TIMEOUT_S: Final = 10.0
QUICK_RETRIES: Final = 4


async def deliver(webhook: DueWebhook, gateway: Gateway) -> Delivery:
    """What became of one attempt; the caller writes it. Raises StoreUnavailable."""
    known = await gateway.directory.app(webhook.appcode)
    if known is None:
        return Delivery(webhook, "GIVEN_UP", "no such app", None, None)
    app = known.app
    if webhook.body is None:
        style = app.webhook_style
        if webhook.kind is WebhookKind.REFUND and style is Style.OLD:
            return Delivery(webhook, "NOT_WANTED", "old receivers are not told of refunds", None, None)
        webhook = replace(webhook, style=style, body=await _body(webhook, style, gateway))
    result = await _send(webhook, app, gateway)
    now = gateway.clock.now()
    if result == "acknowledged":
        return Delivery(webhook, "DELIVERED", result, None, now)
    gaps = RETRY_GAPS if app.quick_retries else RETRY_GAPS[QUICK_RETRIES:]
    if webhook.attempts >= len(gaps):
        log.error("webhook.given_up", mchid=webhook.mchid, cause=webhook.cause, result=result)
        return Delivery(webhook, "GIVEN_UP", result, None, None)
    return Delivery(webhook, "DUE", result, now + gaps[webhook.attempts], None)


async def _body(webhook: DueWebhook, style: Style, gateway: Gateway) -> bytes:
    """The bytes to send, kept before they are sent."""
    payment = await gateway.store.payments.by_syssn(webhook.mchid, webhook.payment_syssn)
    if payment is None:
        raise LookupError(f"webhook of {webhook.cause} has lost its payment")
    if webhook.kind is WebhookKind.PAYMENT:
        body = body_of(payment_members(payment, style))
    else:
        refund = await gateway.store.refunds.by_syssn(webhook.mchid, webhook.cause)
        if refund is None:
            raise LookupError(f"webhook of {webhook.cause} has lost its refund")
        body = body_of(refund_members(payment, refund))
    await gateway.store.webhooks.fix_body(webhook, style, body)
    return body


async def _send(webhook: DueWebhook, app: App, gateway: Gateway) -> str:
    if not app.notify_url:
        return "the app has no notify URL"
    body, style = webhook.body or b"", webhook.style or Style.OLD
    result = await gateway.transport.call(
        "POST",
        app.notify_url,
        body=body,
        headers={"Content-Type": "application/json", "X-QF-SIGN": sign(body, style, app.key)},
        timeout_s=DELIVERY_TIMEOUT_S,
    )
    match result:
        case Answer(status, _, answer) if is_acknowledged(status, answer):
            return "acknowledged"
        case Answer(status):
            return f"HTTP {status}"
        case NothingSent(reason) | NoAnswer(reason):
            return reason
