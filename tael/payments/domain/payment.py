"""A payment: its states, the steps it may take, and what a wallet's word does to it. Pure.

Refunds and reversals are rows of their own; a payment that was paid stays paid. `apply_outcome` is the one place where
an outcome becomes a state, by whatever road the news came.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypedDict, assert_never

from tael.base import respcd
from tael.base.errors import InvalidTransition
from tael.base.money import Money
from tael.base.pay_types import PayType
from tael.channels.outcomes import (
    AwaitingPayer,
    BridgeParams,
    Closed,
    NotSent,
    Outcome,
    Paid,
    PayCode,
    PayLink,
    Refused,
    Unknown,
)
from tael.payments.domain.refusals import code_of_refusal


class State(StrEnum):
    """Where a payment stands. What a merchant's query shows for each is in `shown_respcd`."""

    PENDING = "PENDING"  #: nobody knows yet, or the payer has not acted
    PAID = "PAID"
    FAILED = "FAILED"  #: the wallet refused; `respcd` says why
    CLOSED = "CLOSED"  #: closed by the merchant, by close or by reversal
    EXPIRED = "EXPIRED"  #: its time was over before the payer acted


ALLOWED: Final = {
    State.PENDING: frozenset({State.PAID, State.FAILED, State.CLOSED, State.EXPIRED}),
    State.CLOSED: frozenset({State.PAID}),  # the payer beat our close; the wallet's word wins
    State.EXPIRED: frozenset({State.PAID}),
    State.FAILED: frozenset(),  # money after a refusal is an incident, never a state
    State.PAID: frozenset(),
}

#: The payer's confirmation page gives up sooner; a close of the wallet's within this time was the payer's own.
FIRST_CHECK: Final = timedelta(seconds=5)
MAX_GAP: Final = timedelta(minutes=10)
#: How long a wallet may take to know of an order that it was sent.
CREATED_BY_THEN: Final = timedelta(seconds=60)
#: CLOSED and EXPIRED online orders are asked about until this long after the wallet can no longer take money.
LATE_MONEY: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Payment:
    """One order. Instants are UTC; amounts are minor units of `amount.currency`."""

    mchid: str
    syssn: str
    appcode: str
    pay_type: PayType
    reference: str  #: the merchant's own number
    amount: Money
    account_id: str  #: the wallet account that takes the money
    content: str  #: digest of what a repeat must agree in; see `content_of` in `payments/opening.py`
    subject: str  #: what the payer is shown
    openid: str
    client_time: str  #: as the client wrote it, echoed
    device: str
    notify_merchant: bool  #: a webhook is written when it is paid
    created_at: datetime
    changed_at: datetime
    expires_at: datetime
    deadline: datetime  #: from then on the wallet can take no more money; never before `expires_at`
    check_at: datetime | None  #: when a job asks about it next; None when there is nothing left to ask
    state: State = State.PENDING
    respcd: str = respcd.PENDING  #: why it failed, in FAILED only
    wallet_code: str = ""  #: the wallet's word for its refusal, for support
    pay: PayLink | PayCode | BridgeParams | None = None
    has_initial_response: bool = False  #: the first question is over, whatever came of it
    wallet_ref: str = ""
    payer_ref: str = ""
    paid_at: datetime | None = None
    refunded_minor: int = 0
    reserved_minor: int = 0  #: asked to go back, not known yet whether it did
    refund_count: int = 0  #: refunds accepted by us that have not failed
    reversal_syssn: str = ""
    is_reversed: bool = False
    close_syssn: str = ""  #: a close was asked under this number
    forbid_credit: bool = False  #: the merchant wants no credit cards, where the wallet can keep them out
    is_subject_ours: bool = False  #: the merchant gave no name
    fee_rate_ppm: int = 0  #: the account's rate when it was opened, in parts per million of the price
    checks: int = 0
    checked_at: datetime | None = None
    version: int = 1
    redirected_at: datetime | None = None  #: when a payer was first sent to the wallet's page

    @property
    def goods_name(self) -> str:
        """The name that the merchant gave, or ""."""
        return "" if self.is_subject_ours else self.subject

    @property
    def refundable_minor(self) -> int:
        """What may still go back to the payer."""
        return self.amount.amount_minor - self.refunded_minor - self.reserved_minor

    @property
    def is_unopened(self) -> bool:
        """The wallet learns of the order from a payer whom we send by its link, and we have sent nobody."""
        return isinstance(self.pay, PayLink) and self.redirected_at is None

    @property
    def known_from(self) -> datetime:
        """From then on a wallet that knows no such order will never take money for it."""
        return max(self.deadline, self.expires_at + CREATED_BY_THEN)


def advance(payment: Payment, to: State, at: datetime) -> Payment:
    """`payment` in state `to` since `at`, or as it was if already there. Raises InvalidTransition."""
    if to is payment.state:
        return payment
    if to not in ALLOWED[payment.state]:
        raise InvalidTransition(f"{payment.syssn}: {payment.state} to {to}")
    return replace(payment, state=to, changed_at=at)


