"""Delivering webhooks: one attempt for one webhook.

The URL is read at each attempt, since an app's settings may change. The body is fixed at the first attempt and stored
before it is sent, so that every retry sends the same bytes.
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
#: An acknowledgement is one word; no more of a response than this is read.
MAX_READ_BYTES: Final = 16 * 1024
QUICK_RETRIES: Final = 4
ACKNOWLEDGED: Final = "acknowledged"


class Renderer(Protocol):
    """Bodies and signatures of webhooks in the merchants' dialect."""

    async def body(self, webhook: DueWebhook, style: Style) -> bytes:
        """The body of a webhook that has none yet. Raises StoreUnavailable."""
        ...

    def sign(self, body: bytes, style: Style, app: App, now: datetime) -> str: ...


@dataclass(frozen=True, slots=True)
class DeliveryContext:
    """The dependencies of deliveries."""

    webhooks: Webhooks
    credentials: CredentialCache
    renderer: Renderer
    transport: Transport  #: to merchants, within an EgressPolicy
    clock: Clock


async def deliver(webhook: DueWebhook, dependencies: DeliveryContext) -> Delivery:
    """Make one attempt; the caller writes the result. Raises StoreUnavailable."""
    context = await dependencies.credentials.app(webhook.appcode)
    if context is None:
        return _ended(webhook, WebhookState.EXHAUSTED, "no such app", dependencies)
    app = context.app
    if webhook.body is None:
        style = app.webhook_style
        if not is_wanted(webhook, style):
            result = "the old style has no refund webhooks"
            return _ended(webhook, WebhookState.NOT_WANTED, result, dependencies)
        webhook = replace(
            webhook,
            style=style,
            body=await fixed_body(webhook, style, dependencies.webhooks, dependencies.renderer),
        )
    return _delivery(webhook, app, await _attempt(webhook, app, dependencies), dependencies.clock.now())


def is_wanted(webhook: DueWebhook, style: Style) -> bool:
    """Whether the style has this webhook: old-style receivers would book a refund as a payment."""
    return not (webhook.kind is WebhookKind.REFUND and style is Style.OLD)


def headers_of(body: bytes, style: Style, app: App, renderer: Renderer, now: datetime) -> dict[str, str]:
    """The headers of a webhook, with the signature."""
    return {"Content-Type": "application/json", "X-QF-SIGN": renderer.sign(body, style, app, now)}


def _ended(webhook: DueWebhook, state: WebhookState, result: str, dependencies: DeliveryContext) -> Delivery:
    """Nothing was sent, and nothing will be sent."""
    if state is WebhookState.EXHAUSTED:
        log.error("webhook.exhausted", mchid=webhook.mchid, cause=webhook.cause, result=result)
    return Delivery(webhook, state, Attempt(dependencies.clock.now(), 0, None, result))


def _delivery(webhook: DueWebhook, app: App, attempt: Attempt, now: datetime) -> Delivery:
    """Delivered, due again, or exhausted at the end of the retry schedule."""
    if attempt.result == ACKNOWLEDGED:
        return Delivery(webhook, WebhookState.DELIVERED, attempt, delivered_at=now)
    gaps = RETRY_GAPS if app.quick_retries else RETRY_GAPS[QUICK_RETRIES:]
    failed_before = webhook.attempts - webhook.attempts_before
    if failed_before >= len(gaps):
        log.error("webhook.exhausted", mchid=webhook.mchid, cause=webhook.cause, result=attempt.result)
        return Delivery(webhook, WebhookState.EXHAUSTED, attempt)
    return Delivery(webhook, WebhookState.DUE, attempt, deliver_at=now + gaps[failed_before])


async def fixed_body(webhook: DueWebhook, style: Style, webhooks: Webhooks, renderer: Renderer) -> bytes:
    """The bytes to send, stored before they are sent. A body stored earlier is not replaced."""
    body = await renderer.body(webhook, style)
    await webhooks.fix_body(webhook, style, body)
    return body


async def _attempt(webhook: DueWebhook, app: App, dependencies: DeliveryContext) -> Attempt:
    started_at, began_s = dependencies.clock.now(), time.monotonic()
    response = await _send(webhook, app, dependencies)
    took_ms = round((time.monotonic() - began_s) * 1000)
    match response:
        case Answer(status, _, body) if is_acknowledged(status, body):
            return Attempt(started_at, took_ms, status, ACKNOWLEDGED, body)
        case Answer(status, _, body):
            return Attempt(started_at, took_ms, status, f"HTTP {status}", body)
        case NothingSent(reason) | NoAnswer(reason):
            return Attempt(started_at, took_ms, None, reason)


async def _send(webhook: DueWebhook, app: App, dependencies: DeliveryContext) -> Result:
    if not app.notify_url:
        return NothingSent("the app has no notify URL")
    body, style = webhook.body or b"", webhook.style or Style.OLD
    return await dependencies.transport.call(
        "POST",
        app.notify_url,
        body=body,
        headers=headers_of(body, style, app, dependencies.renderer, dependencies.clock.now()),
        timeout_s=DELIVERY_TIMEOUT_S,
        cut_at=MAX_READ_BYTES,
    )
