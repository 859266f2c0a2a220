"""An incident: an event that needs manual review. Pure.

Repeats of an event are one incident, because its id is a digest of its content. Money that belongs to no payment is an
unmatched payment of its own, to which its incidents refer.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

INCIDENT_ID_DIGITS: Final = 16


class IncidentKind(StrEnum):
    """What happened."""

    PAID_AFTER_FAILED = "paid_after_failed"  #: money for an attempt that had failed
    PAID_TWICE = "paid_twice"  #: a second trade at the wallet for one order
    WRONG_AMOUNT = "wrong_amount"  #: an amount other than the price
    WRONG_CURRENCY = "wrong_currency"
    LATE_MONEY = "late_money"  #: paid after it was closed or expired; it is PAID now
    UNKNOWN_ORDER = "unknown_order"  #: a verified notice of an order that does not exist here
    ORDER_OF_ANOTHER_ACCOUNT = "order_of_another_account"  #: ours, but created with another account
    CLOSED_THOUGH_PAID = "closed_though_paid"  #: the wallet closed an order that it had reported as paid
    REFUND_STUCK = "refund_stuck"  #: a refund that could not reach the payer
    REFUND_AMOUNT = "refund_amount"  #: the wallet refunded an amount other than the one requested
    REFUNDED_AFTER_REFUSED = "refunded_after_refused"
    OUR_IDENTITY_REFUSED = "our_identity_refused"  #: the wallet refuses our signature, certificate or number
    #: The wallet's responses fail verification: check the public key or secret configured for the account.
    ANSWERS_UNVERIFIED = "answers_unverified"
    STATEMENT_MISSING = "statement_missing"  #: a wallet's statement could not be fetched for two days
    RECONCILIATION_DIFFERENCE = "reconciliation_difference"  #: a statement and our records disagree
    CERTIFICATE_EXPIRES = (
        "certificate_expires"  #: a certificate of the account ends within 30 days, or has ended
    )


@dataclass(frozen=True, slots=True)
class Incident:
    """One event. Instants are UTC; `incident_id` is a digest of its content."""

    mchid: str
    subject_id: str  #: the syssn of a payment, refund or reversal, a wallet's order number, or the account
    kind: IncidentKind
    incident_id: str
    account_id: str
    detail: str  #: one sentence
    at: datetime
    unmatched_id: str = ""  #: of the unmatched payment that it is about
    resolved_at: datetime | None = None
    resolution: str = ""  #: the operator's note


# ---- detection ---------------------------------------------------------------------------------------------------


def incident_id_of(mchid: str, cause: str, kind: IncidentKind, dedup_key: str) -> str:
    content = "\0".join((mchid, cause, kind, dedup_key))
    return hashlib.sha256(content.encode()).hexdigest()[:INCIDENT_ID_DIGITS]
