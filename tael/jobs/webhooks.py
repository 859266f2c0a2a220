"""Delivers due webhooks, and writes the results in batches.

Each app has its own slots in a worker, more while its receiver is fast and one while it is slow, so that a hanging
receiver delays its own webhooks only.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tael.db.batch import Batch
from tael.jobs.runner import Job
from tael.webhooks.delivery import DeliveryContext, deliver
from tael.webhooks.store.queue import AppLimits, Delivery, DueWebhook

#: For all apps together: only so many hanging receivers could delay others.
TOTAL_SLOTS: Final = 500
#: Per app: initially, while slow, and at most. Each fast response adds one.
INITIAL_SLOTS: Final = 4
SLOW_SLOTS: Final = 1
MAX_SLOTS: Final = 50
SLOW_MS: Final = 1000
#: Beyond this number of apps, only slow ones are remembered.
MAX_REMEMBERED: Final = 1000


def webhook_job(context: DeliveryContext) -> Job[DueWebhook]:
    """The job that delivers webhooks to merchants."""
    deliveries = Deliveries(context)
    renew = context.webhooks.due.renew
    return Job("webhooks", deliveries.claim, deliveries.deliver, renew, TOTAL_SLOTS, "webhooks")


class Deliveries:
    """The deliveries of one process, and the slots of each app."""

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context
        self._in_progress: Counter[str] = Counter()
        self._slots: dict[str, int] = {}
        self._reporting: Batch[Delivery, None] = Batch(self._report)

    async def claim(
        self, now: datetime, real_now: datetime, lease_until: datetime, limit: int
    ) -> list[DueWebhook]:
        """Claim due webhooks, app by app, up to the free slots of each."""
        apps = {*self._slots, *self._in_progress}
        limits = AppLimits(INITIAL_SLOTS, {app: self.free_slots(app) for app in apps})
        webhooks = await self._context.webhooks.due.claim(now, real_now, lease_until, limit, limits)
        self._in_progress.update(webhook.appcode for webhook in webhooks)
        return webhooks

    async def deliver(self, webhook: DueWebhook) -> None:
        """Make one attempt and record it."""
        try:
            delivery = await deliver(webhook, self._context)
            self.learn(webhook.appcode, delivery.attempt.took_ms)
            await self._reporting(delivery)
        finally:
            self._in_progress[webhook.appcode] -= 1
            if not self._in_progress[webhook.appcode]:
                del self._in_progress[webhook.appcode]

    def free_slots(self, appcode: str) -> int:
        """How many more webhooks of this app may start now."""
        return max(0, self._slots.get(appcode, INITIAL_SLOTS) - self._in_progress[appcode])

    def learn(self, appcode: str, took_ms: int) -> None:
        """A fast response of any kind adds a slot; a slow one, or none, leaves one slot."""
        if took_ms >= SLOW_MS:
            self._slots[appcode] = SLOW_SLOTS
        else:
            self._slots[appcode] = min(MAX_SLOTS, self._slots.get(appcode, INITIAL_SLOTS) + 1)
        if len(self._slots) > MAX_REMEMBERED:
            self._slots = {app: slots for app, slots in self._slots.items() if slots < INITIAL_SLOTS}

    async def _report(self, deliveries: Sequence[Delivery]) -> list[None]:
        await self._context.webhooks.report(deliveries)
        return [None] * len(deliveries)
