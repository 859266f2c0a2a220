"""The ledger entries of payments, refunds, reversals and their fees. Pure."""

from datetime import datetime
from typing import Final

from tael.base.money import Money
from tael.ledger.domain.entries import Entry, EntryKind
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import Refund

#: Rates are in parts per million: a basis point is a hundred of them.
MILLION: Final = 1_000_000


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


def fee_minor(amount_minor: int, rate_ppm: int) -> int:
    """The fee on an amount, rounded half up. Never more than the amount, and it never falls as amounts grow."""
    return (amount_minor * rate_ppm + MILLION // 2) // MILLION


def fee_back_minor(payment: Payment, refunded_before_minor: int, amount_minor: int) -> int:
    """What `amount_minor`, going back after `refunded_before_minor` did, returns of the fee.

    What is kept is always the fee on what the merchant keeps: parts sum to the whole, whatever their order.
    """
    kept_before_minor = payment.amount.amount_minor - refunded_before_minor
    return fee_minor(kept_before_minor, payment.fee_rate_ppm) - fee_minor(
        kept_before_minor - amount_minor, payment.fee_rate_ppm
    )


def fee_entries(payment: Payment, at: datetime) -> tuple[Entry, ...]:
    """The merchant owes us the fee; no entry where it rounds to nothing."""
    fee = fee_minor(payment.amount.amount_minor, payment.fee_rate_ppm)
    return _fee_moves(payment, payment.syssn, EntryKind.FEE, fee, at)


def fee_back_entries(
    payment: Payment, cause: str, refunded_before_minor: int, amount_minor: int, at: datetime
) -> tuple[Entry, ...]:
    """The part of the fee that goes back to the merchant with a refund or reversal `cause`."""
    fee = fee_back_minor(payment, refunded_before_minor, amount_minor)
    return _fee_moves(payment, cause, EntryKind.FEE_BACK, fee, at)


def wallet_account(payment: Payment) -> str:
    return f"wallet:{payment.amount.currency}:{payment.account_id}"


def merchant_account(payment: Payment) -> str:
    return f"merchant:{payment.amount.currency}:{payment.mchid}"


def fee_account(payment: Payment) -> str:
    return f"fee:{payment.amount.currency}:{payment.account_id}"


def _fee_moves(payment: Payment, cause: str, kind: EntryKind, fee: int, at: datetime) -> tuple[Entry, ...]:
    if fee == 0:
        return ()
    ends = (merchant_account(payment), fee_account(payment))
    debit, credit = ends if kind is EntryKind.FEE else reversed(ends)
    return (Entry(payment.mchid, cause, kind, debit, credit, Money(fee, payment.amount.currency), at),)


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
