"""Telling merchants: one attempt to deliver one webhook. Called by `jobs/webhooks.py`.

The URL is read when it is needed, since an app's settings may change at any time; the body is fixed at the first
attempt and kept before it is sent, so that every repeat is the same bytes.
"""

import time
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from tael.base.transport import Answer, NoAnswer, NothingSent, Result
from tael.merchants.domain.merchant import App
from tael.payments.gateway import Gateway
from tael.payments.store.store import Store
from tael.webhooks.domain.webhook import (
    RETRY_GAPS,
    Style,
    WebhookKind,
    WebhookState,
    body_of,
    is_acknowledged,
    payment_members,
    refund_members,
    sign,
)
from tael.webhooks.store.queue import Attempt, Delivery, DueWebhook

log = structlog.get_logger()

DELIVERY_TIMEOUT_S: Final = 10.0
#: An acknowledgement is one word; whatever else a receiver says, no more of it is read.
MAX_READ_BYTES: Final = 16 * 1024
QUICK_RETRIES: Final = 4
ACKNOWLEDGED: Final = "acknowledged"


async def deliver(webhook: DueWebhook, gateway: Gateway) -> Delivery:
    """What became of one attempt; the caller writes it. Raises StoreUnavailable."""
    known = await gateway.credentials.app(webhook.appcode)
    if known is None:
        return _ended(webhook, WebhookState.EXHAUSTED, "no such app", gateway)
    app = known.app
    if webhook.body is None:
        style = app.webhook_style
        if not is_wanted(webhook, style):
            result = "old receivers are not told of refunds"
            return _ended(webhook, WebhookState.NOT_WANTED, result, gateway)
        webhook = replace(webhook, style=style, body=await fixed_body(webhook, style, gateway.store))
    return _judged(webhook, app, await _attempt(webhook, app, gateway), gateway.clock.now())


def is_wanted(webhook: DueWebhook, style: Style) -> bool:
    """Old receivers would book a refund as a payment."""
    return not (webhook.kind is WebhookKind.REFUND and style is Style.OLD)


def headers_of(body: bytes, style: Style, app: App) -> dict[str, str]:
    """What goes with the bytes: how a receiver knows that they are ours."""
    signature = sign(body, style, app.key, app.response_algorithm)
    return {"Content-Type": "application/json", "X-QF-SIGN": signature}


def _ended(webhook: DueWebhook, state: WebhookState, result: str, gateway: Gateway) -> Delivery:
    """Nothing was sent, and nothing will be."""
    if state is WebhookState.EXHAUSTED:
        log.error("webhook.exhausted", mchid=webhook.mchid, cause=webhook.cause, result=result)
    return Delivery(webhook, state, Attempt(gateway.clock.now(), 0, None, result))


def _judged(webhook: DueWebhook, app: App, attempt: Attempt, now: datetime) -> Delivery:
    """Delivered, due again, or dead once the schedule is over."""
    if attempt.result == ACKNOWLEDGED:
        return Delivery(webhook, WebhookState.DELIVERED, attempt, delivered_at=now)
    gaps = RETRY_GAPS if app.quick_retries else RETRY_GAPS[QUICK_RETRIES:]
    failed_before = webhook.attempts - webhook.attempts_before
    if failed_before >= len(gaps):
        log.error("webhook.exhausted", mchid=webhook.mchid, cause=webhook.cause, result=attempt.result)
        return Delivery(webhook, WebhookState.EXHAUSTED, attempt)
    return Delivery(webhook, WebhookState.DUE, attempt, deliver_at=now + gaps[failed_before])


async def fixed_body(webhook: DueWebhook, style: Style, store: Store) -> bytes:
    """The bytes to send, kept before they are sent. Those that were kept before by somebody else stay."""
    payment = await store.payments.by_syssn(webhook.mchid, webhook.payment_syssn)
    if payment is None:
        raise LookupError(f"webhook of {webhook.cause} has lost its payment")
    if webhook.kind is WebhookKind.PAYMENT:
        body = body_of(payment_members(payment, style))
    else:
        refund = await store.refunds.by_syssn(webhook.mchid, webhook.cause)
        if refund is None:
            raise LookupError(f"webhook of {webhook.cause} has lost its refund")
        body = body_of(refund_members(payment, refund))
    await store.webhooks.fix_body(webhook, style, body)
    return body


async def _attempt(webhook: DueWebhook, app: App, gateway: Gateway) -> Attempt:
    started_at, began_s = gateway.clock.now(), time.monotonic()
    answer = await _send(webhook, app, gateway)
    took_ms = round((time.monotonic() - began_s) * 1000)
    match answer:
        case Answer(status, _, body) if is_acknowledged(status, body):
            return Attempt(started_at, took_ms, status, ACKNOWLEDGED, body)
        case Answer(status, _, body):
            return Attempt(started_at, took_ms, status, f"HTTP {status}", body)
        case NothingSent(reason) | NoAnswer(reason):
            return Attempt(started_at, took_ms, None, reason)


async def _send(webhook: DueWebhook, app: App, gateway: Gateway) -> Result:
    if not app.notify_url:
        return NothingSent("the app has no notify URL")
    body, style = webhook.body or b"", webhook.style or Style.OLD
    return await gateway.transport.call(
        "POST",
        app.notify_url,
        body=body,
        headers=headers_of(body, style, app),
        timeout_s=DELIVERY_TIMEOUT_S,
        cut_at=MAX_READ_BYTES,
    )
