"""Delivers due webhooks. What became of attempts is written in batches."""

from collections.abc import Sequence
from functools import partial

from tael.jobs.runner import Job
from tael.service.gateway import Gateway
from tael.service.webhooks import deliver
from tael.store.batch import Batch
from tael.store.webhooks import Delivery, DueWebhook


def webhook_job(gateway: Gateway) -> Job[DueWebhook]:
    """The one job that talks to merchants."""

    async def report(deliveries: Sequence[Delivery]) -> list[None]:
        await gateway.store.webhooks.report(deliveries)
        return [None] * len(deliveries)

    reporting: Batch[Delivery, None] = Batch(report)
    return Job(
        "webhooks", gateway.store.webhooks.claim_due, partial(_deliver, gateway=gateway, report=reporting)
    )


async def _deliver(webhook: DueWebhook, gateway: Gateway, report: Batch[Delivery, None]) -> None:
    await report(await deliver(webhook, gateway))
