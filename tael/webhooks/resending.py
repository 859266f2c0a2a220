"""What an operator does with webhooks that were sent before: redeliver the same bytes, and restart the schedule."""

from tael.audit_log.domain.entry import Origin
from tael.webhooks.domain.webhook import WebhookKind
from tael.webhooks.store.webhooks import NotificationStatus, Webhooks


class NoSuchWebhook(LookupError):
    """The message names the payment or refund."""

    def __init__(self, syssn: str) -> None:
        super().__init__(f"no webhook for {syssn}")


async def resend_webhooks(
    webhooks: Webhooks, syssn: str, kind: WebhookKind | None, origin: Origin
) -> list[NotificationStatus]:
    """Resend the webhooks of a payment or refund, in any state, of one kind or of all.

    Raises NoSuchWebhook, WebhookPurged.
    """
    resent = await webhooks.resend(syssn, kind, origin)
    if not resent:
        raise NoSuchWebhook(syssn)
    return resent


async def resend_exhausted(
    webhooks: Webhooks, appcode: str | None, origin: Origin
) -> list[NotificationStatus]:
    """Resend the webhooks of one app, or of all, whose schedule is over. The list may be empty."""
    return await webhooks.resend_exhausted(appcode, origin)
