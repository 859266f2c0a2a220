"""A refund, in whole or in part. Its amount is reserved on the payment before the wallet is called. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

from tael.base.errors import (
    AlreadyRefunded,
    FullOnly,
    NotAllowed,
    OrderClosed,
    OrderExpired,
    OverRefund,
    TaelError,
    WindowOver,
)
from tael.base.money import Money
from tael.base.reasons import Reason
from tael.channels.outcomes import (
    NotSent,
    Refunded,
    RefundOutcome,
    RefundPending,
    RefundStuck,
    Refused,
    Unknown,
)
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refusals import reason_of

MAX_GAP: Final = timedelta(hours=1)


class RefundState(StrEnum):
    """PROCESSING reserves its amount on the payment, DONE has refunded it, FAILED has released it."""

    PROCESSING = "PROCESSING"
    DONE = "DONE"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund. Instants are UTC, amounts minor units."""

    mchid: str
    syssn: str
    payment_syssn: str
    account_id: str  #: the payment's
    protocol: str  #: the payment's
    reference: str  #: the merchant's number of this refund; one refund may use the payment's own
    amount: Money
    client_time: str
    device: str
    created_at: datetime
    changed_at: datetime
    check_at: datetime | None
    state: RefundState = RefundState.PROCESSING
    reason: Reason | None = None  #: why it failed; None in every other state
    wallet_code: str = ""
    wallet_ref: str = ""
    done_at: datetime | None = None
    checks: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True)
class RefundRules:
    """The wallet's rules for refunds of one order."""

    window: timedelta  #: after the payment
    supports_partial: bool = True
    max_refunds: int | None = None


def refusal_to_refund(
    payment: Payment, amount_minor: int, now: datetime, rules: RefundRules
) -> TaelError | None:
    """Why `amount_minor` of `payment` cannot be refunded now, or None. Reasons that help a merchant most come first."""
    if payment.state is State.CLOSED:
        return OrderClosed("the payment was closed before it was paid")
    if payment.state is State.EXPIRED:
        return OrderExpired("the payment expired before it was paid")
    if payment.state is not State.PAID:
        return NotAllowed("only a paid payment can be refunded")
    if payment.is_reversed or payment.refundable_minor <= 0:
        return AlreadyRefunded("nothing is left to refund")
    if payment.reversal_syssn:
        return NotAllowed("a reversal of this payment is in progress")
    if amount_minor > payment.refundable_minor:
        return OverRefund(
            f"only {payment.refundable_minor} of {payment.amount.amount_minor} is left to refund"
        )
    if amount_minor < payment.refundable_minor and not rules.supports_partial:
        return FullOnly(f"this payment can only be refunded in full: {payment.refundable_minor}")
    if rules.max_refunds is not None and payment.refund_count >= rules.max_refunds:
        return NotAllowed(f"the wallet takes at most {rules.max_refunds} refunds of one order")
    if payment.paid_at is not None and now > payment.paid_at + rules.window:
        return WindowOver("the wallet's refund window is over")
    return None


def apply_refund_outcome(
    before: Refund, outcome: RefundOutcome, *, at: datetime, is_first: bool = False
) -> Refund:
    """`before` after this outcome. Only an explicit refusal, or an unsent initial request, releases the reservation."""
    if before.state is not RefundState.PROCESSING:
        return before
    match outcome:
        case Refunded(amount, wallet_ref, refunded_at):
            if amount is not None and amount != before.amount:
                return before
            return replace(
                before,
                state=RefundState.DONE,
                wallet_ref=wallet_ref or before.wallet_ref,
                done_at=refunded_at or at,
                changed_at=at,
                check_at=None,
            )
        case RefundPending(wallet_ref):
            return replace(before, wallet_ref=wallet_ref or before.wallet_ref)
        case Refused(refusal, wallet_code):
            return _failed(before, reason_of(refusal), wallet_code, at)
        case NotSent():
            return _failed(before, Reason.WALLET_UNREACHABLE, "", at) if is_first else before
        case RefundStuck(wallet_code):
            return replace(before, wallet_code=wallet_code)
        case Unknown():
            return before
        case _:
            assert_never(outcome)


def reschedule_refund(refund: Refund, now: datetime) -> Refund:
    """`refund` with its next poll: after 1, 2, 4, 8 s and so on up to MAX_GAP; none once it is decided."""
    gap = min(timedelta(seconds=2 ** min(refund.checks, 20)), MAX_GAP)
    is_open = refund.state is RefundState.PROCESSING
    return replace(refund, check_at=now + gap if is_open else None, checks=refund.checks + 1)


def _failed(before: Refund, reason: Reason, wallet_code: str, at: datetime) -> Refund:
    return replace(
        before, state=RefundState.FAILED, reason=reason, wallet_code=wallet_code, changed_at=at, check_at=None
    )
