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
    """The wallet refunded the payer; we owe the merchant less."""
    return _return_entry(payment, refund.syssn, EntryKind.REFUND, refund.amount, at)


def reversal_entry(payment: Payment, reversal_syssn: str, at: datetime) -> Entry:
    """The wallet undid the whole payment."""
    return _return_entry(payment, reversal_syssn, EntryKind.REVERSAL, payment.amount, at)


def fee_minor(amount_minor: int, rate_ppm: int) -> int:
    """The fee on an amount, rounded half up. Never above the amount, and monotonic in it."""
    return (amount_minor * rate_ppm + MILLION // 2) // MILLION


def fee_back_minor(payment: Payment, refunded_before_minor: int, amount_minor: int) -> int:
    """The part of the fee that is returned when `amount_minor` is refunded after `refunded_before_minor`.

    The remaining fee is always the fee on the remaining amount, so the parts sum to the whole in any order.
    """
    kept_before_minor = payment.amount.amount_minor - refunded_before_minor
    return fee_minor(kept_before_minor, payment.fee_rate_ppm) - fee_minor(
        kept_before_minor - amount_minor, payment.fee_rate_ppm
    )


def fee_entries(payment: Payment, at: datetime) -> tuple[Entry, ...]:
    """The merchant owes us the fee; no entry if it rounds to zero."""
    fee = fee_minor(payment.amount.amount_minor, payment.fee_rate_ppm)
    return _fee_moves(payment, payment.syssn, EntryKind.FEE, fee, at)


def fee_back_entries(
    payment: Payment, cause: str, refunded_before_minor: int, amount_minor: int, at: datetime
) -> tuple[Entry, ...]:
    """The part of the fee that is returned to the merchant with the refund or reversal `cause`."""
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


def _return_entry(payment: Payment, cause: str, kind: EntryKind, amount: Money, at: datetime) -> Entry:
    return Entry(
        payment.mchid,
        cause,
        kind,
        debit=merchant_account(payment),
        credit=wallet_account(payment),
        amount=amount,
        at=at,
    )
