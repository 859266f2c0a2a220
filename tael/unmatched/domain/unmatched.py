"""Unmatched payments: money that belongs to no order, from its first report until it is returned or kept. Pure.

It is first confirmed by the wallet's own record, then booked under a number that never changes. Then the merchant's
policy decides: it is returned once, or held until an operator returns or keeps it. What an operator returns is
confirmed once more first.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

from tael.base.money import Money
from tael.base.reasons import Reason
from tael.channels.outcomes import (
    Closed,
    Outcome,
    Paid,
    Refunded,
    RefundOutcome,
    RefundStuck,
    Refusal,
    Refused,
)
from tael.incidents.domain.evidence import Evidence, with_evidence
from tael.incidents.domain.incident import Incident, IncidentKind, incident_id_of
from tael.ledger.domain.entries import Entry, EntryKind
from tael.merchants.domain.merchant import UnmatchedPolicy
from tael.payments.domain.payment import Payment, State, advance

FIRST_GAP: Final = timedelta(seconds=1)
MAX_GAP: Final = timedelta(hours=1)
#: An unmatched payment that the wallet's record does not confirm within this time needs manual review. One whose return
#: was approved is HELD again.
CONFIRMED_WITHIN: Final = timedelta(days=1)
#: How long a wallet that refuses a return is queried for a corrected record.
CORRECTED_WITHIN: Final = timedelta(days=1)
#: How often the log reminds of a held one.
REMINDER: Final = timedelta(days=1)


class UnmatchedState(StrEnum):
    """The state of an unmatched payment."""

    SUSPECTED = "SUSPECTED"  #: reported; the wallet's record is queried before money moves
    HELD = "HELD"  #: confirmed and booked; waits for an operator's decision
    APPROVED = "APPROVED"  #: an operator decided to return it; the wallet's record is queried once more first
    RETURNING = "RETURNING"  #: a refund of it is committed under `syssn`
    RETURNED = "RETURNED"
    KEPT = "KEPT"  #: an operator decided that it is not returned
    REFUSED = "REFUSED"  #: the wallet refused to return it; needs manual review unless its record changes
    VOIDED = "VOIDED"  #: the wallet's record changed: booked out, and a new event confirms the new record
    REFUTED = "REFUTED"  #: the wallet's record has no such payment, or it belongs to an order after all


#: What may follow a state. `docs/states.md` is drawn with the functions below, which must agree with it.
ALLOWED: Final = {
    UnmatchedState.SUSPECTED: {UnmatchedState.HELD, UnmatchedState.RETURNING, UnmatchedState.REFUTED},
    UnmatchedState.HELD: {UnmatchedState.APPROVED, UnmatchedState.KEPT, UnmatchedState.VOIDED},
    UnmatchedState.APPROVED: {UnmatchedState.RETURNING, UnmatchedState.HELD, UnmatchedState.VOIDED},
    UnmatchedState.RETURNING: {UnmatchedState.RETURNED, UnmatchedState.REFUSED},
    UnmatchedState.RETURNED: set[UnmatchedState](),
    UnmatchedState.KEPT: set[UnmatchedState](),
    UnmatchedState.REFUSED: {UnmatchedState.KEPT, UnmatchedState.VOIDED},
    UnmatchedState.VOIDED: set[UnmatchedState](),
    UnmatchedState.REFUTED: set[UnmatchedState](),
}


@dataclass(frozen=True, slots=True)
class UnmatchedPayment(Evidence):
    """The evidence and what became of it. Once confirmed, `amount` is that of the wallet's record."""

    state: UnmatchedState = UnmatchedState.SUSPECTED
    #: Our number of this money: its ledger cause, and the number of its refund at the wallet.
    syssn: str = ""
    booked_at: datetime | None = None
    asked_at: datetime | None = None  #: when its return was approved or, later, committed
    wallet_code: str = ""
    return_ref: str = ""  #: the wallet's own number of the refund
    returned_at: datetime | None = None
    remind_at: datetime | None = None  #: when the log reminds of it, while it is held
    reason: str = ""  #: why it was refuted or voided
    note: str = ""  #: the operator's, with the decision
    checks: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The wallet's record confirms that this amount was received."""

    amount: Money


