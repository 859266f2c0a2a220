"""Delivers due webhooks. What became of attempts is written in batches.

Each app has places of its own in a worker, more while its receiver is quick and one while it is slow, so that a
receiver that hangs holds up its own webhooks and nobody else's.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tael.db.batch import Batch
from tael.jobs.runner import Job
from tael.webhooks.delivery import DeliveryContext, deliver
from tael.webhooks.store.queue import Delivery, DueWebhook, Rooms

#: All apps together. Only so many receivers that hang at the same time could delay others.
PLACES: Final = 500
#: Of an app that is not known yet, that is slow, and the most that quick answers may earn, one at a time.
FIRST_PLACES: Final = 4
SLOW_PLACES: Final = 1
MAX_PLACES: Final = 50
SLOW_MS: Final = 1000
#: Of how many apps more is known than that they were not slow.
MAX_REMEMBERED: Final = 1000


def webhook_job(context: DeliveryContext) -> Job[DueWebhook]:
    """The one job that talks to merchants."""
    deliveries = Deliveries(context)
    return Job("webhooks", deliveries.claim, deliveries.deliver, context.webhooks.renew, PLACES)


class Deliveries:
    """The deliveries of one process, and how many each app may have at a time."""

    def __init__(self, context: DeliveryContext) -> None:
        self._context = context
        self._under_way: Counter[str] = Counter()
        self._places: dict[str, int] = {}
        self._reporting: Batch[Delivery, None] = Batch(self._report)

    async def claim(
        self, now: datetime, real_now: datetime, lease_until: datetime, limit: int
    ) -> list[DueWebhook]:
        """What is due, app by app, as far as each has places left."""
        rooms = Rooms(FIRST_PLACES, {app: self.room(app) for app in {*self._places, *self._under_way}})
        webhooks = await self._context.webhooks.claim_due(now, real_now, lease_until, limit, rooms)
        self._under_way.update(webhook.appcode for webhook in webhooks)
        return webhooks

    async def deliver(self, webhook: DueWebhook) -> None:
        """One attempt, and its record."""
        try:
            delivery = await deliver(webhook, self._context)
            self.learn(webhook.appcode, delivery.attempt.took_ms)
            await self._reporting(delivery)
        finally:
            self._under_way[webhook.appcode] -= 1
            if not self._under_way[webhook.appcode]:
                del self._under_way[webhook.appcode]

    def room(self, appcode: str) -> int:
        """How many more of this app may begin now."""
        return max(0, self._places.get(appcode, FIRST_PLACES) - self._under_way[appcode])

    def learn(self, appcode: str, took_ms: int) -> None:
        """A quick answer earns a place, whatever it said; a slow one, or none, costs all but one."""
        if took_ms >= SLOW_MS:
            self._places[appcode] = SLOW_PLACES
        else:
            self._places[appcode] = min(MAX_PLACES, self._places.get(appcode, FIRST_PLACES) + 1)
        if len(self._places) > MAX_REMEMBERED:
            self._places = {app: few for app, few in self._places.items() if few < FIRST_PLACES}

    async def _report(self, deliveries: Sequence[Delivery]) -> list[None]:
        await self._context.webhooks.report(deliveries)
        return [None] * len(deliveries)
