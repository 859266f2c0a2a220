"""Our movements of money, as far as a wallet's line is compared with them. Pure.

A record has the number by which the wallet's lines name it, and the time in which the wallet moved the money.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from tael.base.money import Money
from tael.channels.outcomes import ReversalAction
from tael.channels.statements import LineType
from tael.payments.domain.payment import State
from tael.payments.domain.refund import RefundState
from tael.payments.domain.reversal import ReversalState
from tael.unmatched.domain.unmatched import UnmatchedState


class RecordKind(StrEnum):
    """The table of a record."""

    PAYMENT = "payment"
    REFUND = "refund"
    REVERSAL = "reversal"
    UNMATCHED = "unmatched_payment"


class Movement(StrEnum):
    """Whether money moved."""

    MOVED = "moved"
    PENDING = "pending"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Record:
    """One movement of ours. Instants are UTC; an end of the time that is not known is None."""

    kind: RecordKind
    type: LineType
    number: str  #: by which a line names it: of the order, or of the refund
    syssn: str  #: of our row
    amount: Money
    state: str
    money: Movement
    wallet_ref: str  #: the wallet's number of the trade; "" if it is not known
    from_at: datetime | None
    until_at: datetime | None


@dataclass(frozen=True, slots=True)
class PaymentRow:
    syssn: str
    amount: Money
    state: State
    wallet_ref: str
    is_reversed: bool
    created_at: datetime
    paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class RefundRow:
    syssn: str
    amount: Money
    state: RefundState
    created_at: datetime
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReversalRow:
    syssn: str
    payment_syssn: str
    amount: Money  #: the payment's
    state: ReversalState
    action: ReversalAction | None
    created_at: datetime
    changed_at: datetime

    @property
    def goes_by_refund(self) -> bool:
        return self.action is ReversalAction.BY_REFUND

    @property
    def has_returned_money(self) -> bool:
        """By itself, and not by a refund. A wallet may not report which of two it did: then it may have."""
        did = (ReversalAction.REFUNDED, ReversalAction.DONE)
        return self.state is ReversalState.DONE and self.action in did


@dataclass(frozen=True, slots=True)
class UnmatchedRow:
    """One that is booked."""

    subject_id: str
    syssn: str
    amount: Money
    state: UnmatchedState
    wallet_ref: str
    booked_at: datetime
    asked_at: datetime | None
    returned_at: datetime | None


@dataclass(frozen=True, slots=True)
class OurRows:
    """The rows of one account that a batch of lines may name."""

    payments: Mapping[str, PaymentRow] = field(default_factory=dict)
    refunds: Mapping[str, RefundRow] = field(default_factory=dict)
    reversals: Sequence[ReversalRow] = ()
    unmatched: Sequence[UnmatchedRow] = ()


REFUND_MONEY: Final = {
    RefundState.DONE: Movement.MOVED,
    RefundState.PROCESSING: Movement.PENDING,
    RefundState.FAILED: Movement.NONE,
}
REVERSAL_MONEY: Final = {
    ReversalState.DONE: Movement.MOVED,
    ReversalState.PENDING: Movement.PENDING,
    ReversalState.FAILED: Movement.NONE,
}
RETURN_MONEY: Final = {
    UnmatchedState.RETURNED: Movement.MOVED,
    UnmatchedState.RETURNING: Movement.PENDING,
}


def payment_record(row: PaymentRow, undone_by: ReversalRow | None = None) -> Record:
    """`undone_by` is a reversal that returned the money of a payment which was never booked as paid."""
    is_paid = row.state is State.PAID
    return Record(
        kind=RecordKind.PAYMENT,
        type=LineType.PAYMENT,
        number=row.syssn,
        syssn=row.syssn,
        amount=row.amount,
        state=row.state,
        money=Movement.MOVED if is_paid or undone_by else Movement.NONE,
        wallet_ref=row.wallet_ref,
        # If the payment was undone before we saw it paid, its time is that of the reversal.
        from_at=row.paid_at if is_paid and not row.is_reversed else row.created_at,
        until_at=undone_by.changed_at if undone_by else row.paid_at,
    )


def refund_record(row: RefundRow) -> Record:
    """A wallet may list a refund on the day of its request or of its end."""
    return Record(
        kind=RecordKind.REFUND,
        type=LineType.REFUND,
        number=row.syssn,
        syssn=row.syssn,
        amount=row.amount,
        state=row.state,
        money=REFUND_MONEY[row.state],
        wallet_ref="",
        from_at=row.created_at,
        until_at=row.done_at,
    )


def reversal_record(row: ReversalRow) -> Record:
    """A reversal that went by a refund has a number of its own at the wallet; any other has its order's."""
    has_moved = row.goes_by_refund or row.has_returned_money
    is_done = row.state is ReversalState.DONE
    return Record(
        kind=RecordKind.REVERSAL,
        type=LineType.REFUND if row.goes_by_refund else LineType.REVERSAL,
        number=row.syssn if row.goes_by_refund else row.payment_syssn,
        syssn=row.syssn,
        amount=row.amount,
        state=row.state,
        money=REVERSAL_MONEY[row.state] if has_moved or not is_done else Movement.NONE,
        wallet_ref="",
        from_at=row.created_at,
        until_at=row.changed_at if is_done else None,
    )


def received_record(row: UnmatchedRow) -> Record:
    """The receipt of an unmatched payment: some time before it was booked."""
    return Record(
        kind=RecordKind.UNMATCHED,
        type=LineType.PAYMENT,
        number=row.subject_id,
        syssn=row.syssn,
        amount=row.amount,
        state=row.state,
        money=Movement.MOVED,
        wallet_ref=row.wallet_ref,
        from_at=None,
        until_at=row.booked_at,
    )


def returned_record(row: UnmatchedRow) -> Record:
    """The return of an unmatched payment: a refund under the number of its booking."""
    return Record(
        kind=RecordKind.UNMATCHED,
        type=LineType.REFUND,
        number=row.syssn,
        syssn=row.syssn,
        amount=row.amount,
        state=row.state,
        money=RETURN_MONEY.get(row.state, Movement.NONE),
        wallet_ref="",
        from_at=row.asked_at,
        until_at=row.returned_at,
    )