@dataclass(frozen=True, slots=True)
class Refuted:
    """There is nothing to return."""

    why: str


def assess(
    unmatched: UnmatchedPayment, payment: Payment | None, record: Outcome
) -> Confirmed | Refuted | None:
    """Whether the wallet's own record confirms the incident; None while unknown. `payment` is the current row."""
    match record:
        case Paid(_, wallet_ref) if unmatched.wallet_ref and wallet_ref != unmatched.wallet_ref:
            return Refuted(f"the wallet's record names trade {wallet_ref}")
        case Paid(amount) if (
            amount is not None and amount != unmatched.amount and _is_about_amount(unmatched)
        ):
            return Refuted(f"the wallet's record shows {amount}")
        case Paid(_, wallet_ref) if (
            payment is not None and payment.state is State.PAID and payment.wallet_ref == wallet_ref
        ):
            return Refuted("it is the money of a paid order")
        case Paid(amount):
            received = amount or unmatched.amount
            return Confirmed(received) if received is not None and received.amount_minor > 0 else None
        case Closed():
            return Refuted("the wallet's record shows the order as closed and unpaid")
        case _:
            return None


def _is_about_amount(unmatched: UnmatchedPayment) -> bool:
    """Whether another amount makes it another event. An unknown or second trade is unmatched whatever its amount."""
    return unmatched.amount is not None and unmatched.kind not in (
        IncidentKind.UNKNOWN_ORDER,
        IncidentKind.PAID_TWICE,
    )


def refute(unmatched: UnmatchedPayment, why: str) -> UnmatchedPayment:
    return replace(
        unmatched,
        state=UnmatchedState.REFUTED,
        reason=why,
        check_at=None,
    )


def confirm(
    unmatched: UnmatchedPayment, amount: Money, syssn: str, policy: UnmatchedPolicy, at: datetime
) -> UnmatchedPayment:
    """`unmatched` once its money is confirmed and numbered: it is returned or held, by the merchant's policy."""
    booked = replace(unmatched, amount=amount, syssn=syssn, booked_at=at)
    match policy:
        case UnmatchedPolicy.RETURN:
            return begin_return(booked, at)
        case UnmatchedPolicy.HOLD:
            return _rescheduled_held(replace(booked, state=UnmatchedState.HELD, checks=0), at)
        case _:
            assert_never(policy)


def approve(held: UnmatchedPayment, note: str, at: datetime) -> UnmatchedPayment:
    """`held`, to be returned once the wallet's record has confirmed it again."""
    return replace(
        held,
        state=UnmatchedState.APPROVED,
        note=note,
        asked_at=at,
        check_at=at,
        checks=0,
        remind_at=None,
    )


def begin_return(confirmed: UnmatchedPayment, at: datetime) -> UnmatchedPayment:
    """The intent to return it, which is committed before its refund is requested."""
    return replace(confirmed, state=UnmatchedState.RETURNING, asked_at=at, check_at=at, checks=0)


def refusal_to_return(unmatched: UnmatchedPayment) -> str:
    """Why an operator cannot have it returned; empty if it is held."""
    return "" if unmatched.state is UnmatchedState.HELD else f"it is {unmatched.state}, not HELD"


def refusal_to_keep(unmatched: UnmatchedPayment) -> str:
    """Why an operator cannot keep it; empty if it is held, or if the wallet still refuses to return it after a day."""
    match unmatched.state:
        case UnmatchedState.HELD:
            return ""
        case UnmatchedState.REFUSED if unmatched.check_at is None:
            return ""
        case UnmatchedState.REFUSED:
            return "the wallet refused its return, and its record is still being queried for a correction"
        case _:
            return f"it is {unmatched.state}, not HELD or REFUSED"


def keep(unmatched: UnmatchedPayment, note: str) -> UnmatchedPayment:
    """`unmatched`, never to be returned."""
    return replace(unmatched, state=UnmatchedState.KEPT, note=note, check_at=None, remind_at=None)


