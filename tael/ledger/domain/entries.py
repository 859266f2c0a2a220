"""Ledger entries. Each moves an amount between two ledger accounts, so every entry is balanced by construction.

A ledger account is named `kind:currency:owner`. Entries are written in the same commit as the state change that they
record, and never changed.
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
    UNMATCHED_RECEIVED = "unmatched_received"  #: an unmatched payment was received; see `unmatched.py`
    UNMATCHED_RETURNED = "unmatched_returned"  #: and returned
    FEE = "fee"  #: our fee on a payment
    FEE_BACK = "fee_back"  #: the part of the fee that a refund or reversal returns


@dataclass(frozen=True, slots=True)
class Entry:
    """Debits the ledger account `debit` and credits `credit`. What a wallet owes us is a debit balance."""

    mchid: str
    cause: str  #: the syssn of the payment, refund, reversal or unmatched payment
    kind: EntryKind
    debit: str
    credit: str
    amount: Money
    at: datetime  #: UTC
