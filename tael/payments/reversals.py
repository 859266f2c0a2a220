"""Reversing a barcode payment: commit the intent, query the wallet, then close or refund it there, never both.

If it is too late to reverse and the wallet's documentation requires a refund instead, the reversal continues as one.
Jobs repeat `continue_reversal` until the wallet has decided.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from msgspec import structs

from tael.base import errors
from tael.base.metrics import REVERSALS
from tael.base.reasons import Reason
from tael.channels.base import ChannelRefund
from tael.channels.outcomes import Outcome, Paid, RefundOutcome, Refused, ReversalOutcome, Unknown
from tael.db.database import StoreUnavailable
from tael.incidents.domain.incident import Incident
from tael.incidents.log import log_incidents
from tael.merchants.domain.merchant import Merchant
from tael.payments.context import PaymentContext
from tael.payments.domain.entries import fee_back_entries, reversal_entry
from tael.payments.domain.incidents import reversal_incidents_in
from tael.payments.domain.payment import Payment, State, numbers_of
from tael.payments.domain.reversal import (
    Reversal,
    ReversalState,
    apply_reversal_outcome,
    apply_reversal_refund_outcome,
    final_outcome,
    refusal_to_reverse,
    reschedule_reversal,
)
from tael.payments.lookup import find_payment
from tael.payments.outcomes import consequences, log_step, record_outcome
from tael.payments.store.payments import Change

log = structlog.get_logger()

#: A reversal whose initial request was not recorded is repeated after this time.
FIRST_CHECK: Final = timedelta(seconds=5)
#: No request of ours is still on its way to a wallet after this time.
MAX_REQUEST_TRANSIT: Final = timedelta(seconds=60)

Decide = Callable[[Reversal, Payment], tuple[Reversal, Payment]]


@dataclass(frozen=True, slots=True)
class ReversalRequest:
    """The payment to reverse; one of the two numbers may be empty. The amount must be the payment's."""

    merchant: Merchant
    syssn: str
    reference: str
    amount_minor: int
    client_time: str


@dataclass(frozen=True, slots=True)
class ReversalResult:
    """The current rows."""

    reversal: Reversal
    payment: Payment


async def reverse_payment(request: ReversalRequest, context: PaymentContext) -> ReversalResult:
    """The reversal after its initial request, or before it if the wallet requires a delay. Raises TaelErrors."""
    payment = await find_payment(request.merchant.mchid, request.syssn, request.reference, context)
    if request.amount_minor != payment.amount.amount_minor:
        raise errors.Mismatch("txamt is not the payment's amount", **numbers_of(payment))
    if payment.reversal_syssn:
        return await _existing(payment, context)
    reversal, payment = await _commit_intent(payment, request.client_time, context)
    if reversal is None:
        return await _existing(payment, context)
    if reversal.check_at == _earliest_at(payment, context):
        return ReversalResult(reversal, payment)
    try:
        return await continue_reversal(reversal, context, is_first=True)
    except StoreUnavailable:
        log.warning("reversal.unrecorded", mchid=payment.mchid, syssn=reversal.syssn)
        return ReversalResult(reversal, payment)


async def continue_reversal(
    reversal: Reversal, context: PaymentContext, *, is_first: bool = False
) -> ReversalResult:
    """Query the wallet, then reverse the payment there, and record the outcome."""
    payment = await context.store.payments.by_syssn(reversal.mchid, reversal.payment_syssn)
    if payment is None:
        raise LookupError(f"the payment of reversal {reversal.syssn} is missing")
    if reversal.goes_by_refund:
        return await _continue_by_refund(reversal, payment, context, is_first=False)
    channel = context.wallets.channel(payment.protocol)
    queried: Outcome | None = None
    # A reversal of our own was decided after a query. A second query could mistake a payment that the reversal has
    # already undone for one that was paid.
    if payment.state is State.PENDING and not reversal.fails_with:
        queried = await channel.query(await context.wallets.order(payment))
        if isinstance(queried, Paid):
            payment = await record_outcome(payment, queried, context)
    order, requested_at = await context.wallets.order(payment), context.clock.now()
    outcome = final_outcome(await channel.reverse(order), payment, queried, requested_at=requested_at)
    now = context.clock.now()

    def decide(current: Reversal, paid: Payment) -> tuple[Reversal, Payment]:
        return apply_reversal_outcome(current, paid, outcome, at=now, is_first=is_first)

    result = await _record(reversal, outcome, decide, now, context)
    if result.reversal.goes_by_refund and result.reversal.state is ReversalState.PENDING:
        return await _continue_by_refund(result.reversal, result.payment, context, is_first=True)
    return result