def resolves_incidents(unmatched: UnmatchedPayment) -> bool:
    """Whether an operator's decision is carried out, so that its note resolves the incidents."""
    return bool(unmatched.note) and unmatched.state in (UnmatchedState.KEPT, UnmatchedState.RETURNED)


def fail_mismatched(payment: Payment, at: datetime) -> Payment:
    """A pending payment that received an amount other than its price: it cannot be paid any more."""
    return advance(payment, State.FAILED, at, reason=Reason.MISMATCH, check_at=None)


def apply_return_outcome(
    unmatched: UnmatchedPayment, outcome: RefundOutcome, *, at: datetime, is_undone: bool = False
) -> UnmatchedPayment:
    """`unmatched` after this outcome of its refund. `is_undone`: a reversal of ours has undone the order meanwhile."""
    if unmatched.state is not UnmatchedState.RETURNING:
        return unmatched
    match outcome:
        case Refunded(amount, wallet_ref, refunded_at) if amount in (None, unmatched.amount):
            return _returned(unmatched, wallet_ref, refunded_at or at)
        case Refused(Refusal.ORDER_CLOSED | Refusal.ALREADY_REFUNDED) if is_undone:
            return _returned(unmatched, "", at)
        case Refused(reason, wallet_code) if reason in TRY_LATER:
            return replace(unmatched, wallet_code=wallet_code)
        case Refused(_, wallet_code):
            # Its notice may have been wrong: its record is queried again before manual review.
            return replace(unmatched, state=UnmatchedState.REFUSED, wallet_code=wallet_code, checks=0)
        case RefundStuck(wallet_code):
            return replace(unmatched, wallet_code=wallet_code)
        case _:
            return unmatched


#: Temporary refusals: the same refund is requested again later.
TRY_LATER: Final = frozenset(
    {
        Refusal.MERCHANT_BALANCE,
        Refusal.WALLET_CLOSED,
        Refusal.OUR_IDENTITY,
        Refusal.OUR_CERTIFICATE,
        Refusal.MERCHANT_SETUP,
    }
)


def return_incidents_in(
    unmatched: UnmatchedPayment, outcome: RefundOutcome, *, at: datetime
) -> tuple[Incident, ...]:
    """The incidents in an outcome of the return itself."""
    match outcome:
        case Refunded(amount) if amount is not None and amount != unmatched.amount:
            kind, dedup_key = IncidentKind.REFUND_AMOUNT, str(amount)
            detail = f"the wallet returned {amount}, refund {unmatched.syssn} was {unmatched.amount}"
        case RefundStuck(wallet_code) if wallet_code != unmatched.wallet_code:
            kind, dedup_key = IncidentKind.REFUND_STUCK, wallet_code
            detail = f"the money of refund {unmatched.syssn} could not reach the payer: {wallet_code}"
        case _:
            return ()
    return_incident = Incident(
        mchid=unmatched.mchid,
        subject_id=unmatched.syssn,
        kind=kind,
        incident_id=incident_id_of(unmatched.mchid, unmatched.syssn, kind, dedup_key),
        account_id=unmatched.account_id,
        detail=detail,
        at=at,
        unmatched_id=unmatched.unmatched_id,
    )
    return (return_incident,)


def is_contradicted(booked: UnmatchedPayment, record: Outcome) -> bool:
    """Whether the wallet's record now shows another amount in the trade than was booked, or none."""
    match record:
        case Paid(amount, wallet_ref):
            is_same_trade = not booked.wallet_ref or booked.wallet_ref == wallet_ref
            return is_same_trade and amount is not None and amount != booked.amount
        case Closed():
            return True
        case _:
            return False


def void(booked: UnmatchedPayment) -> UnmatchedPayment:
    """`booked`, booked out. Its successor takes its place."""
    reason = "the wallet's record has changed"
    return replace(booked, state=UnmatchedState.VOIDED, reason=reason, check_at=None, remind_at=None)


