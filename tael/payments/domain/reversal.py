"""A reversal: undoing a barcode payment, whatever its state. Closes an unpaid order, refunds a paid one; never both.

A wallet that finds it too late to reverse a paid order wants a refund instead: the reversal then goes on as one, and
never turns back. Pure. What it does to the payment is decided here too, so that both rows change in one commit.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

from tael.base import respcd
from tael.base.errors import AlreadyRefunded, NotAllowed, TaelError
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
from tael.payments.domain.payment import Payment, State, advance, fail_after_undoing, numbers_of
from tael.payments.domain.refusals import code_of_refusal

MAX_GAP: Final = timedelta(minutes=10)
#: A wallet that still knows no such order after this time never will: nothing was created there.
CREATED_BY_THEN: Final = timedelta(seconds=60)


class ReversalState(StrEnum):
    """Where a reversal stands; a failed one may be tried again under a new number."""

    PENDING = "PENDING"
    DONE = "DONE"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Reversal:
    """Our row of a reversal. `amount_minor` is what it reserved on the payment: 0 for one that was not paid."""

    mchid: str
    syssn: str
    payment_syssn: str
    account_id: str  #: the payment's
    amount_minor: int
    client_time: str
    fails_with: str  #: the code that a payment fails with when it was never paid; "" where the merchant asked
    created_at: datetime
    changed_at: datetime
    check_at: datetime | None  #: when the wallet is asked (again)
    state: ReversalState = ReversalState.PENDING
    respcd: str = respcd.PENDING
    wallet_code: str = ""
    action: ReversalAction | None = None  #: what it did; BY_REFUND also while it is on that way
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
    """Both rows after this news."""
    if reversal.state is not ReversalState.PENDING:
        return reversal, payment
    match outcome:
        case Reversed(action, wallet_ref):
            done = replace(
                reversal,
                state=ReversalState.DONE,
                respcd=respcd.OK,
                action=action,
                changed_at=at,
                check_at=None,
            )
            return done, _undone(payment, reversal, action, wallet_ref, at)
        case Refused() if reversal.goes_by_refund:  # somebody asked at the same time; the refund decides
            return reversal, payment
        case Refused(Refusal.WINDOW_OVER) if payment.state is State.PAID and not reversal.fails_with:
            return _by_refund(reversal, payment, at)
        case Refused() if reversal.fails_with:  # nobody is told no: it is asked again, ever more rarely
            return reversal, payment
        case Refused(reason, wallet_code):
            return _refused(reversal, payment, _code_of(reason), wallet_code, at)
        case NotSent():
            if is_first:
                return _refused(reversal, payment, respcd.UNREACHABLE, "", at)
            return reversal, payment
        case Again() | Unknown():
            return reversal, payment
        case _:
            assert_never(outcome)


def apply_reversal_refund_outcome(
    reversal: Reversal, payment: Payment, outcome: RefundOutcome, *, at: datetime
) -> tuple[Reversal, Payment]:
    """Both rows after this news of the refund that the reversal has become."""
    if reversal.state is not ReversalState.PENDING or not reversal.goes_by_refund:
        return reversal, payment
    match outcome:
        case Refunded(amount, wallet_ref, _) if amount in (None, payment.amount):
            done = replace(reversal, state=ReversalState.DONE, respcd=respcd.OK, changed_at=at, check_at=None)
            return done, _undone(payment, reversal, ReversalAction.BY_REFUND, wallet_ref, at)
        case Refused(reason, wallet_code):
            return _refused(reversal, payment, code_of_refusal(reason), wallet_code, at)
        case _:
            return reversal, payment


def final_outcome(
    said: ReversalOutcome, payment: Payment, news: Outcome | None, *, asked_at: datetime
) -> ReversalOutcome:
    """What `said` comes to: an order that is not there yet may still arrive, and would then be paid after all.

    `news` is what the wallet answered when it was asked about the payment just before; None if it was not asked.
    `asked_at` is when it was asked to undo: however late its answer is heard, it speaks of then.
    """
    may_arrive = asked_at - payment.created_at <= CREATED_BY_THEN
    match said:
        case Unknown(no_such_order=True) if payment.state is State.FAILED or not may_arrive:
            return Reversed(ReversalAction.CLOSED)
        # Alipay cancels in good faith what it has never heard of, and forgets it.
        case Reversed(ReversalAction.CLOSED) if (
            payment.state is State.PENDING and may_arrive and isinstance(news, Unknown | NotSent)
        ):
            return Unknown("undone before the order was seen there", no_such_order=True)
        case _:
            return said


def reschedule_reversal(reversal: Reversal, now: datetime) -> Reversal:
    """The wallets ask for 5, 10, 20 s between repeats, and then ever more rarely."""
    gap = min(timedelta(seconds=5 * 2 ** min(reversal.checks, 12)), MAX_GAP)
    open_still = reversal.state is ReversalState.PENDING
    return replace(reversal, check_at=now + gap if open_still else None, checks=reversal.checks + 1)


def _code_of(reason: Refusal) -> str:
    """A reversal that comes too late is not a refund out of its window: the merchant should refund instead."""
    return respcd.NOT_ALLOWED if reason is Refusal.WINDOW_OVER else code_of_refusal(reason)


def _by_refund(reversal: Reversal, payment: Payment, at: datetime) -> tuple[Reversal, Payment]:
    """The same promise by the other way; what a payer paid after it was intended is reserved with the rest."""
    amount_minor = reversal.amount_minor + payment.refundable_minor
    if amount_minor != payment.amount.amount_minor:  # something went back already: no reversal is left
        return _refused(reversal, payment, respcd.NOT_ALLOWED, "", at)
    onward = replace(
        reversal, action=ReversalAction.BY_REFUND, amount_minor=amount_minor, changed_at=at, checks=0
    )
    return onward, replace(payment, reserved_minor=payment.reserved_minor + payment.refundable_minor)


def _undone(
    payment: Payment, reversal: Reversal, action: ReversalAction, wallet_ref: str, at: datetime
) -> Payment:
    """The payment after the wallet undid it. FAILED and EXPIRED keep their code; what was paid stays paid, refunded."""
    if payment.state is State.PENDING and reversal.fails_with:
        # Nobody waited for it any more; whatever the payer did at the last moment was undone with it.
        return replace(fail_after_undoing(payment, reversal.fails_with, at), reversal_syssn="")
    if payment.state is State.PENDING and action is ReversalAction.REFUNDED:
        # Paid and undone between two questions: both movements are booked.
        paid = replace(
            advance(payment, State.PAID, at), wallet_ref=wallet_ref or payment.wallet_ref, paid_at=at
        )
        return replace(paid, is_reversed=True, refunded_minor=payment.amount.amount_minor, check_at=None)
    if payment.state is State.PENDING:
        return replace(advance(payment, State.CLOSED, at), is_reversed=True, check_at=None)
    if payment.state is State.PAID:
        return replace(
            payment,
            is_reversed=True,
            reserved_minor=payment.reserved_minor - reversal.amount_minor,
            refunded_minor=payment.amount.amount_minor,
        )
    return replace(payment, is_reversed=True)


def _refused(
    reversal: Reversal, payment: Payment, code: str, wallet_code: str, at: datetime
) -> tuple[Reversal, Payment]:
    failed = replace(
        reversal,
        state=ReversalState.FAILED,
        respcd=code,
        wallet_code=wallet_code,
        changed_at=at,
        check_at=None,
    )
    freed = replace(payment, reserved_minor=payment.reserved_minor - reversal.amount_minor, reversal_syssn="")
    return failed, freed
