"""Delivers due webhooks: claims many, fixes their bodies together, sends each, and writes the results in batches.

A claim that follows another one goes on where that one ended, which costs the same however many webhooks were delivered
since the last vacuum: their entries stay in the index until then.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from tael.db.batch import Batch
from tael.jobs.app_slots import INITIAL_SLOTS, TOTAL_AHEAD, AppSlots, AppSlotTable
from tael.jobs.runner import Job
from tael.webhooks.delivery import DeliveryContext, deliver, prepare
from tael.webhooks.store.queue import AppLimits, AppPart, Delivery, DueWebhook, WebhookQueue

#: For all apps together: only so many hanging receivers could delay others.
TOTAL_SLOTS: Final = 500
#: A claim that follows another one waits until then, so that it takes many.
CLAIM_EVERY_S: Final = 0.02
#: While claims continue where the last ones ended, one from the beginning is made this often: for apps without a claim
#: so far, and for webhooks that became due late.
FULL_CLAIM_EVERY_S: Final = 0.25
#: The pause between two such claims is at least this many times as long as the last one took.
PAUSE_PER_FULL_CLAIM: Final = 10
#: Commits become visible in another order than that of their instants, which hosts with different clocks set.
OVERLAP: Final = timedelta(seconds=1)


def app_slots_of_process() -> AppSlotTable:
    """The slots of a process, which its cells share: an app may have merchants in several."""
    return AppSlotTable(time.monotonic)


def webhook_job(context: DeliveryContext, apps: AppSlotTable | None = None) -> Job[DueWebhook]:
    """The job that delivers webhooks to merchants, of one cell."""
    deliveries = Deliveries(context, apps or app_slots_of_process())
    renew = context.webhooks.due.renew
    slots = TOTAL_SLOTS + TOTAL_AHEAD
    return Job("webhooks", deliveries.claim, deliveries.deliver, renew, slots, "webhooks")


class Deliveries:
    """The deliveries of one process in one cell."""

    def __init__(self, context: DeliveryContext, apps: AppSlotTable) -> None:
        self._context = context
        self._claims = _Claims(context.webhooks.due, apps)
        self._reporting: Batch[Delivery, None] = Batch("report_webhooks", self._report)

    async def claim(
        self, now: datetime, real_now: datetime, lease_until: datetime, limit: int
    ) -> list[DueWebhook]:
        """Claim due webhooks, app by app, up to the room of each, and fix their bodies."""
        claimed = await self._claims.claim(now, real_now, lease_until, limit)
        webhooks = await prepare(claimed, self._context)
        for webhook in webhooks:
            self._claims.apps.of(webhook.appcode).unsent += 1
        return webhooks

    async def deliver(self, webhook: DueWebhook) -> None:
        """Make one attempt and record it. Without a slot in time there is none, and the lease ends."""
        delivery = await self._delivery(webhook, self._claims.apps.of(webhook.appcode))
        if delivery is not None:
            await self._reporting(delivery)

    async def _delivery(self, webhook: DueWebhook, app: AppSlots) -> Delivery | None:
        try:
            return await self._sent(webhook, app) if await app.take() else None
        finally:
            app.unsent -= 1

    async def _sent(self, webhook: DueWebhook, app: AppSlots) -> Delivery:
        try:
            delivery = await deliver(webhook, self._context)
            app.learn(delivery.attempt.took_ms)
            return delivery
        finally:
            app.release()

    async def _report(self, deliveries: Sequence[Delivery]) -> list[None]:
        await self._context.webhooks.report(deliveries)
        return [None] * len(deliveries)


class _Claims:
    """Claims of one process. While there is much to deliver, they continue where the last ones ended."""

    def __init__(self, queue: WebhookQueue, apps: AppSlotTable) -> None:
        self._queue = queue
        self.apps = apps
        self._since: dict[str, datetime] = {}
        self._next_claim_s = 0.0
        self._next_full_claim_s = 0.0

    async def claim(
        self, now: datetime, real_now: datetime, lease_until: datetime, limit: int
    ) -> list[DueWebhook]:
        await asyncio.sleep(self._next_claim_s - time.monotonic())
        began_s = time.monotonic()
        lease = now, real_now, lease_until, limit
        webhooks = await self._claim_parts(*lease) or await self._claim_all(*lease)
        if webhooks:
            self._next_claim_s = began_s + CLAIM_EVERY_S
        return webhooks

    async def _claim_parts(
        self, now: datetime, real_now: datetime, lease_until: datetime, limit: int
    ) -> list[DueWebhook]:
        if time.monotonic() >= self._next_full_claim_s:
            return []
        room = self.apps.room()
        parts = [
            AppPart(appcode, room[appcode], since) for appcode, since in self._since.items() if room[appcode]
        ]
        if not parts:
            return []
        webhooks = await self._queue.claim_parts(now, real_now, lease_until, limit, parts)
        self._since |= _ends_of(webhooks)
        return webhooks

    async def _claim_all(
        self, now: datetime, real_now: datetime, lease_until: datetime, limit: int
    ) -> list[DueWebhook]:
        began_s = time.monotonic()
        limits = AppLimits(INITIAL_SLOTS, self.apps.room())
        webhooks = await self._queue.claim(now, real_now, lease_until, limit, limits)
        self._since = dict(_ends_of(webhooks))
        took_s = time.monotonic() - began_s
        self._next_full_claim_s = began_s + max(FULL_CLAIM_EVERY_S, PAUSE_PER_FULL_CLAIM * took_s)
        return webhooks


def _ends_of(webhooks: Sequence[DueWebhook]) -> Mapping[str, datetime]:
    """For each app, where its next claim continues. Later ones of an app replace earlier ones."""
    ordered = sorted((webhook.deliver_at, webhook.appcode) for webhook in webhooks if webhook.deliver_at)
    return {appcode: deliver_at - OVERLAP for deliver_at, appcode in ordered}
