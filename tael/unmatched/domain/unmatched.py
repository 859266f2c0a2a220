"""Unmatched payments: what came for nobody's order, from the first news of it until it has gone back. Pure.

It lives in the incident that told of it. It is first proven by the wallet's own record, then booked and sent back once,
under a number that stays the same.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from tael.base import respcd
from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES, PayType
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
from tael.incidents.domain.incident import Incident, IncidentKind, UnmatchedState, digest_of
from tael.ledger.domain.entries import Entry, EntryKind
from tael.merchants.domain.account import Account, AlipayAccount
from tael.payments.domain.payment import Payment, State, advance

MAX_GAP: Final = timedelta(hours=1)
#: A wallet's record that does not confirm unmatched payments within this time is left to a person.
CONFIRMED_WITHIN: Final = timedelta(days=1)
#: For this long a wallet that refuses to send back what it said had come is asked what it says now.
CORRECTED_WITHIN: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The wallet's record says that this came."""

    amount: Money


@dataclass(frozen=True, slots=True)
class Refuted:
    """There is nothing to send back."""

    why: str


def assess(incident: Incident, payment: Payment | None, record: Outcome) -> Confirmed | Refuted | None:
    """Whether the wallet's own record bears out the news; None while it does not say. `payment` as it stands now."""
    match record:
        case Paid(_, wallet_ref) if incident.wallet_ref and wallet_ref != incident.wallet_ref:
            return Refuted(f"the wallet's record names trade {wallet_ref}")
        case Paid(amount) if amount is not None and amount != incident.amount and _is_about_amount(incident):
            return Refuted(f"the wallet's record says {amount}")
        case Paid(_, wallet_ref) if (
            payment is not None and payment.state is State.PAID and payment.wallet_ref == wallet_ref
        ):
            return Refuted("it is the money of a paid order")
        case Paid(amount):
            came = amount or incident.amount
            return Confirmed(came) if came is not None and came.amount_minor > 0 else None
        case Closed():
            return Refuted("the wallet's record says closed, and nothing paid")
        case _:
            return None


def _is_about_amount(incident: Incident) -> bool:
    """Whether money of another amount is other news. A trade that is strange as such is so with any amount."""
    return incident.amount is not None and incident.kind not in (
        IncidentKind.UNKNOWN_ORDER,
        IncidentKind.PAID_TWICE,
    )


def refute(incident: Incident, why: str) -> Incident:
    return replace(
        incident,
        unmatched_state=UnmatchedState.REFUTED,
        detail=f"{incident.detail}; disproved: {why}",
        check_at=None,
    )


def confirm(incident: Incident, amount: Money, syssn: str, *, returns: bool, at: datetime) -> Incident:
    """`incident` once its money is proven and numbered; `returns` where it is to be sent back."""
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
    """A payment that waited, and got money that is not its price: nothing else can come for it."""
    failed = advance(payment, State.FAILED, at)
    return replace(failed, respcd=respcd.MISMATCH, check_at=None)


def apply_return_outcome(
    incident: Incident, outcome: RefundOutcome, *, at: datetime, is_undone: bool = False
) -> Incident:
    """`incident` after this news of its refund. `is_undone`: a reversal of ours has undone the order meanwhile."""
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
            # It may have lied about what came: its record is asked again before a person has to.
            return replace(
                incident, unmatched_state=UnmatchedState.REFUSED, wallet_code=wallet_code, checks=0
            )
        case RefundStuck(wallet_code):
            return replace(incident, wallet_code=wallet_code)
        case _:
            return incident


#: What passes by itself; the same refund is asked for again later.
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
    """What is wrong with the way back itself."""
    match outcome:
        case Refunded(amount) if amount is not None and amount != incident.amount:
            kind, sameness = IncidentKind.REFUND_AMOUNT, str(amount)
            said = f"the wallet returned {amount}, refund {incident.unmatched_syssn} was {incident.amount}"
        case RefundStuck(wallet_code) if wallet_code != incident.wallet_code:
            kind, sameness = IncidentKind.REFUND_STUCK, wallet_code
            said = f"the money of refund {incident.unmatched_syssn} could not reach the payer: {wallet_code}"
        case _:
            return ()
    found = Incident(
        mchid=incident.mchid,
        subject_id=incident.unmatched_syssn,
        kind=kind,
        incident_id=digest_of(incident.mchid, incident.unmatched_syssn, kind, sameness),
        account_id=incident.account_id,
        detail=said,
        at=at,
    )
    return (found,)


def is_retracted(incident: Incident, record: Outcome) -> bool:
    """Whether the wallet's record now says that the trade holds other money than was booked, or none."""
    match record:
        case Paid(amount, wallet_ref) if _is_about_amount(incident):
            is_same_trade = not incident.wallet_ref or incident.wallet_ref == wallet_ref
            return is_same_trade and amount is not None and amount != incident.amount
        case Closed():
            return True
        case _:
            return False


def may_be_voided(numbered: Incident, other: Incident) -> bool:
    """Whether `other`, news of other money in the same trade, may yet turn out to be what is true of it."""
    is_open = (
        numbered.unmatched_state in (UnmatchedState.RETURNING, UnmatchedState.REFUSED)
        and numbered.check_at is not None
    )
    return is_open and _is_about_amount(numbered) and numbered.amount != other.amount


def void(incident: Incident, at: datetime) -> Incident:
    """`incident` out of our books; what the record says now is due to be heard, as news of its own."""
    said = f"{incident.detail}; the wallet would not send that back, and its record says otherwise now"
    return replace(incident, unmatched_state=UnmatchedState.VOIDED, detail=said, check_at=at, checks=0)


def reschedule_unmatched(incident: Incident, now: datetime) -> Incident:
    """The next step after 1, 2, 4, 8 s and then ever more rarely; a proof or correction is not waited for for ever."""
    match incident.unmatched_state:
        case UnmatchedState.SUSPECTED:
            waits = now - incident.at <= CONFIRMED_WITHIN
        case UnmatchedState.REFUSED:
            waits = incident.asked_at is not None and now - incident.asked_at <= CORRECTED_WITHIN
        case _:
            waits = incident.unmatched_state in (UnmatchedState.RETURNING, UnmatchedState.VOIDED)
    gap = min(timedelta(seconds=2 ** min(incident.checks, 20)), MAX_GAP)
    return replace(incident, check_at=now + gap if waits else None, checks=incident.checks + 1)


def unmatched_pay_type(account: Account) -> PayType:
    """A pay type that reaches the orders of `account` at its wallet, where nothing but the account is known."""
    if isinstance(account, AlipayAccount):
        return PAY_TYPES["800151" if account.scene == "online" else "800108"]
    return PAY_TYPES["800201"]


def unmatched_entries(before: Incident, after: Incident, at: datetime) -> tuple[Entry, ...]:
    """What the step from `before` to `after` moved: unmatched payments came into our books, or left them."""
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
