"""Unmatched payments: confirmed by the wallet's own record, booked, and returned once.

A notice alone moves nothing. Intent, request, record: the number of the refund is committed before the wallet is
called, and every repeat uses the same number.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES
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
    void,
)
from tael.unmatched.store.unmatched import UnmatchedChange, UnmatchedPayments

log = structlog.get_logger()

#: How often booking is retried when the payment changes meanwhile, before it waits for its next turn.
MAX_TRIES: Final = 3
#: No request of ours is still on its way to a wallet after this time.
MAX_REQUEST_TRANSIT: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class UnmatchedContext:
    """The dependencies of the use cases of unmatched payments."""

    gateway: Gateway
    table: UnmatchedPayments
    returns: bool = True  #: return confirmed money automatically


async def advance_unmatched(incident: Incident, context: UnmatchedContext) -> Incident:
    """Advance an unmatched payment by one step; returns the incident afterwards."""
    account = await context.gateway.credentials.account(incident.account_id)
    if account is None:
        raise LookupError(f"the account {incident.account_id} of incident {incident.incident_id} is missing")
    payment = await context.gateway.store.payments.by_syssn(incident.mchid, incident.subject_id)
    match incident.unmatched_state:
        case UnmatchedState.SUSPECTED:
            confirmed = await _confirm(incident, payment, account, context)
            if confirmed is None or confirmed.unmatched_state is not UnmatchedState.RETURNING:
                return confirmed or incident
            return await _return(confirmed, payment, account, context, is_first=True)
        case UnmatchedState.RETURNING:
            return await _return(incident, payment, account, context, is_first=False)
        case _:
            return await _correct(incident, payment, account, context)


async def _confirm(
    incident: Incident, payment: Payment | None, account: Account, context: UnmatchedContext
) -> Incident | None:
    """Query the wallet's record and commit the result; None if the row changed meanwhile."""
    numbered = await context.table.of_same_trade(incident)
    if numbered is not None and not may_be_voided(numbered, incident):
        return await _record(incident, refute(incident, "this money is already handled"), context)
    states = await _reversal_states(payment, context)
    if ReversalState.DONE in states:
        return await _record(incident, refute(incident, "a reversal of ours undid the order"), context)
    if ReversalState.PENDING in states or numbered is not None:
        return await _record(incident, reschedule_unmatched(incident, context.gateway.clock.now()), context)
    order = _order(incident, payment, account, context)
    record = await _channel(order, context).query(order)
    if payment is not None and payment.state is not State.PAID and not order.names_trade:
        # The record is an outcome as well: it may show the price after all, or another amount than the notice.
        payment = await record_notice(payment, record, context.gateway)
    for _ in range(MAX_TRIES):
        step = await _act_on(incident, payment, record, context)
        if step is not None or payment is None:
            return step
        # The payment or the incident changed since it was read: assess again on the new row.
        payment = await context.gateway.store.payments.by_syssn(incident.mchid, incident.subject_id)
    return None


async def _act_on(
    incident: Incident, payment: Payment | None, record: Outcome, context: UnmatchedContext
) -> Incident | None:
    """Commit what the wallet's record implies; None if a row changed meanwhile."""
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
    """Commit the intent: amount, number and decision. A payment that was pending for this money fails."""
    syssn = await context.gateway.store.serials.syssn(now)
    after = confirm(incident, amount, syssn, returns=context.returns, at=now)
    fails = payment is not None and payment.state is State.PENDING
    change = Change(fail_mismatched(payment, now)) if payment is not None and fails else None
    booked = await _record(incident, after, context, payment=change)
    if booked is not None and payment is not None and change is not None:
        log_step(payment, change.after)
    return booked


async def _return(
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
    is_young = context.gateway.clock.now() - incident.asked_at < MAX_REQUEST_TRANSIT
    if is_first:
        outcome = await channel.refund(refund)
    else:
        outcome = await channel.query_refund(refund)
        if isinstance(outcome, Unknown) and outcome.no_such_order:
            outcome = await channel.refund(refund)
            # The refusal is about this repeat only, while the initial request may still be on its way.
            if isinstance(outcome, Refused) and is_young:
                outcome = Unknown(f"a repeat was refused: {outcome.wallet_code}")
    now = context.gateway.clock.now()
    is_undone = ReversalState.DONE in await _reversal_states(payment, context)
    after = reschedule_unmatched(apply_return_outcome(incident, outcome, at=now, is_undone=is_undone), now)
    incidents = return_incidents_in(incident, outcome, at=now)
    log_incidents(incidents)
    return await _record(incident, after, context, incidents=incidents) or incident


async def _correct(
    incident: Incident, payment: Payment | None, account: Account, context: UnmatchedContext
) -> Incident:
    """Query the wallet's record of money that it refuses to return. A record that differs from the booking voids it.

    The corrected record is recorded as a new event in a later step: before the booking is void, it would be refuted as
    money that is already handled.
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
        is_corrected = is_retracted(incident, record)
        after = void(incident, now) if is_corrected else reschedule_unmatched(incident, now)
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
    """The wallet's order of this money: our payment's, or one reconstructed from the notice."""
    if payment is None:
        order = _unmatched_order(account, incident, context.gateway)
    else:
        order = order_for(payment, account, context.gateway.pages.public_url)
    return replace(
        order,
        amount=incident.amount or order.amount,
        wallet_ref=incident.wallet_ref,
        names_trade=incident.kind is IncidentKind.PAID_TWICE,
    )


def _channel(order: ChannelOrder, context: UnmatchedContext) -> Channel:
    return context.gateway.channel(order.account.protocol)


def _unmatched_order(account: Account, incident: Incident, gateway: Gateway) -> ChannelOrder:
    """An order that does not exist here, reconstructed from a wallet's notice: enough to query and refund it."""
    return ChannelOrder(
        account=account,
        # Any that the account serves: queries and refunds do not depend on it.
        pay_type=PAY_TYPES[min(gateway.capabilities(account).pay_types)],
        syssn=incident.subject_id,
        amount=incident.amount or Money(0, account.currency),
        subject="",
        created_at=incident.at,
        expires_at=incident.at,
        notice_url=notice_url(account, gateway.pages.public_url),
        return_url="",
    )