def successor(booked: UnmatchedPayment, at: datetime) -> tuple[Incident, Evidence]:
    """A new event of unknown amount in place of `booked`, so that the wallet's record is confirmed once more.

    No refusal shows which record is true, and a false one must not replace a true one for good. The event has an id of
    its own each time, so that it is no repeat of an earlier one.
    """
    incident = Incident(
        mchid=booked.mchid,
        subject_id=booked.subject_id,
        kind=booked.kind,
        incident_id=incident_id_of(booked.mchid, booked.subject_id, booked.kind, booked.syssn),
        account_id=booked.account_id,
        detail=f"the wallet's record has changed since {booked.amount} was booked as {booked.syssn}",
        at=at,
    )
    return with_evidence(incident, booked.protocol, None, booked.wallet_ref, booked.payer_ref)


def is_reminder_due(unmatched: UnmatchedPayment, now: datetime) -> bool:
    """Whether the log should remind of a held payment."""
    return (
        unmatched.state is UnmatchedState.HELD
        and unmatched.remind_at is not None
        and unmatched.remind_at <= now
    )


def reschedule_unmatched(unmatched: UnmatchedPayment, now: datetime) -> UnmatchedPayment:
    """`unmatched` with its next step: after 1, 2, 4, 8 s … up to MAX_GAP. Confirmation and correction time out."""
    match unmatched.state:
        case UnmatchedState.HELD:
            return _rescheduled_held(unmatched, now)
        case UnmatchedState.APPROVED if not _is_within(CONFIRMED_WITHIN, unmatched.asked_at, now):
            return _rescheduled_held(replace(unmatched, state=UnmatchedState.HELD, asked_at=None), now)
        case UnmatchedState.SUSPECTED:
            is_open = _is_within(CONFIRMED_WITHIN, unmatched.at, now)
        case UnmatchedState.REFUSED:
            is_open = _is_within(CORRECTED_WITHIN, unmatched.asked_at, now)
        case _:
            is_open = unmatched.state in (UnmatchedState.APPROVED, UnmatchedState.RETURNING)
    gap = min(timedelta(seconds=2 ** min(unmatched.checks, 20)), MAX_GAP)
    return replace(unmatched, check_at=now + gap if is_open else None, checks=unmatched.checks + 1)


def _is_within(limit: timedelta, since: datetime | None, now: datetime) -> bool:
    return since is not None and now - since <= limit


def _rescheduled_held(held: UnmatchedPayment, now: datetime) -> UnmatchedPayment:
    """Its next check: at twice its age, at the latest at the next reminder, that is, once a day from the second day."""
    remind_at = held.remind_at if held.remind_at is not None and held.remind_at > now else now + REMINDER
    gap = max(now - (held.booked_at or held.at), FIRST_GAP)
    return replace(held, check_at=min(now + gap, remind_at), remind_at=remind_at, checks=held.checks + 1)


def unmatched_entries(before: UnmatchedPayment, after: UnmatchedPayment, at: datetime) -> tuple[Entry, ...]:
    """The ledger entries of the step from `before` to `after`: the unmatched payment is booked in or out."""
    if after.amount is None or not after.syssn:
        return ()
    wallet = f"wallet:{after.amount.currency}:{after.account_id}"
    owner = f"unmatched:{after.amount.currency}:{after.account_id}"
    if not before.syssn:
        received = EntryKind.UNMATCHED_RECEIVED
        return (Entry(after.mchid, after.syssn, received, wallet, owner, after.amount, at),)
    if after.state is not before.state and after.state in (UnmatchedState.RETURNED, UnmatchedState.VOIDED):
        returned = EntryKind.UNMATCHED_RETURNED
        return (Entry(after.mchid, after.syssn, returned, owner, wallet, after.amount, at),)
    return ()


def _returned(unmatched: UnmatchedPayment, wallet_ref: str, at: datetime) -> UnmatchedPayment:
    return replace(
        unmatched,
        state=UnmatchedState.RETURNED,
        return_ref=wallet_ref or unmatched.return_ref,
        returned_at=at,
        check_at=None,
    )
