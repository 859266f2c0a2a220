"""Ledger entries. Each moves an amount between two ledger accounts, so every entry is balanced by construction.

A ledger account is named `kind:currency:owner`. Entries are written in the same commit as the state change that they
record, and never changed.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tael.base.money import Money


class EntryKind(StrEnum):
    """Why money moved. One cause has at most one entry of a kind."""

    PAYMENT = "payment"
    REFUND = "refund"
    REVERSAL = "reversal"
    UNMATCHED_RECEIVED = "unmatched_received"  #: an unmatched payment was received; see `unmatched.py`
    UNMATCHED_RETURNED = "unmatched_returned"  #: and returned
    FEE = "fee"  #: our fee on a payment
    FEE_BACK = "fee_back"  #: the part of the fee that a refund or reversal returns
    REMITTED = "remitted"  #: the wallet paid out to the bank; see `statements/domain/entries.py`
    REMITTED_BACK = "remitted_back"  #: and the statement that says so was superseded, as with the next ones
    WALLET_FEE = "wallet_fee"  #: the wallet kept its fee from a remittance
    WALLET_FEE_BACK = "wallet_fee_back"
    CONVERTED_OUT = "converted_out"  #: the wallet converted from the currency of prices
    CONVERTED_OUT_BACK = "converted_out_back"
    CONVERTED_IN = "converted_in"  #: to the currency of settlement
    CONVERTED_IN_BACK = "converted_in_back"
    PAYOUT = "payout"  #: a batch is to be paid to the merchant
    RESERVE_HELD = "reserve_held"  #: a part of a batch is held
    RESERVE_RELEASED = "reserve_released"  #: and added to a later batch
    PAYOUT_PAID = "payout_paid"  #: the bank has paid it


@dataclass(frozen=True, slots=True)
class Entry:
    """Debits the ledger account `debit` and credits `credit`. What a wallet owes us is a debit balance."""

    mchid: str
    #: The syssn of a payment, refund, reversal or unmatched payment; the id of a remittance, conversion or payout.
    cause: str
    kind: EntryKind
    debit: str
    credit: str
    amount: Money
    at: datetime  #: UTC
