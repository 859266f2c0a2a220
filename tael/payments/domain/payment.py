"""A payment: its states, its transitions, and the effect of an outcome on it. Pure.

Refunds and reversals are rows of their own; a payment that was paid stays PAID. Only `apply_outcome` turns an outcome
into a state, whether it came as a response, a notice or a query.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypedDict, assert_never

from msgspec import Struct, structs

from tael.base.errors import InvalidTransition
from tael.base.money import Money
from tael.base.pay_types import PayType, Region
from tael.base.reasons import Reason
from tael.channels.outcomes import (
    AwaitingPayer,
    Closed,
    NotSent,
    Outcome,
    Paid,
    PayCode,
    PayLink,
    PayParams,
    Refused,
    Unknown,
)
from tael.payments.domain.refusals import reason_of


class State(StrEnum):
    """The state of a payment."""

    PENDING = "PENDING"  #: unknown, or the payer has not acted yet
    PAID = "PAID"
    FAILED = "FAILED"  #: the wallet refused; `reason` says why
    CLOSED = "CLOSED"  #: by the merchant, with close or reversal
    EXPIRED = "EXPIRED"  #: not paid in time


ALLOWED: Final = {
    State.PENDING: frozenset({State.PAID, State.FAILED, State.CLOSED, State.EXPIRED}),
    State.CLOSED: frozenset({State.PAID}),  # the payer paid before our close; the wallet's response wins
    State.EXPIRED: frozenset({State.PAID}),
    State.FAILED: frozenset(),  # money after a refusal is an incident, never a state
    State.PAID: frozenset(),
}

#: The first poll, and the shortest gap between two.
FIRST_CHECK: Final = timedelta(seconds=5)
#: The same for orders whose payment the wallet reports with a notice: polling is for notices that were lost.
NOTICE_WAIT: Final = timedelta(seconds=30)
MAX_GAP: Final = timedelta(minutes=10)
#: How long an order that was sent to a wallet may be missing there.
MAX_CREATION_DELAY: Final = timedelta(seconds=60)
#: CLOSED and EXPIRED online orders are polled for late money until this long after their deadline.
LATE_MONEY: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PayersSite:
    """From where a payer comes who pays in a phone's browser, as the wallet wants to know it."""

    ip: str
    scene_info: str  #: the wallet's JSON text


class Payment(Struct, frozen=True):
    """One order. Instants are UTC; amounts are minor units of `amount.currency`.

    A struct, since each step of a payment copies it: a dataclass is copied field by field in Python, a struct in C.
    """

    mchid: str
    syssn: str
    appcode: str
    pay_type: PayType
    reference: str  #: the merchant's own number
    amount: Money
    account_id: str  #: the wallet account that receives the money
    protocol: str  #: the account's: which channel serves the payment
    content: str  #: digest of the parameters that a repeat must not change; see `payments/opening.py`
    subject: str  #: shown to the payer
    openid: str
    client_time: str  #: as the client wrote it; echoed
    device: str
    notify_merchant: bool  #: send a webhook when it is paid
    created_at: datetime
    changed_at: datetime
    expires_at: datetime
    deadline: datetime  #: the wallet takes no money from then on; never before `expires_at`
    check_at: datetime | None  #: when a job polls it next; None when there is nothing left to poll
    state: State = State.PENDING
    reason: Reason | None = None  #: why it failed; None in every other state
    wallet_code: str = ""  #: the wallet's error code, for support
    pay: PayLink | PayCode | PayParams | None = None
    has_initial_response: bool = False  #: the initial request is over, whatever its outcome
    wallet_ref: str = ""
    payer_ref: str = ""
    paid_at: datetime | None = None
    refunded_minor: int = 0
    reserved_minor: int = 0  #: by refunds and reversals that are not decided yet
    refund_count: int = 0  #: refunds that have not failed
    reversal_syssn: str = ""
    is_reversed: bool = False
    close_syssn: str = ""  #: the number of the requested close
    forbid_credit: bool = False  #: refuse credit cards, if the wallet can
    is_subject_ours: bool = False  #: the merchant gave no name
    goods_info: str = ""  #: the merchant's description of the goods; for support only
    return_url: str = ""  #: where the payer's browser returns after payment; "" for the app's
    region: Region | None = None  #: whose edition of the wallet may pay; None for any
    payer_ip: str = ""  #: of the payer's browser, for a pay type whose wallet compares it
    scene_info: str = ""  #: WeChat's JSON text about the site on which an H5 payment begins
    fee_rate_ppm: int = (
        0  #: the account's rate when the payment was opened, in parts per million of the price
    )
    checks: int = 0
    checked_at: datetime | None = None
    version: int = 1
    redirected_at: datetime | None = None  #: when a payer was first sent to the wallet's page

    def replace(self, **changes: Any) -> "Payment":
        """A copy with these fields changed."""
        return structs.replace(self, **changes)

    @property
    def goods_name(self) -> str:
        """The name given by the merchant, or ""."""
        return "" if self.is_subject_ours else self.subject

    @property
    def refundable_minor(self) -> int:
        """What can still be refunded: neither refunded nor reserved."""
        return self.amount.amount_minor - self.refunded_minor - self.reserved_minor

    @property
    def is_unopened(self) -> bool:
        """The order does not exist at the wallet yet: a payer's first redirect would create it."""
        return isinstance(self.pay, PayLink) and self.pay.creates_order and self.redirected_at is None

    def has_pay_data(self, now: datetime) -> bool:
        """Whether what the payer opens or scans is known and still works."""
        valid_until = self.pay.valid_until if isinstance(self.pay, PayLink) else None
        return self.pay is not None and (valid_until is None or now < valid_until)

    @property
    def absence_final_from(self) -> datetime:
        """From then on, an order that is missing at the wallet will never be paid."""
        return max(self.deadline, self.expires_at + MAX_CREATION_DELAY)


