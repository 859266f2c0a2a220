"""The body of a webhook and its signature, in both styles. Pure.

Old style: the members of 2017, signed over their sorted text. New style: those of 2018 and later, signed over the
body's bytes. Every value is a string, so that no receiver rounds a long number.
"""

from datetime import timedelta
from enum import StrEnum
from typing import Final

#: Gaps after the first, second … failed delivery: four short ones, then longer and longer.
RETRY_GAPS: Final = tuple(
    timedelta(seconds=gap_s) for gap_s in (30, 30, 30, 30, 120, 600, 600, 3600, 7200, 21600, 54000)
)


class WebhookKind(StrEnum):
    """What happened. Old-style receivers would book a refund as a payment, so they get no refund webhooks."""

    PAYMENT = "payment"
    REFUND = "refund"


class WebhookState(StrEnum):
    """The delivery state of a webhook."""

    DUE = "DUE"  #: to be delivered, now or at its next attempt
    DELIVERED = "DELIVERED"  #: acknowledged
    EXHAUSTED = "EXHAUSTED"  #: the retry schedule is over; only an operator's resend tries again
    NOT_WANTED = "NOT_WANTED"  #: the app's style has no such webhook


def is_acknowledged(status: int, body: bytes) -> bool:
    """HTTP 200 and the body `success`, ignoring case and surrounding white space."""
    return status == 200 and body.strip().lower() == b"success"
