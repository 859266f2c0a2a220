"""Unmatched payments: confirmed by the wallet's own record, booked, then returned once or held.

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
from tael.channels.outcomes import Outcome, Refused, Unknown
from tael.incidents.domain.evidence import Evidence
from tael.incidents.domain.incident import Incident, IncidentKind
from tael.incidents.log import log_incidents
from tael.merchants.domain.account import Account
from tael.merchants.domain.merchant import UnmatchedPolicy
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.reversal import ReversalState
from tael.payments.outcomes import log_step, record_notice
from tael.payments.store.payments import Change
from tael.payments.wallets import Wallets, notice_url, order_for
from tael.unmatched.domain.unmatched import (
    Confirmed,
    Refuted,
    UnmatchedPayment,
    UnmatchedState,
    apply_return_outcome,
    assess,
    begin_return,
    confirm,
    fail_mismatched,
    is_contradicted,
    is_reminder_due,
    refute,
    reschedule_unmatched,
    resolves_incidents,
    return_incidents_in,
    successor,
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

    payments: PaymentContext
    table: UnmatchedPayments


async def advance_unmatched(unmatched: UnmatchedPayment, context: UnmatchedContext) -> UnmatchedPayment:
    """Advance an unmatched payment by one step; returns it afterwards."""
    account = await context.payments.wallets.credentials.account(unmatched.account_id)
    if account is None:
        raise LookupError(
            f"the account {unmatched.account_id} of unmatched payment {unmatched.unmatched_id} is missing"
        )
    payment = await context.payments.store.payments.by_syssn(unmatched.mchid, unmatched.subject_id)
    match unmatched.state:
        case UnmatchedState.SUSPECTED:
            confirmed = await _confirm(unmatched, payment, account, context)
            return await _return(confirmed or unmatched, payment, account, context, is_first=True)
        case UnmatchedState.RETURNING:
            return await _return(unmatched, payment, account, context, is_first=False)
        case _:
            checked = await _recheck(unmatched, payment, account, context)
            return await _return(checked or unmatched, payment, account, context, is_first=True)


async def _confirm(
    unmatched: UnmatchedPayment, payment: Payment | None, account: Account, context: UnmatchedContext
) -> UnmatchedPayment | None:
    """Query the wallet's record and commit the result; None if the row changed meanwhile."""
    numbered = await context.table.of_same_trade(unmatched)
    if numbered is not None:
        return await _record(unmatched, refute(unmatched, "this money is already handled"), context)
    states = await _reversal_states(payment, context)
    if ReversalState.DONE in states:
        return await _record(unmatched, refute(unmatched, "a reversal of ours undid the order"), context)
    if ReversalState.PENDING in states:
        return await _record(
            unmatched, reschedule_unmatched(unmatched, context.payments.clock.now()), context
        )
    order = _order(unmatched, payment, account, context)
    record = await _channel(order, context).query(order)
    if payment is not None and payment.state is not State.PAID and not order.names_trade:
        # The record is an outcome as well: it may show the price after all, or another amount than the notice.
        payment = await record_notice(payment, record, context.payments)
    for _ in range(MAX_TRIES):
        step = await _act_on(unmatched, payment, record, context)
        if step is not None or payment is None:
            return step
        # The payment or the unmatched payment changed since it was read: assess again on the new row.
        payment = await context.payments.store.payments.by_syssn(unmatched.mchid, unmatched.subject_id)
    return None


async def _act_on(
    unmatched: UnmatchedPayment, payment: Payment | None, record: Outcome, context: UnmatchedContext
) -> UnmatchedPayment | None:
    """Commit what the wallet's record implies; None if a row changed meanwhile."""
    now = context.payments.clock.now()
    match assess(unmatched, payment, record):
        case Confirmed(amount):
            return await _book(unmatched, payment, amount, now, context)
        case Refuted(why):
            return await _record(unmatched, refute(unmatched, why), context)
        case None:
            return await _record(unmatched, reschedule_unmatched(unmatched, now), context)


async def _book(
    unmatched: UnmatchedPayment,
    payment: Payment | None,
    amount: Money,
    now: datetime,
    context: UnmatchedContext,
) -> UnmatchedPayment | None:
    """Commit the intent: amount, number and decision. A payment that was pending for this money fails."""
    syssn = await context.payments.store.serials.syssn(now)
    after = confirm(unmatched, amount, syssn, await _policy(unmatched, context), now)
    fails = payment is not None and payment.state is State.PENDING
    change = Change(fail_mismatched(payment, now)) if payment is not None and fails else None
    booked = await _record(unmatched, after, context, payment=change)
    if booked is not None and payment is not None and change is not None:
        log_step(payment, change.after)
    return booked


async def _return(
    unmatched: UnmatchedPayment,
    payment: Payment | None,
    account: Account,
    context: UnmatchedContext,
    *,
    is_first: bool,
) -> UnmatchedPayment:
    """Request its refund, or query it first unless this is the first request. Nothing happens in another state."""
    if (
        unmatched.state is not UnmatchedState.RETURNING
        or unmatched.amount is None
        or unmatched.asked_at is None
    ):
        return unmatched
    order = _order(unmatched, payment, account, context)
    channel = _channel(order, context)
    refund = ChannelRefund(order, unmatched.syssn, unmatched.amount, unmatched.asked_at, order.notice_url)
    is_young = context.payments.clock.now() - unmatched.asked_at < MAX_REQUEST_TRANSIT
    if is_first:
        outcome = await channel.refund(refund)
    else:
        outcome = await channel.query_refund(refund)
        if isinstance(outcome, Unknown) and outcome.no_such_order:
            outcome = await channel.refund(refund)
            # The refusal is about this repeat only, while the initial request may still be on its way.
            if isinstance(outcome, Refused) and is_young:
                outcome = Unknown(f"a repeat was refused: {outcome.wallet_code}")
    now = context.payments.clock.now()
    is_undone = ReversalState.DONE in await _reversal_states(payment, context)
    after = reschedule_unmatched(apply_return_outcome(unmatched, outcome, at=now, is_undone=is_undone), now)
    incidents = return_incidents_in(unmatched, outcome, at=now)
    log_incidents(incidents)
    return await _record(unmatched, after, context, incidents=incidents) or unmatched


