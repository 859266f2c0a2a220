"""A developer looks on: webhooks as they happen, sent to a program of theirs besides where they go anyway.

Nothing is claimed and no attempt is logged: the real delivery neither waits nor learns of it. Called by `tael listen`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tael.base.transport import Result, Transport
from tael.merchants.store.merchants import Merchants
from tael.webhooks.delivery import (
    DELIVERY_TIMEOUT_S,
    MAX_READ_BYTES,
    Renderer,
    fixed_body,
    headers_of,
    is_wanted,
)
from tael.webhooks.store.queue import DueWebhook
from tael.webhooks.store.webhooks import Webhooks

#: How many of the newest are looked at each time; a resend of an older one is not seen.
MAX_FOLLOWED: Final = 500

Key = tuple[str, str, str]


@dataclass(slots=True)
class Follower:
    """Webhooks of one app, or of all, from the first look on. By state and not by time, so no late commit is missed."""

    webhooks: Webhooks
    merchants: Merchants
    renderer: Renderer
    appcode: str | None
    _seen: dict[Key, int] | None = field(
        default=None
    )  #: how often each had been attempted when last sent again

    async def news(self) -> list[DueWebhook]:
        """Those that are new since the last look, or were told to be sent again; oldest first. At first none.

        Of one payment's none comes before those that happened earlier. Raises StoreUnavailable.
        """
        webhooks = await self.webhooks.to_send(self.appcode, MAX_FOLLOWED)
        now = {_key(webhook): webhook.attempts_before for webhook in webhooks}
        if self._seen is None:
            self._seen = now
            return []
        news = [w for w in webhooks if self._seen.get(_key(w)) != w.attempts_before]
        ready = await self._ready(news)
        for webhook in ready:
            self._seen[_key(webhook)] = webhook.attempts_before
        self._seen = {key: self._seen[key] for key in now if key in self._seen}
        return ready

    async def _ready(self, news: Sequence[DueWebhook]) -> list[DueWebhook]:
        """Those with a body, or that have none for ever. Others get one, and are read with it at the next look:
        what the worker kept meanwhile is what it sends."""
        ready: list[DueWebhook] = []
        waiting: set[tuple[str, str]] = set()
        for webhook in news:
            payment = (webhook.mchid, webhook.payment_syssn)
            if payment not in waiting and not await self._is_fixed_now(webhook):
                ready.append(webhook)
            else:
                waiting.add(payment)
        return ready

    async def _is_fixed_now(self, webhook: DueWebhook) -> bool:
        app = await self.merchants.app(webhook.appcode)
        if webhook.body is not None or app is None or not is_wanted(webhook, app.webhook_style):
            return False
        await fixed_body(webhook, app.webhook_style, self.webhooks, self.renderer)
        return True


async def forward(webhook: DueWebhook, url: str, follower: Follower, transport: Transport) -> Result | None:
    """What `url` answered to the very bytes and signature that the app gets. None for what no receiver gets."""
    app = await follower.merchants.app(webhook.appcode)
    if app is None or webhook.body is None or webhook.style is None:
        return None
    return await transport.call(
        "POST",
        url,
        body=webhook.body,
        headers=headers_of(webhook.body, webhook.style, app, follower.renderer),
        timeout_s=DELIVERY_TIMEOUT_S,
        cut_at=MAX_READ_BYTES,
    )


def _key(webhook: DueWebhook) -> Key:
    return (webhook.mchid, webhook.cause, webhook.kind.value)
