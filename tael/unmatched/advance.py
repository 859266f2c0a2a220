"""Money that belongs to nobody's order: proven by the wallet's own record, booked, and sent back once.

A notice alone moves nothing. Intent, question, record: the number of the refund is committed before the wallet is
asked, and every repeat asks under the same number. Called by `jobs/polling.py` and `payments/notices.py`.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from tael.base.money import Money
from tael.base.pay_types import PayType
from tael.channels.base import Channel, ChannelOrder, ChannelRefund
from tael.channels.outcomes import Closed, Outcome, Paid, Refused, Unknown
from tael.incidents.domain.incident import Incident, IncidentKind, UnmatchedState
from tael.incidents.log import log_incidents
from tael.merchants.domain.account import Account
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.reversal import ReversalState
from tael.payments.gateway import Gateway, notice_url, order_for
from tael.payments.outcomes import log_step, record_notice
from tael.payments.store.payments import Change
from tael.unmatched.domain.unmatched import (
    Confirmed,
    Refuted,
    apply_return_outcome,
    assess,
    confirm,
    fail_mismatched,
    is_retracted,
    may_be_voided,
    refute,
    reschedule_unmatched,
    return_incidents_in,
    unmatched_entries,
    unmatched_pay_type,
    void,
)
from tael.unmatched.store.unmatched import UnmatchedChange, UnmatchedPayments

log = structlog.get_logger()

#: How often a payment may be written while its unmatched payments is booked, before it has to wait for its next turn.
MAX_TRIES: Final = 3
#: Nothing that we sent is still on its way to a wallet after this time.
ARRIVED_BY_THEN: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class UnmatchedContext:
    """What the use cases of unmatched payments depend on."""

    gateway: Gateway
    table: UnmatchedPayments
    returns: bool = True  #: return confirmed money automatically


async def advance_unmatched(incident: Incident, context: UnmatchedContext) -> Incident:
    """One step with money that nobody owns; the incident as it stands afterwards."""
    account = await context.gateway.credentials.account(incident.account_id)
    if account is None:
        raise LookupError(f"incident {incident.incident_id} has lost its account {incident.account_id}")
    payment = await context.gateway.store.payments.by_syssn(incident.mchid, incident.subject_id)
    match incident.unmatched_state:
        case UnmatchedState.SUSPECTED:
            proven = await _prove(incident, payment, account, context)
            if proven is None or proven.unmatched_state is not UnmatchedState.RETURNING:
                return proven or incident
            return await _send_back(proven, payment, account, context, is_first=True)
        case UnmatchedState.RETURNING:
            return await _send_back(incident, payment, account, context, is_first=False)
        case _:
            return await _correct(incident, payment, account, context)


async def _prove(
    incident: Incident, payment: Payment | None, account: Account, context: UnmatchedContext
) -> Incident | None:
    """Ask what the wallet's record says, and commit what follows; None where somebody else was faster."""
    numbered = await context.table.of_same_trade(incident)
    if numbered is not None and not may_be_voided(numbered, incident):
        return await _record(incident, refute(incident, "this money is dealt with already"), context)
    states = await _reversal_states(payment, context)
    if ReversalState.DONE in states:
        return await _record(incident, refute(incident, "a reversal of ours undid the order"), context)
    if ReversalState.PENDING in states or numbered is not None:
        return await _record(incident, reschedule_unmatched(incident, context.gateway.clock.now()), context)
    order = _order(incident, payment, account, context)
    record = await _channel(order, context).query(order)
    if payment is not None and payment.state is not State.PAID and not order.names_trade:
        # The record is news as well: the price may have come after all, or other money than the notice said.
        payment = await record_notice(payment, record, context.gateway)
    for _ in range(MAX_TRIES):
        step = await _act_on(incident, payment, record, context)
        if step is not None or payment is None:
            return step
        # Somebody wrote the payment, or the incident, since it was read; what is known now is judged anew.
        payment = await context.gateway.store.payments.by_syssn(incident.mchid, incident.subject_id)
    return None


async def _act_on(
    incident: Incident, payment: Payment | None, record: Outcome, context: UnmatchedContext
) -> Incident | None:
    """Commit what the wallet's record makes of the news; None where somebody else was faster."""
    now = context.gateway.clock.now()
    match assess(incident, payment, record):
        case Confirmed(amount):
            return await _book(incident, payment, amount, now, context)
        case Refuted(why):
            return await _record(incident, refute(incident, why), context)
        case None:
            return await _record(incident, reschedule_unmatched(incident, now), context)


async def _book(
    incident: Incident, payment: Payment | None, amount: Money, now: datetime, context: UnmatchedContext
) -> Incident | None:
    """The intent: money, number and decision in one commit. A payment that waited for its price has failed."""
    syssn = await context.gateway.store.serials.syssn(now)
    after = confirm(incident, amount, syssn, returns=context.returns, at=now)
    fails = payment is not None and payment.state is State.PENDING
    change = Change(fail_mismatched(payment, now)) if payment is not None and fails else None
    booked = await _record(incident, after, context, payment=change)
    if booked is not None and payment is not None and change is not None:
        log_step(payment, change.after)
    return booked