def apply_outcome(before: Payment, outcome: Outcome, *, at: datetime, is_first: bool = False) -> Payment:
    """`before` as it stands after this news. Total: news that changes nothing gives back the same state.

    `is_first`: the outcome answers the very first question, so NotSent proves that nothing happened anywhere.
    """
    match outcome:
        case Paid():
            return _paid(before, outcome, at)
        case AwaitingPayer(pay):
            return replace(before, pay=pay) if pay is not None and before.state is State.PENDING else before
        case Refused(reason, wallet_code):
            return _failed(before, code_of_refusal(reason), wallet_code, at)
        case Closed():
            return _closed(before, at)
        case NotSent():
            return _failed(before, respcd.UNREACHABLE, "", at) if is_first else before
        case Unknown():
            return before
        case _:
            assert_never(outcome)


def _paid(before: Payment, paid: Paid, at: datetime) -> Payment:
    other_money = paid.amount is not None and paid.amount != before.amount
    if other_money or before.state in (State.PAID, State.FAILED) or before.is_reversed:
        return before
    return replace(
        advance(before, State.PAID, at),
        wallet_ref=paid.wallet_ref,
        payer_ref=paid.payer_ref,
        paid_at=paid.paid_at,
        check_at=None,
    )


def _failed(before: Payment, code: str, wallet_code: str, at: datetime) -> Payment:
    if before.state is not State.PENDING:
        return before
    failed = advance(before, State.FAILED, at)
    return replace(failed, respcd=code, wallet_code=wallet_code, check_at=None)


def _closed(before: Payment, at: datetime) -> Payment:
    """The wallet takes no more money: by our close, by time, or because the payer of a barcode gave up."""
    if before.state is not State.PENDING or before.reversal_syssn:
        return before  # a reversal that is under way has closed it, or undone what was paid: its answer says which
    if before.close_syssn:
        return advance(before, State.CLOSED, at)
    if before.pay_type.is_online:
        return advance(before, State.EXPIRED, at)
    gave_up = respcd.PAYER_CANCELLED if at < before.expires_at else respcd.CODE_EXPIRED
    return _failed(before, gave_up, "", at)


def fail_after_undoing(before: Payment, code: str, at: datetime) -> Payment:
    """A barcode payment that was never decided (or failed halfway) and is now undone at the wallet."""
    return _failed(before, code, "", at)


def reschedule(payment: Payment, now: datetime) -> Payment:
    """`payment` with the time of its next question: often while young, ever more rarely, and never for ever."""
    return replace(
        payment,
        check_at=next_check(payment, now),
        checks=payment.checks + 1,
        checked_at=now,
        has_initial_response=True,
    )


def next_check(payment: Payment, now: datetime) -> datetime | None:
    """When to ask the wallet next: gaps grow with age, the expiry is met on time, decided orders are left alone."""
    gap = min(max((now - payment.created_at) / 4, FIRST_CHECK), MAX_GAP)
    if payment.state is State.PENDING:
        if now < payment.expires_at:
            return min(now + (gap if payment.pay_type.is_online else FIRST_CHECK), payment.expires_at)
        # Expired, and the wallet would not say so yet.
        return min(now + gap, payment.known_from) if now < payment.known_from else now + gap
    if payment.state in (State.CLOSED, State.EXPIRED) and payment.pay_type.is_online:
        last = payment.deadline + LATE_MONEY
        return min(now + gap, last) if now < last else None
    return None


class Numbers(TypedDict):
    """Both numbers of a payment, for a refusal to carry."""

    reference: str
    orig_syssn: str


def numbers_of(payment: Payment) -> Numbers:
    return {"reference": payment.reference, "orig_syssn": payment.syssn}


def takes_payers(payment: Payment, now: datetime) -> bool:
    """Whether a payer may be sent to the wallet's page: after a close was asked, its answer holds."""
    return payment.state is State.PENDING and not payment.close_syssn and now < payment.expires_at


def shown_respcd(payment: Payment) -> str:
    """The respcd of its row in a query."""
    match payment.state:
        case State.PENDING:
            return respcd.PENDING
        case State.PAID:
            return respcd.OK
        case State.FAILED:
            return payment.respcd
        case State.CLOSED:
            return respcd.CLOSED
        case State.EXPIRED:
            return respcd.EXPIRED
        case _:
            assert_never(payment.state)


def shown_cancel(payment: Payment) -> str:
    """The `cancel` of its row: 0 nothing, 1 reversed, 2 refunded in whole or part, or closed online."""
    if payment.is_reversed:
        return "1"
    if payment.refunded_minor or (payment.state is State.CLOSED and payment.pay_type.is_online):
        return "2"
    return "0"
