"""Copies webhooks to a developer's program as they happen, in addition to their normal delivery.

Nothing is claimed and no attempt is logged, so the real delivery is unaffected.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tael.base.clock import Clock
from tael.base.transport import Result, Transport
from tael.merchants.store.merchants import Merchants
from tael.webhooks.delivery import (
    DELIVERY_TIMEOUT_S,
    MAX_READ_BYTES,
    Renderer,
    fix_bodies,
    headers_of,
    is_wanted,
)
from tael.webhooks.store.queue import DueWebhook
from tael.webhooks.store.webhooks import Webhooks

#: How many of the newest webhooks each poll reads; a resend of an older one is not seen.
MAX_FOLLOWED: Final = 500

Key = tuple[str, str, str]


@dataclass(slots=True)
class Follower:
    """Webhooks of one app, or of all, from the first poll on. Compares states, not times: no late commit is missed."""

    webhooks: Webhooks
    merchants: Merchants
    renderer: Renderer
    clock: Clock
    appcode: str | None
    #: `attempts_before` of each webhook that was forwarded.
    _seen: dict[Key, int] | None = field(default=None)

    async def poll(self) -> list[DueWebhook]:
        """Webhooks that are new since the last poll or were resent, oldest first. The first poll returns none.

        The webhooks of one payment keep their order. Raises StoreUnavailable.
        """
        webhooks = await self.webhooks.to_send(self.appcode, MAX_FOLLOWED)
        current = {_key(webhook): webhook.attempts_before for webhook in webhooks}
        if self._seen is None:
            self._seen = current
            return []
        unseen = [w for w in webhooks if self._seen.get(_key(w)) != w.attempts_before]
        ready = await self._ready(unseen)
        for webhook in ready:
            self._seen[_key(webhook)] = webhook.attempts_before
        self._seen = {key: self._seen[key] for key in current if key in self._seen}
        return ready

    async def _ready(self, webhooks: Sequence[DueWebhook]) -> list[DueWebhook]:
        """Those that have a body or will never have one.

        The others get a body now and are returned by the next poll: the worker may have fixed another body meanwhile,
        and sends that one.
        """
        ready: list[DueWebhook] = []
        waiting: set[tuple[str, str]] = set()
        for webhook in webhooks:
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
        await fix_bodies([replace(webhook, style=app.webhook_style)], self.webhooks, self.renderer)
        return True


async def forward(webhook: DueWebhook, url: str, follower: Follower, transport: Transport) -> Result | None:
    """Send the bytes and signature that the app gets to `url`. None for a webhook that is sent to no receiver."""
    app = await follower.merchants.app(webhook.appcode)
    if app is None or webhook.body is None or webhook.style is None:
        return None
    return await transport.call(
        "POST",
        url,
        body=webhook.body,
        headers=headers_of(webhook.body, webhook.style, app, follower.renderer, follower.clock.now()),
        timeout_s=DELIVERY_TIMEOUT_S,
        cut_at=MAX_READ_BYTES,
    )


def _key(webhook: DueWebhook) -> Key:
    return (webhook.mchid, webhook.cause, webhook.kind.value)