async def _send_back(
    incident: Incident,
    payment: Payment | None,
    account: Account,
    context: UnmatchedContext,
    *,
    is_first: bool,
) -> Incident:
    if (
        incident.unmatched_state is not UnmatchedState.RETURNING
        or incident.amount is None
        or incident.asked_at is None
    ):
        return incident
    order = _order(incident, payment, account, context)
    channel = _channel(order, context)
    refund = ChannelRefund(
        order, incident.unmatched_syssn, incident.amount, incident.asked_at, order.notice_url
    )
    is_young = context.gateway.clock.now() - incident.asked_at < ARRIVED_BY_THEN
    if is_first:
        outcome = await channel.refund(refund)
    else:
        outcome = await channel.query_refund(refund)
        if isinstance(outcome, Unknown) and outcome.no_such_order:
            outcome = await channel.refund(refund)
            # Its word speaks for this repeat only, while the first question may still be on its way.
            if isinstance(outcome, Refused) and is_young:
                outcome = Unknown(f"a repeat was refused: {outcome.wallet_code}")
    now = context.gateway.clock.now()
    is_undone = ReversalState.DONE in await _reversal_states(payment, context)
    after = reschedule_unmatched(apply_return_outcome(incident, outcome, at=now, is_undone=is_undone), now)
    found = return_incidents_in(incident, outcome, at=now)
    log_incidents(found)
    return await _record(incident, after, context, incidents=found) or incident


async def _correct(
    incident: Incident, payment: Payment | None, account: Account, context: UnmatchedContext
) -> Incident:
    """Ask for the wallet's record of money that it refuses to send back; other money than was booked is other news.

    The booking is withdrawn first: until then the news would be held for money that is dealt with already.
    """
    order = _order(incident, payment, account, context)
    record = await _channel(order, context).query(order)
    now = context.gateway.clock.now()
    if payment is None or order.names_trade or not isinstance(record, Paid | Closed):
        after = reschedule_unmatched(incident, now)
    elif incident.unmatched_state is UnmatchedState.VOIDED:
        await record_notice(payment, record, context.gateway)
        after = replace(incident, check_at=None)
    else:
        taken_back = is_retracted(incident, record)
        after = void(incident, now) if taken_back else reschedule_unmatched(incident, now)
    return await _record(incident, after, context) or incident


async def _record(
    before: Incident,
    after: Incident,
    context: UnmatchedContext,
    *,
    payment: Change | None = None,
    incidents: tuple[Incident, ...] = (),
) -> Incident | None:
    entries = unmatched_entries(before, after, context.gateway.clock.now())
    if not await context.table.record(UnmatchedChange(after, entries, incidents, payment)):
        return None
    if after.unmatched_state is not before.unmatched_state:
        log.info(
            "unmatched.state_changed",
            mchid=after.mchid,
            subject_id=after.subject_id,
            kind=after.kind,
            unmatched_state=after.unmatched_state,
            unmatched_syssn=after.unmatched_syssn,
        )
    return replace(after, version=before.version + 1)


async def _reversal_states(payment: Payment | None, context: UnmatchedContext) -> set[ReversalState]:
    if payment is None:
        return set()
    reversals = await context.gateway.store.reversals.of_payment(payment.mchid, payment.syssn)
    return {reversal.state for reversal in reversals}


def _order(
    incident: Incident, payment: Payment | None, account: Account, context: UnmatchedContext
) -> ChannelOrder:
    """The wallet's order of this money: our payment's, or one made up from what the notice said."""
    if payment is None:
        order = _unmatched_order(
            account, unmatched_pay_type(account), incident, context.gateway.pages.public_url
        )
    else:
        order = order_for(payment, account, context.gateway.pages.public_url)
    return replace(
        order,
        amount=incident.amount or order.amount,
        wallet_ref=incident.wallet_ref,
        names_trade=incident.kind is IncidentKind.PAID_TWICE,
    )


def _channel(order: ChannelOrder, context: UnmatchedContext) -> Channel:
    return context.gateway.channel(order.pay_type)


def _unmatched_order(
    account: Account, pay_type: PayType, incident: Incident, public_url: str
) -> ChannelOrder:
    """An order that nobody here made, as far as a wallet's notice tells it: enough to ask and to send back."""
    return ChannelOrder(
        account=account,
        pay_type=pay_type,
        syssn=incident.subject_id,
        amount=incident.amount or Money(0, account.currency),
        subject="",
        created_at=incident.at,
        expires_at=incident.at,
        notice_url=notice_url(pay_type, account, public_url),
        return_url="",
    )
