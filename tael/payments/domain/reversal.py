"""A reversal of a barcode payment in any state: closes an unpaid order or refunds a paid one, never both. Pure.

If the wallet refuses because it is too late to reverse a paid order, the reversal continues as a refund and never
changes back. Its effect on the payment is decided here too, so that both rows change in one commit.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

from tael.base.errors import AlreadyRefunded, NotAllowed, TaelError
from tael.base.reasons import Reason
from tael.channels.outcomes import (
    Again,
    NotSent,
    Outcome,
    Refunded,
    RefundOutcome,
    Refusal,
    Refused,
    ReversalAction,
    ReversalOutcome,
    Reversed,
    Unknown,
)
from tael.payments.domain.payment import (
    Payment,
    State,
    advance,
    fail_reversed,
    numbers_of,
)
from tael.payments.domain.refusals import reason_of

MAX_GAP: Final = timedelta(minutes=10)
#: An order that is still missing at the wallet after this time was never created there.
MAX_CREATION_DELAY: Final = timedelta(seconds=60)


class ReversalState(StrEnum):
    """The state of a reversal. A failed one may be tried again under a new number."""

    PENDING = "PENDING"
    DONE = "DONE"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Reversal:
    """A reversal. `amount_minor` is its reservation on the payment: 0 if the payment was not paid."""

    mchid: str
    syssn: str
    payment_syssn: str
    account_id: str  #: the payment's
    protocol: str  #: the payment's
    amount_minor: int
    client_time: str
    #: Why the payment fails once it is reversed, for a reversal of our own; None if the merchant requested it.
    fails_with: Reason | None
    created_at: datetime
    changed_at: datetime
    check_at: datetime | None  #: when a job calls the wallet next
    state: ReversalState = ReversalState.PENDING
    reason: Reason | None = None  #: why it failed; None in every other state
    wallet_code: str = ""
    action: ReversalAction | None = None  #: what it did; BY_REFUND also while the refund is in progress
    checks: int = 0
    version: int = 1

    @property
    def goes_by_refund(self) -> bool:
        return self.action is ReversalAction.BY_REFUND


def refusal_to_reverse(payment: Payment) -> TaelError | None:
    """Why `payment` cannot be reversed, or None."""
    if payment.pay_type.is_online:
        return NotAllowed(
            "an online payment cannot be reversed: call close, or refund if it is paid", **numbers_of(payment)
        )
    if payment.state is State.PAID and payment.refundable_minor < payment.amount.amount_minor:
        if payment.refunded_minor >= payment.amount.amount_minor:
            return AlreadyRefunded("the payment is refunded in full", **numbers_of(payment))
        return NotAllowed(
            "a payment that is partly refunded cannot be reversed; refund the rest", **numbers_of(payment)
        )
    return None


def apply_reversal_outcome(
    reversal: Reversal, payment: Payment, outcome: ReversalOutcome, *, at: datetime, is_first: bool = False
) -> tuple[Reversal, Payment]:
    """Both rows after this outcome."""
    if reversal.state is not ReversalState.PENDING:
        return reversal, payment
    match outcome:
        case Reversed(action, wallet_ref):
            done = replace(
                reversal,
                state=ReversalState.DONE,
                action=action,
                changed_at=at,
                check_at=None,
            )
            return done, _undone(payment, reversal, action, wallet_ref, at)
        case Refused() if reversal.goes_by_refund:  # from a concurrent reverse request; the refund decides
            return reversal, payment
        case Refused(Refusal.WINDOW_OVER) if payment.state is State.PAID and not reversal.fails_with:
            return _by_refund(reversal, payment, at)
        case Refused() if (
            reversal.fails_with
        ):  # no merchant waits for this response: try again, less and less often
            return reversal, payment
        case Refused(refusal, wallet_code):
            return _refused(reversal, payment, _reason_of(refusal), wallet_code, at)
        case NotSent():
            if is_first:
                return _refused(reversal, payment, Reason.WALLET_UNREACHABLE, "", at)
            return reversal, payment
        case Again() | Unknown():
            return reversal, payment
        case _:
            assert_never(outcome)


def apply_reversal_refund_outcome(
    reversal: Reversal, payment: Payment, outcome: RefundOutcome, *, at: datetime
) -> tuple[Reversal, Payment]:
    """Both rows after this outcome of the refund that the reversal has become."""
    if reversal.state is not ReversalState.PENDING or not reversal.goes_by_refund:
        return reversal, payment
    match outcome:
        case Refunded(amount, wallet_ref, _) if amount in (None, payment.amount):
            done = replace(reversal, state=ReversalState.DONE, changed_at=at, check_at=None)
            return done, _undone(payment, reversal, ReversalAction.BY_REFUND, wallet_ref, at)
        case Refused(refusal, wallet_code):
            return _refused(reversal, payment, reason_of(refusal), wallet_code, at)
        case _:
            return reversal, payment


def final_outcome(
    response: ReversalOutcome, payment: Payment, queried: Outcome | None, *, requested_at: datetime
) -> ReversalOutcome:
    """`response`, unless it cannot be final: an order missing at the wallet may still arrive, and would then be paid.

    `queried` is the outcome of the query just before; None if the wallet was not queried. `requested_at` is when the
    reverse request was sent: however late the response arrives, it describes that instant.
    """
    may_arrive = requested_at - payment.created_at <= MAX_CREATION_DELAY
    match response:
        case Unknown(no_such_order=True) if payment.state is State.FAILED or not may_arrive:
            return Reversed(ReversalAction.CLOSED)
        # Alipay reports success for an order that does not exist there, and does not remember the cancellation.
        case Reversed(ReversalAction.CLOSED) if (
            payment.state is State.PENDING and may_arrive and isinstance(queried, Unknown | NotSent)
        ):
            return Unknown("reversed before the order was seen there", no_such_order=True)
        case _:
            return response


def reschedule_reversal(reversal: Reversal, now: datetime) -> Reversal:
    """The wallets require 5, 10, 20 s between repeats; gaps then double up to MAX_GAP."""
    gap = min(timedelta(seconds=5 * 2 ** min(reversal.checks, 12)), MAX_GAP)
    is_open = reversal.state is ReversalState.PENDING
    return replace(reversal, check_at=now + gap if is_open else None, checks=reversal.checks + 1)


def _reason_of(refusal: Refusal) -> Reason:
    """A reversal that is too late is not a refund that is too late: a refund may still be possible."""
    return Reason.TOO_LATE_TO_REVERSE if refusal is Refusal.WINDOW_OVER else reason_of(refusal)


def _by_refund(reversal: Reversal, payment: Payment, at: datetime) -> tuple[Reversal, Payment]:
    """Continue as a refund. If the payer paid after the reversal was committed, the amount is reserved now."""
    amount_minor = reversal.amount_minor + payment.refundable_minor
    if amount_minor != payment.amount.amount_minor:  # partly refunded already: it cannot be reversed
        return _refused(reversal, payment, Reason.PARTLY_REFUNDED, "", at)
    refunding = replace(
        reversal, action=ReversalAction.BY_REFUND, amount_minor=amount_minor, changed_at=at, checks=0
    )
    return refunding, payment.replace(reserved_minor=payment.reserved_minor + payment.refundable_minor)


def _undone(
    payment: Payment, reversal: Reversal, action: ReversalAction, wallet_ref: str, at: datetime
) -> Payment:
    """The payment after its reversal. FAILED keeps its reason; PAID stays PAID, refunded in full."""
    if payment.state is State.PENDING and reversal.fails_with:
        # Our own reversal: whatever the payer did at the last moment was reversed with it.
        return fail_reversed(payment, reversal.fails_with, at).replace(reversal_syssn="")
    if payment.state is State.PENDING and action is ReversalAction.REFUNDED:
        # Paid and reversed between two of our requests: both movements are booked.
        return advance(
            payment,
            State.PAID,
            at,
            wallet_ref=wallet_ref or payment.wallet_ref,
            paid_at=at,
            is_reversed=True,
            refunded_minor=payment.amount.amount_minor,
            check_at=None,
        )
    if payment.state is State.PENDING:
        return advance(payment, State.CLOSED, at, is_reversed=True, check_at=None)
    if payment.state is State.PAID:
        return payment.replace(
            is_reversed=True,
            reserved_minor=payment.reserved_minor - reversal.amount_minor,
            refunded_minor=payment.amount.amount_minor,
        )
    return payment.replace(is_reversed=True)


def _refused(
    reversal: Reversal, payment: Payment, reason: Reason, wallet_code: str, at: datetime
) -> tuple[Reversal, Payment]:
    failed = replace(
        reversal,
        state=ReversalState.FAILED,
        reason=reason,
        wallet_code=wallet_code,
        changed_at=at,
        check_at=None,
    )
    released = payment.replace(
        reserved_minor=payment.reserved_minor - reversal.amount_minor, reversal_syssn=""
    )
    return failed, released
