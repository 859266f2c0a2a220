"""Entries of the ledger: one movement between two ledger accounts each, so every entry is balanced by construction.

An account is named `kind:currency:owner`. Entries are written in the commit that makes them true and never changed.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tael.base.money import Money


class EntryKind(StrEnum):
    """Why money moved. One cause (a syssn) has at most one entry of a kind."""

    PAYMENT = "payment"
    REFUND = "refund"
    REVERSAL = "reversal"
    UNMATCHED_RECEIVED = "unmatched_received"  #: money that belongs to nobody's order came; see `incident.py`
    UNMATCHED_RETURNED = "unmatched_returned"  #: and went back
    FEE = "fee"  #: what we keep of a payment
    FEE_BACK = "fee_back"  #: what of the fee a refund or reversal returns


@dataclass(frozen=True, slots=True)
class Entry:
    """`amount` leaves `credit` and arrives at `debit`: what a wallet owes us is a debit balance."""

    mchid: str
    cause: str  #: the syssn of the payment, refund or reversal
    kind: EntryKind
    debit: str
    credit: str
    amount: Money
    at: datetime  #: UTC
