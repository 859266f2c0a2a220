"""An incident: news that a person has to look at. Pure.

The same news twice is one incident: its `digest` is made of what it says. What becomes of money in it that no payment
can own is decided in `unmatched.py`.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from tael.base.money import Money

DIGEST_DIGITS: Final = 16


class IncidentKind(StrEnum):
    """What happened, and what a person should think of first."""

    PAID_AFTER_FAILED = "paid_after_failed"  #: money for an attempt that had failed
    PAID_TWICE = "paid_twice"  #: a second trade of the wallet's for one order
    WRONG_AMOUNT = "wrong_amount"  #: another amount than the price
    WRONG_CURRENCY = "wrong_currency"
    LATE_MONEY = "late_money"  #: paid after it was closed or expired; it is PAID now
    UNKNOWN_ORDER = "unknown_order"  #: a proven notice of an order that nobody here made
    ORDER_OF_ANOTHER_ACCOUNT = "order_of_another_account"  #: ours, but made by another account
    CLOSED_THOUGH_PAID = "closed_though_paid"  #: the wallet closed what it had told us was paid
    REFUND_STUCK = "refund_stuck"  #: a refund that could not reach the payer
    REFUND_AMOUNT = "refund_amount"  #: another amount went back than was asked
    REFUNDED_AFTER_REFUSED = "refunded_after_refused"
    OUR_IDENTITY_REFUSED = "our_identity_refused"  #: the wallet refuses our signature, certificate or number
    ANSWERS_UNVERIFIED = (
        "answers_unverified"  #: the wallet's answers fail verification: is its key the right one?
    )


class UnmatchedState(StrEnum):
    """How far we are with money that belongs to nobody's order."""

    NONE = "NONE"  #: there is no such money in this incident
    SUSPECTED = "SUSPECTED"  #: told to us; the wallet's record is asked before anything moves
    KEPT = "KEPT"  #: proven and booked; a person decides, since sending back is switched off
    RETURNING = "RETURNING"  #: a refund of it is committed under `unmatched_syssn`
    RETURNED = "RETURNED"
    REFUSED = "REFUSED"  #: the wallet will not send it back; a person has to, if its record stays as it is
    VOIDED = "VOIDED"  #: the wallet's record took back its word: it is out of our books, and told anew
    REFUTED = "REFUTED"  #: the wallet's record knows no such money, or it is somebody's after all


@dataclass(frozen=True, slots=True)
class Incident:
    """One piece of news. Instants are UTC; `incident_id` is a digest of what it says."""

    mchid: str
    subject_id: str  #: the syssn of a payment, refund or reversal, a wallet's order number, or the account
    kind: IncidentKind
    incident_id: str
    account_id: str
    detail: str  #: one sentence
    at: datetime
    amount: Money | None = None  #: what came, where money came
    wallet_ref: str = ""
    payer_ref: str = ""
    unmatched_state: UnmatchedState = UnmatchedState.NONE
    unmatched_syssn: str = (
        ""  #: our number of this money: its ledger cause, and its refund's number at the wallet
    )
    asked_at: datetime | None = None  #: when it was decided to send it back
    wallet_code: str = ""
    return_ref: str = ""  #: the wallet's own number of the refund
    returned_at: datetime | None = None
    check_at: datetime | None = None  #: when a job goes on with it
    checks: int = 0
    resolved_at: datetime | None = None
    resolution: str = ""  #: what a person wrote
    version: int = 1


# ---- finding incidents in news -----------------------------------------------------------------------------------


def digest_of(mchid: str, cause: str, kind: IncidentKind, sameness: str) -> str:
    told = "\0".join((mchid, cause, kind, sameness))
    return hashlib.sha256(told.encode()).hexdigest()[:DIGEST_DIGITS]
