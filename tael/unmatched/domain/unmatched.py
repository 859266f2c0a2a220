"""Unmatched payments: money received that belongs to no order, from its first report until its return. Pure.

An unmatched payment is part of the incident that reported it. It is first confirmed by the wallet's own record, then
booked and returned once, under a number that never changes.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

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
from tael.incidents.domain.incident import Incident, IncidentKind, UnmatchedState, incident_id_of
from tael.ledger.domain.entries import Entry, EntryKind
from tael.payments.domain.payment import Payment, State, advance

MAX_GAP: Final = timedelta(hours=1)
#: An unmatched payment that the wallet's record does not confirm within this time needs manual review.
CONFIRMED_WITHIN: Final = timedelta(days=1)
#: How long a wallet that refuses a return is queried for a corrected record.
CORRECTED_WITHIN: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The wallet's record confirms that this amount was received."""

    amount: Money


@dataclass(frozen=True, slots=True)
class Refuted:
    """There is nothing to return."""

    why: str


def assess(incident: Incident, payment: Payment | None, record: Outcome) -> Confirmed | Refuted | None:
    """Whether the wallet's own record confirms the incident; None while unknown. `payment` is the current row."""
    match record:
        case Paid(_, wallet_ref) if incident.wallet_ref and wallet_ref != incident.wallet_ref:
            return Refuted(f"the wallet's record names trade {wallet_ref}")
        case Paid(amount) if amount is not None and amount != incident.amount and _is_about_amount(incident):
            return Refuted(f"the wallet's record shows {amount}")
        case Paid(_, wallet_ref) if (
            payment is not None and payment.state is State.PAID and payment.wallet_ref == wallet_ref
        ):
            return Refuted("it is the money of a paid order")
        case Paid(amount):
            received = amount or incident.amount
            return Confirmed(received) if received is not None and received.amount_minor > 0 else None
        case Closed():
            return Refuted("the wallet's record shows the order as closed and unpaid")
        case _:
            return None


def _is_about_amount(incident: Incident) -> bool:
    """Whether another amount makes it another event. An unknown or second trade is unmatched whatever its amount."""
    return incident.amount is not None and incident.kind not in (
        IncidentKind.UNKNOWN_ORDER,
        IncidentKind.PAID_TWICE,
    )


def refute(incident: Incident, why: str) -> Incident:
    return replace(
        incident,
        unmatched_state=UnmatchedState.REFUTED,
        detail=f"{incident.detail}; refuted: {why}",
        check_at=None,
    )


def confirm(incident: Incident, amount: Money, syssn: str, *, returns: bool, at: datetime) -> Incident:
    """`incident` once its money is confirmed and numbered; `returns` if it is to be returned."""
    return replace(
        incident,
        amount=amount,
        unmatched_state=UnmatchedState.RETURNING if returns else UnmatchedState.KEPT,
        unmatched_syssn=syssn,
        asked_at=at if returns else None,
        check_at=at if returns else None,
        checks=0,
    )


def fail_mismatched(payment: Payment, at: datetime) -> Payment:
    """A pending payment that received an amount other than its price: it cannot be paid any more."""
    failed = advance(payment, State.FAILED, at)
    return replace(failed, reason=Reason.MISMATCH, check_at=None)


def apply_return_outcome(
    incident: Incident, outcome: RefundOutcome, *, at: datetime, is_undone: bool = False
) -> Incident:
    """`incident` after this outcome of its refund. `is_undone`: a reversal of ours has undone the order meanwhile."""
    if incident.unmatched_state is not UnmatchedState.RETURNING:
        return incident
    match outcome:
        case Refunded(amount, wallet_ref, refunded_at) if amount in (None, incident.amount):
            return _returned(incident, wallet_ref, refunded_at or at)
        case Refused(Refusal.ORDER_CLOSED | Refusal.ALREADY_REFUNDED) if is_undone:
            return _returned(incident, "", at)
        case Refused(reason, wallet_code) if reason in TRY_LATER:
            return replace(incident, wallet_code=wallet_code)
        case Refused(_, wallet_code):
            # Its notice may have been wrong: its record is queried again before manual review.
            return replace(
                incident, unmatched_state=UnmatchedState.REFUSED, wallet_code=wallet_code, checks=0
            )
        case RefundStuck(wallet_code):
            return replace(incident, wallet_code=wallet_code)
        case _:
            return incident


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


