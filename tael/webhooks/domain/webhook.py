"""What a merchant is told when money moved: the body of a webhook and its signature, in both styles. Pure.

Old style: the members of 2017, signed over their sorted text. New style: those of 2018 and later, signed over the
body's bytes. Every value is a string, so that no receiver rounds a long number.
"""

from datetime import timedelta
from enum import StrEnum
from typing import Final

#: Seconds to wait after the first, second … failed delivery: four quick ones, then ever more rarely.
RETRY_GAPS: Final = tuple(
    timedelta(seconds=gap_s) for gap_s in (30, 30, 30, 30, 120, 600, 600, 3600, 7200, 21600, 54000)
)


class WebhookKind(StrEnum):
    """What happened. Old receivers would book a refund as a payment, so they are not told of refunds."""

    PAYMENT = "payment"
    REFUND = "refund"


class WebhookState(StrEnum):
    """How far the telling has come."""

    DUE = "DUE"  #: to be delivered, now or at its next turn
    DELIVERED = "DELIVERED"  #: acknowledged
    EXHAUSTED = "EXHAUSTED"  #: the schedule is over; only an operator's resend tries again
    NOT_WANTED = "NOT_WANTED"  #: the app's style has no such webhook


def is_acknowledged(status: int, body: bytes) -> bool:
    """HTTP 200 and the word success, in any case, with any white space around it."""
    return status == 200 and body.strip().lower() == b"success"
