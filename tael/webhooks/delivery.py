"""Telling merchants: one attempt to deliver one webhook. Called by `jobs/webhooks.py`.

The URL is read when it is needed, since an app's settings may change at any time; the body is fixed at the first
attempt and kept before it is sent, so that every repeat is the same bytes.
"""

import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

import structlog

from tael.base.clock import Clock
from tael.base.transport import Answer, NoAnswer, NothingSent, Result, Transport
from tael.merchants.credential_cache import CredentialCache
from tael.merchants.domain.merchant import App, Style
from tael.webhooks.domain.webhook import RETRY_GAPS, WebhookKind, WebhookState, is_acknowledged
from tael.webhooks.store.queue import Attempt, Delivery, DueWebhook
from tael.webhooks.store.webhooks import Webhooks

log = structlog.get_logger()

DELIVERY_TIMEOUT_S: Final = 10.0
#: An acknowledgement is one word; whatever else a receiver says, no more of it is read.
MAX_READ_BYTES: Final = 16 * 1024
QUICK_RETRIES: Final = 4
ACKNOWLEDGED: Final = "acknowledged"


class Renderer(Protocol):
    """Bodies and signatures of webhooks in the merchants' dialect."""

    async def body(self, webhook: DueWebhook, style: Style) -> bytes:
        """The body of a webhook that has none yet. Raises StoreUnavailable."""
        ...

    def sign(self, body: bytes, style: Style, app: App) -> str: ...


@dataclass(frozen=True, slots=True)
class DeliveryContext:
    """What deliveries depend on."""

    webhooks: Webhooks
    credentials: CredentialCache
    renderer: Renderer
    transport: Transport  #: to merchants, within an EgressPolicy
    clock: Clock


async def deliver(webhook: DueWebhook, context: DeliveryContext) -> Delivery:
    """What became of one attempt; the caller writes it. Raises StoreUnavailable."""
    known = await context.credentials.app(webhook.appcode)
    if known is None:
        return _ended(webhook, WebhookState.EXHAUSTED, "no such app", context)
    app = known.app
    if webhook.body is None:
        style = app.webhook_style
        if not is_wanted(webhook, style):
            result = "old receivers are not told of refunds"
            return _ended(webhook, WebhookState.NOT_WANTED, result, context)
        webhook = replace(
            webhook, style=style, body=await fixed_body(webhook, style, context.webhooks, context.renderer)
        )
    return _judged(webhook, app, await _attempt(webhook, app, context), context.clock.now())


def is_wanted(webhook: DueWebhook, style: Style) -> bool:
    """Old receivers would book a refund as a payment."""
    return not (webhook.kind is WebhookKind.REFUND and style is Style.OLD)


def headers_of(body: bytes, style: Style, app: App, renderer: Renderer) -> dict[str, str]:
    """The headers that prove to a receiver that the body is ours."""
    return {"Content-Type": "application/json", "X-QF-SIGN": renderer.sign(body, style, app)}


def _ended(webhook: DueWebhook, state: WebhookState, result: str, context: DeliveryContext) -> Delivery:
    """Nothing was sent, and nothing will be."""
    if state is WebhookState.EXHAUSTED:
        log.error("webhook.exhausted", mchid=webhook.mchid, cause=webhook.cause, result=result)
    return Delivery(webhook, state, Attempt(context.clock.now(), 0, None, result))


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


async def fixed_body(webhook: DueWebhook, style: Style, webhooks: Webhooks, renderer: Renderer) -> bytes:
    """The bytes to send, stored before they are sent. A body that is stored already stays."""
    body = await renderer.body(webhook, style)
    await webhooks.fix_body(webhook, style, body)
    return body


async def _attempt(webhook: DueWebhook, app: App, context: DeliveryContext) -> Attempt:
    started_at, began_s = context.clock.now(), time.monotonic()
    answer = await _send(webhook, app, context)
    took_ms = round((time.monotonic() - began_s) * 1000)
    match answer:
        case Answer(status, _, body) if is_acknowledged(status, body):
            return Attempt(started_at, took_ms, status, ACKNOWLEDGED, body)
        case Answer(status, _, body):
            return Attempt(started_at, took_ms, status, f"HTTP {status}", body)
        case NothingSent(reason) | NoAnswer(reason):
            return Attempt(started_at, took_ms, None, reason)


async def _send(webhook: DueWebhook, app: App, context: DeliveryContext) -> Result:
    if not app.notify_url:
        return NothingSent("the app has no notify URL")
    body, style = webhook.body or b"", webhook.style or Style.OLD
    return await context.transport.call(
        "POST",
        app.notify_url,
        body=body,
        headers=headers_of(body, style, app, context.renderer),
        timeout_s=DELIVERY_TIMEOUT_S,
        cut_at=MAX_READ_BYTES,
    )