def return_incidents_in(incident: Incident, outcome: RefundOutcome, *, at: datetime) -> tuple[Incident, ...]:
    """The incidents in an outcome of the return itself."""
    match outcome:
        case Refunded(amount) if amount is not None and amount != incident.amount:
            kind, dedup_key = IncidentKind.REFUND_AMOUNT, str(amount)
            detail = f"the wallet returned {amount}, refund {incident.unmatched_syssn} was {incident.amount}"
        case RefundStuck(wallet_code) if wallet_code != incident.wallet_code:
            kind, dedup_key = IncidentKind.REFUND_STUCK, wallet_code
            detail = (
                f"the money of refund {incident.unmatched_syssn} could not reach the payer: {wallet_code}"
            )
        case _:
            return ()
    return_incident = Incident(
        mchid=incident.mchid,
        subject_id=incident.unmatched_syssn,
        kind=kind,
        incident_id=incident_id_of(incident.mchid, incident.unmatched_syssn, kind, dedup_key),
        account_id=incident.account_id,
        protocol=incident.protocol,
        detail=detail,
        at=at,
    )
    return (return_incident,)


def is_retracted(incident: Incident, record: Outcome) -> bool:
    """Whether the wallet's record now shows another amount in the trade than was booked, or none."""
    match record:
        case Paid(amount, wallet_ref) if _is_about_amount(incident):
            is_same_trade = not incident.wallet_ref or incident.wallet_ref == wallet_ref
            return is_same_trade and amount is not None and amount != incident.amount
        case Closed():
            return True
        case _:
            return False


def may_be_voided(numbered: Incident, other: Incident) -> bool:
    """Whether `other`, an event with another amount in the same trade, may still replace the booked one."""
    is_open = (
        numbered.unmatched_state in (UnmatchedState.RETURNING, UnmatchedState.REFUSED)
        and numbered.check_at is not None
    )
    return is_open and _is_about_amount(numbered) and numbered.amount != other.amount


def void(incident: Incident, at: datetime) -> Incident:
    """`incident`, booked out. The wallet's corrected record is due to be recorded as an event of its own."""
    detail = f"{incident.detail}; the wallet refused to return it and has corrected its record"
    return replace(incident, unmatched_state=UnmatchedState.VOIDED, detail=detail, check_at=at, checks=0)


def reschedule_unmatched(incident: Incident, now: datetime) -> Incident:
    """`incident` with its next step: after 1, 2, 4, 8 s … up to MAX_GAP. Confirmation and correction time out."""
    match incident.unmatched_state:
        case UnmatchedState.SUSPECTED:
            is_open = now - incident.at <= CONFIRMED_WITHIN
        case UnmatchedState.REFUSED:
            is_open = incident.asked_at is not None and now - incident.asked_at <= CORRECTED_WITHIN
        case _:
            is_open = incident.unmatched_state in (UnmatchedState.RETURNING, UnmatchedState.VOIDED)
    gap = min(timedelta(seconds=2 ** min(incident.checks, 20)), MAX_GAP)
    return replace(incident, check_at=now + gap if is_open else None, checks=incident.checks + 1)


def unmatched_entries(before: Incident, after: Incident, at: datetime) -> tuple[Entry, ...]:
    """The ledger entries of the step from `before` to `after`: the unmatched payment is booked in or out."""
    if after.amount is None or not after.unmatched_syssn:
        return ()
    wallet = f"wallet:{after.amount.currency}:{after.account_id}"
    unmatched = f"unmatched:{after.amount.currency}:{after.account_id}"
    if not before.unmatched_syssn:
        return (
            Entry(
                after.mchid,
                after.unmatched_syssn,
                EntryKind.UNMATCHED_RECEIVED,
                wallet,
                unmatched,
                after.amount,
                at,
            ),
        )
    if after.unmatched_state is not before.unmatched_state and after.unmatched_state in (
        UnmatchedState.RETURNED,
        UnmatchedState.VOIDED,
    ):
        return (
            Entry(
                after.mchid,
                after.unmatched_syssn,
                EntryKind.UNMATCHED_RETURNED,
                unmatched,
                wallet,
                after.amount,
                at,
            ),
        )
    return ()


def _returned(incident: Incident, wallet_ref: str, at: datetime) -> Incident:
    return replace(
        incident,
        unmatched_state=UnmatchedState.RETURNED,
        return_ref=wallet_ref or incident.return_ref,
        returned_at=at,
        check_at=None,
    )