async def _recheck(
    unmatched: UnmatchedPayment, payment: Payment | None, account: Account, context: UnmatchedContext
) -> UnmatchedPayment | None:
    """Query the wallet's record of booked money again; None if the row changed meanwhile.

    If it is confirmed and its return approved, the return is committed. The money may have gone back without us, or
    its first record may have been false, which can also be why the wallet refused to return it. Then the booking is
    voided, and its successor is confirmed like a new event. The log reminds of what is held, once a day.
    """
    order = _order(unmatched, payment, account, context)
    record = await _channel(order, context).query(order)
    now = context.payments.clock.now()
    if is_contradicted(unmatched, record):
        incident, evidence = successor(unmatched, now)
        after = void(unmatched)
        voided = await _record(unmatched, after, context, incidents=(incident,), evidence=(evidence,))
        if voided is not None:
            log_incidents([incident])
        return voided
    if unmatched.state is UnmatchedState.APPROVED and await _is_confirmed(
        unmatched, payment, record, context
    ):
        return await _record(unmatched, begin_return(unmatched, now), context)
    rescheduled = await _record(unmatched, reschedule_unmatched(unmatched, now), context)
    if rescheduled is not None and is_reminder_due(unmatched, now):
        _log_reminder(rescheduled, now)
    return rescheduled


async def _is_confirmed(
    approved: UnmatchedPayment, payment: Payment | None, record: Outcome, context: UnmatchedContext
) -> bool:
    """Whether the record still shows the money, and no reversal of ours is about to undo the order."""
    is_there = isinstance(assess(approved, payment, record), Confirmed)
    return is_there and ReversalState.PENDING not in await _reversal_states(payment, context)


async def _record(
    before: UnmatchedPayment,
    after: UnmatchedPayment,
    context: UnmatchedContext,
    *,
    payment: Change | None = None,
    incidents: tuple[Incident, ...] = (),
    evidence: tuple[Evidence, ...] = (),
) -> UnmatchedPayment | None:
    now = context.payments.clock.now()
    change = UnmatchedChange(
        after,
        entries=unmatched_entries(before, after, now),
        incidents=incidents,
        evidence=evidence,
        payment=payment,
        resolved_at=now if resolves_incidents(after) else None,
    )
    if not await context.table.record(change):
        return None
    if after.state is not before.state:
        log.info(
            "unmatched.state_changed",
            mchid=after.mchid,
            unmatched_id=after.unmatched_id,
            subject_id=after.subject_id,
            kind=after.kind,
            state=after.state,
            syssn=after.syssn,
        )
    return replace(after, version=before.version + 1)


def _log_reminder(held: UnmatchedPayment, now: datetime) -> None:
    """Money that waits for an operator's decision, once a day."""
    log.warning(
        "unmatched.held",
        mchid=held.mchid,
        unmatched_id=held.unmatched_id,
        subject_id=held.subject_id,
        kind=held.kind,
        amount_minor=held.amount.amount_minor if held.amount else 0,
        currency=held.amount.currency if held.amount else "",
        age_s=int((now - (held.booked_at or held.at)).total_seconds()),
    )


async def _policy(unmatched: UnmatchedPayment, context: UnmatchedContext) -> UnmatchedPolicy:
    merchant = await context.payments.wallets.credentials.merchant(unmatched.mchid)
    if merchant is None:
        raise LookupError(f"the merchant {unmatched.mchid} is missing")
    return merchant.unmatched_payments


async def _reversal_states(payment: Payment | None, context: UnmatchedContext) -> set[ReversalState]:
    if payment is None:
        return set()
    reversals = await context.payments.store.reversals.of_payment(payment.mchid, payment.syssn)
    return {reversal.state for reversal in reversals}


def _order(
    unmatched: UnmatchedPayment, payment: Payment | None, account: Account, context: UnmatchedContext
) -> ChannelOrder:
    """The wallet's order of this money: our payment's, or one reconstructed from the notice."""
    if payment is None:
        order = order_without_payment(
            account, unmatched.subject_id, unmatched.amount, unmatched.at, context.payments.wallets
        )
    else:
        order = order_for(payment, account, context.payments.wallets.public_url)
    return order.replace(
        amount=unmatched.amount or order.amount,
        wallet_ref=unmatched.wallet_ref,
        names_trade=unmatched.kind is IncidentKind.PAID_TWICE,
    )


def _channel(order: ChannelOrder, context: UnmatchedContext) -> Channel:
    return context.payments.wallets.channel(order.account.protocol)


def order_without_payment(
    account: Account, number: str, amount: Money | None, at: datetime, wallets: Wallets
) -> ChannelOrder:
    """An order that does not exist here, reconstructed from a wallet's report: enough to query and refund it."""
    return ChannelOrder(
        account=account,
        # Any that the account serves: queries and refunds do not depend on it.
        pay_type=PAY_TYPES[min(wallets.capabilities(account).pay_types)],
        syssn=number,
        amount=amount or Money(0, account.currency),
        subject="",
        created_at=at,
        expires_at=at,
        notice_url=notice_url(account, wallets.public_url),
        return_url="",
    )
