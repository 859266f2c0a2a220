"""Entries of the ledger: one movement between two ledger accounts each, so every entry is balanced by construction.

An account is named `kind:currency:owner`. Entries are written in the commit that makes them true and never changed.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tael.domain.money import Money
from tael.domain.payment import Payment
from tael.domain.refund import Refund


class EntryKind(StrEnum):
    """Why money moved. One cause (a syssn) has at most one entry of a kind."""

    PAYMENT = "payment"
    REFUND = "refund"
    REVERSAL = "reversal"


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


def payment_entry(payment: Payment, at: datetime) -> Entry:
    """The wallet holds the payer's money for us; we owe it to the merchant."""
    return Entry(
        payment.mchid,
        payment.syssn,
        EntryKind.PAYMENT,
        debit=wallet_account(payment),
        credit=merchant_account(payment),
        amount=payment.amount,
        at=at,
    )


def refund_entry(payment: Payment, refund: Refund, at: datetime) -> Entry:
    """The wallet gave money back to the payer; the merchant is owed less."""
    return _way_back(payment, refund.syssn, EntryKind.REFUND, refund.amount, at)


def reversal_entry(payment: Payment, reversal_syssn: str, at: datetime) -> Entry:
    """The wallet undid the whole payment."""
    return _way_back(payment, reversal_syssn, EntryKind.REVERSAL, payment.amount, at)


def wallet_account(payment: Payment) -> str:
    return f"wallet:{payment.amount.currency}:{payment.account_id}"


def merchant_account(payment: Payment) -> str:
    return f"merchant:{payment.amount.currency}:{payment.mchid}"


def _way_back(payment: Payment, cause: str, kind: EntryKind, amount: Money, at: datetime) -> Entry:
    return Entry(
        payment.mchid,
        cause,
        kind,
        debit=merchant_account(payment),
        credit=wallet_account(payment),
        amount=amount,
        at=at,
    )