def advance(payment: Payment, to: State, at: datetime, **changes: Any) -> Payment:
    """`payment` in state `to` since `at`, with `changes`; unchanged if already there. Raises InvalidTransition."""
    if to is payment.state:
        return payment
    if to not in ALLOWED[payment.state]:
        raise InvalidTransition(f"{payment.syssn}: {payment.state} to {to}")
    return payment.replace(state=to, changed_at=at, **changes)


def apply_outcome(before: Payment, outcome: Outcome, *, at: datetime, is_first: bool = False) -> Payment:
    """`before` after this outcome. Total: an outcome that changes nothing returns `before`.

    `is_first`: the outcome belongs to the initial request, so NotSent proves that nothing happened at the wallet.
    """
    match outcome:
        case Paid():
            return _paid(before, outcome, at)
        case AwaitingPayer(pay):
            return before.replace(pay=pay) if pay is not None and before.state is State.PENDING else before
        case Refused(refusal, wallet_code):
            return _failed(before, reason_of(refusal), wallet_code, at)
        case Closed():
            return _closed(before, at)
        case NotSent():
            return _failed(before, Reason.WALLET_UNREACHABLE, "", at) if is_first else before
        case Unknown():
            return before
        case _:
            assert_never(outcome)


def _paid(before: Payment, paid: Paid, at: datetime) -> Payment:
    other_money = paid.amount is not None and paid.amount != before.amount
    if other_money or before.state in (State.PAID, State.FAILED) or before.is_reversed:
        return before
    return advance(
        before,
        State.PAID,
        at,
        wallet_ref=paid.wallet_ref,
        payer_ref=paid.payer_ref,
        paid_at=paid.paid_at,
        check_at=None,
    )


def _failed(before: Payment, reason: Reason, wallet_code: str, at: datetime) -> Payment:
    if before.state is not State.PENDING:
        return before
    return advance(before, State.FAILED, at, reason=reason, wallet_code=wallet_code, check_at=None)


def _closed(before: Payment, at: datetime) -> Payment:
    """The wallet takes no more money: our close, its time limit, or a barcode payer who cancelled."""
    if before.state is not State.PENDING or before.reversal_syssn:
        # A reversal in progress closed the order or returned its money; the reversal's outcome shows which.
        return before
    if before.close_syssn:
        return advance(before, State.CLOSED, at)
    if before.pay_type.is_online:
        return advance(before, State.EXPIRED, at)
    reason = Reason.PAYER_CANCELLED if at < before.expires_at else Reason.PAYER_CODE_EXPIRED
    return _failed(before, reason, "", at)


def fail_reversed(before: Payment, reason: Reason, at: datetime) -> Payment:
    """A barcode payment that stayed undecided or failed halfway, and is now reversed at the wallet."""
    return _failed(before, reason, "", at)


def reschedule(payment: Payment, now: datetime) -> Payment:
    """`payment` with the time of its next poll."""
    return payment.replace(
        check_at=next_check(payment, now),
        checks=payment.checks + 1,
        checked_at=now,
        has_initial_response=True,
    )


def next_check(payment: Payment, now: datetime) -> datetime | None:
    """When to poll the wallet next. Gaps grow with age; the expiry is not overshot; polling ends (None)."""
    gap = min(max((now - payment.created_at) / 4, FIRST_CHECK), MAX_GAP)
    if payment.state is State.PENDING:
        if now < payment.expires_at:
            return min(now + _gap_while_open(payment, gap), payment.expires_at)
        # Expired here, but not confirmed by the wallet yet.
        return min(now + gap, payment.absence_final_from) if now < payment.absence_final_from else now + gap
    if payment.state in (State.CLOSED, State.EXPIRED) and payment.pay_type.is_online:
        last = payment.deadline + LATE_MONEY
        return min(now + max(gap, NOTICE_WAIT), last) if now < last else None
    return None


def _gap_while_open(payment: Payment, gap: timedelta) -> timedelta:
    """The wallet sends a notice of an online order, once the payer has what to open or to scan.

    It sends none of most barcode payments. A lost initial request and a requested close are continued by polling.
    """
    if not payment.pay_type.is_online:
        return FIRST_CHECK
    return gap if payment.pay is None or payment.close_syssn else max(gap, NOTICE_WAIT)


class Numbers(TypedDict):
    """Both numbers of a payment, as arguments of a TaelError."""

    reference: str
    payment_syssn: str


def numbers_of(payment: Payment) -> Numbers:
    return {"reference": payment.reference, "payment_syssn": payment.syssn}


def takes_payers(payment: Payment, now: datetime) -> bool:
    """Whether a payer may be redirected to the wallet's page; not once a close is requested."""
    return payment.state is State.PENDING and not payment.close_syssn and now < payment.expires_at
