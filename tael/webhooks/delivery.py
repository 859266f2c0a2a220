"""Delivering webhooks: bodies for many, and one attempt for one.

The URL is read at each attempt, since an app's settings may change. The body is fixed at the first attempt and stored
before it is sent, so that every retry sends the same bytes.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

import structlog

from tael.base.clock import Clock
from tael.base.metrics import WEBHOOK_ATTEMPTS, WEBHOOKS_EXHAUSTED
from tael.base.transport import Answer, NoAnswer, NothingSent, Result, Transport
from tael.merchants.credential_cache import AppContext, CredentialCache
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

    async def bodies(self, webhooks: Sequence[DueWebhook]) -> list[bytes | None]:
        """Bodies in the styles of `webhooks` and in their order; None if a row is gone. Raises StoreUnavailable."""
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


async def prepare(webhooks: Sequence[DueWebhook], dependencies: DeliveryContext) -> list[DueWebhook]:
    """`webhooks` with their bodies, as far as they are to be sent and can be rendered. Raises StoreUnavailable."""
    apps = await _apps_of(webhooks, dependencies.credentials)
    bare = [
        replace(webhook, style=app.webhook_style)
        for webhook in webhooks
        if webhook.body is None
        and (app := apps.get(webhook.appcode))
        and is_wanted(webhook, app.webhook_style)
    ]
    if not bare:
        return list(webhooks)
    fixed = await fix_bodies(bare, dependencies.webhooks, dependencies.renderer)
    by_key = {webhook.key: webhook for webhook in fixed}
    return [by_key.get(webhook.key, webhook) for webhook in webhooks]


async def _apps_of(webhooks: Sequence[DueWebhook], credentials: CredentialCache) -> Mapping[str, App]:
    """Each app once, without those that cannot be read: their deliveries meet the error again."""
    appcodes = {webhook.appcode for webhook in webhooks}
    contexts = await asyncio.gather(*map(credentials.app, appcodes), return_exceptions=True)
    found = zip(appcodes, contexts, strict=True)
    return {appcode: context.app for appcode, context in found if isinstance(context, AppContext)}


async def deliver(webhook: DueWebhook, dependencies: DeliveryContext) -> Delivery:
    """Make one attempt for a prepared webhook; the caller writes the result.

    Raises StoreUnavailable, and LookupError if the webhook has no body.
    """
    context = await dependencies.credentials.app(webhook.appcode)
    if context is None:
        return _ended(webhook, WebhookState.EXHAUSTED, "no such app", dependencies)
    app = context.app
    if webhook.body is None:
        if is_wanted(webhook, app.webhook_style):
            raise LookupError(f"webhook of {webhook.cause} has no body")
        result = "the old style has no refund webhooks"
        return _ended(webhook, WebhookState.NOT_WANTED, result, dependencies)
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
        WEBHOOKS_EXHAUSTED.count()
        log.error("webhook.exhausted", mchid=webhook.mchid, cause=webhook.cause, result=result)
    return Delivery(webhook, state, Attempt(dependencies.clock.now(), 0, None, result))


def _delivery(webhook: DueWebhook, app: App, attempt: Attempt, now: datetime) -> Delivery:
    """Delivered, due again, or exhausted at the end of the retry schedule."""
    if attempt.result == ACKNOWLEDGED:
        return Delivery(webhook, WebhookState.DELIVERED, attempt, delivered_at=now)
    gaps = RETRY_GAPS if app.quick_retries else RETRY_GAPS[QUICK_RETRIES:]
    failed_before = webhook.attempts - webhook.attempts_before
    if failed_before >= len(gaps):
        WEBHOOKS_EXHAUSTED.count()
        log.error("webhook.exhausted", mchid=webhook.mchid, cause=webhook.cause, result=attempt.result)
        return Delivery(webhook, WebhookState.EXHAUSTED, attempt)
    return Delivery(webhook, WebhookState.DUE, attempt, deliver_at=now + gaps[failed_before])


async def fix_bodies(webhooks: Sequence[DueWebhook], store: Webhooks, renderer: Renderer) -> list[DueWebhook]:
    """Those of `webhooks` that can be rendered, with the bytes to send, which are stored before they are sent.

    A body stored earlier is not replaced. Each of `webhooks` has a style.
    """
    bodies = await renderer.bodies(webhooks)
    rendered = [(webhook, body) for webhook, body in zip(webhooks, bodies, strict=True) if body is not None]
    return await store.fix_bodies([webhook for webhook, _ in rendered], [body for _, body in rendered])


async def _attempt(webhook: DueWebhook, app: App, dependencies: DeliveryContext) -> Attempt:
    started_at, began_s = dependencies.clock.now(), time.monotonic()
    response = await _send(webhook, app, dependencies)
    took_s = time.monotonic() - began_s
    WEBHOOK_ATTEMPTS.observe(took_s, _result_of(response))
    took_ms = round(took_s * 1000)
    match response:
        case Answer(status, _, body) if is_acknowledged(status, body):
            return Attempt(started_at, took_ms, status, ACKNOWLEDGED, body)
        case Answer(status, _, body):
            return Attempt(started_at, took_ms, status, f"HTTP {status}", body)
        case NothingSent(reason) | NoAnswer(reason):
            return Attempt(started_at, took_ms, None, reason)


def _result_of(response: Result) -> str:
    match response:
        case Answer(status, _, body):
            return ACKNOWLEDGED if is_acknowledged(status, body) else "not_acknowledged"
        case NoAnswer():
            return "no_answer"
        case NothingSent():
            return "not_sent"


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