async def _continue_by_refund(
    reversal: Reversal, payment: Payment, context: PaymentContext, *, is_first: bool
) -> ReversalResult:
    """Refund the full payment under the reversal's own number: query the refund first, then request it."""
    order = await context.wallets.order(payment)
    refund = ChannelRefund(order, reversal.syssn, payment.amount, reversal.created_at, order.notice_url)
    channel = context.wallets.channel(payment.protocol)
    is_young = context.clock.now() - reversal.changed_at < MAX_REQUEST_TRANSIT
    outcome = await channel.query_refund(refund)
    if isinstance(outcome, Unknown) and outcome.no_such_order:
        outcome = await channel.refund(refund)
        # The refusal is about this repeat only, while an earlier request may still be on its way.
        if isinstance(outcome, Refused) and not is_first and is_young:
            outcome = Unknown(f"a repeat was refused: {outcome.wallet_code}")
    now = context.clock.now()

    def decide(current: Reversal, paid: Payment) -> tuple[Reversal, Payment]:
        return apply_reversal_refund_outcome(current, paid, outcome, at=now)

    return await _record(reversal, outcome, decide, now, context)


async def undo_payment(payment: Payment, fails_with: Reason, context: PaymentContext) -> Payment:
    """Reverse a barcode payment on our own initiative; a pending one then fails with `fails_with`."""
    reversal, payment = await _commit_intent(payment, "", context, fails_with)
    return payment if reversal is None else (await continue_reversal(reversal, context)).payment


async def _commit_intent(
    payment: Payment, client_time: str, context: PaymentContext, fails_with: Reason | None = None
) -> tuple[Reversal | None, Payment]:
    """Commit the reversal, reserving what was paid. No reversal (None) if another one, or the payer, was faster."""
    now = context.clock.now()
    syssn = await context.store.serials.syssn(now)
    async with context.store.payments.locked(payment.mchid, payment.syssn) as (connection, current):
        if current.reversal_syssn or (fails_with and current.state is not State.PENDING):
            return None, current
        refusal = refusal_to_reverse(current)
        if refusal is not None:
            raise refusal
        amount_minor = current.refundable_minor if current.state is State.PAID else 0
        reversal = Reversal(
            mchid=current.mchid,
            syssn=syssn,
            payment_syssn=current.syssn,
            account_id=current.account_id,
            protocol=current.protocol,
            amount_minor=amount_minor,
            client_time=client_time,
            fails_with=fails_with,
            created_at=now,
            changed_at=now,
            check_at=_earliest_at(current, context) or now + FIRST_CHECK,
        )
        marked = current.replace(reversal_syssn=syssn, reserved_minor=current.reserved_minor + amount_minor)
        await context.store.reversals.insert(connection, reversal, Change(marked))
    return reversal, marked.replace(version=current.version + 1)


def _earliest_at(payment: Payment, context: PaymentContext) -> datetime | None:
    """When the wallet accepts a reversal of this payment, if in the future. A decided payment is reversed at once."""
    if payment.state is not State.PENDING:
        return None
    earliest_at = payment.created_at + context.wallets.channel(payment.protocol).reversal_after
    return earliest_at if earliest_at > context.clock.now() else None


async def _existing(payment: Payment, context: PaymentContext) -> ReversalResult:
    """The response to a repeat: the existing reversal."""
    reversal = await context.store.reversals.by_syssn(payment.mchid, payment.reversal_syssn)
    if reversal is None:
        raise LookupError(f"the reversal of payment {payment.syssn} is missing")
    return ReversalResult(reversal, payment)


async def _record(
    reversal: Reversal,
    outcome: ReversalOutcome | RefundOutcome,
    decide: Decide,
    now: datetime,
    context: PaymentContext,
) -> ReversalResult:
    """The reversal, its payment, entries, webhooks and incidents in one commit."""
    rows = context.store.reversals
    async with rows.locked(reversal.mchid, reversal.payment_syssn, reversal.syssn) as locked:
        incidents = reversal_incidents_in(locked.payment, reversal.syssn, outcome, at=now)
        decided, after = decide(locked.reversal, locked.payment)
        decided = reschedule_reversal(decided, now)
        change = reversal_consequences(locked.payment, after, decided, incidents)
        await rows.write(locked.connection, decided, change)
    log_incidents(incidents)
    log_step(locked.payment, after)
    if decided.state is not locked.reversal.state:
        REVERSALS.count(locked.payment.protocol, decided.state)
        log.info(
            "reversal.state_changed",
            mchid=decided.mchid,
            syssn=decided.syssn,
            state=decided.state,
            action=decided.action,
        )
    return ReversalResult(decided, after)


def reversal_consequences(
    before: Payment, after: Payment, reversal: Reversal, incidents: tuple[Incident, ...] = ()
) -> Change:
    """The entries of what moved: the payment, if it was not booked yet, and its return."""
    change = consequences(before, after, incidents)
    is_undone = after.is_reversed and not before.is_reversed and after.state is State.PAID
    if not is_undone or reversal.state is not ReversalState.DONE:
        return change
    at = reversal.changed_at
    fee_back = fee_back_entries(after, reversal.syssn, 0, after.amount.amount_minor, at)
    return structs.replace(
        change,
        entries=(*change.entries, reversal_entry(after, reversal.syssn, at), *fee_back),
        webhooks=(),
    )
