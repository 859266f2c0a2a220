"""The single entry point for outcomes: responses, notices and queries all become state, ledger and webhooks here.

State, ledger entries, webhooks and incidents are written in one commit. Repeated and late outcomes pass through here
too, and change nothing. A decision is written only if the row's version is unchanged (optimistic); after one conflict
the row is locked, and the decision is made again and written.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import structlog

from tael.base.metrics import PAYMENTS, REFUNDS
from tael.channels.outcomes import Outcome, RefundOutcome, Refused, Unknown
from tael.incidents.domain.evidence import Evidence
from tael.incidents.domain.incident import Incident
from tael.incidents.log import log_incidents
from tael.incidents.store.incidents import write_incidents
from tael.payments.context import PaymentContext
from tael.payments.domain.entries import fee_entries, payment_entry, refund_entry
from tael.payments.domain.incidents import evidence_in, incidents_in, refund_incidents_in
from tael.payments.domain.payment import Payment, State, apply_outcome, next_check, reschedule
from tael.payments.domain.refund import Refund, RefundState, apply_refund_outcome, reschedule_refund
from tael.payments.store.payments import Change
from tael.payments.store.refunds import RefundChange
from tael.webhooks.domain.webhook import WebhookKind
from tael.webhooks.store.webhooks import NewWebhook

log = structlog.get_logger()

Decide = Callable[[Payment], Payment]


async def record_outcome(
    before: Payment, outcome: Outcome, context: PaymentContext, *, is_first: bool = False
) -> Payment:
    """Record the outcome of a request of ours. The attempt and the time of the next poll are written in any case."""
    now = context.clock.now()

    def decide(current: Payment) -> Payment:
        return reschedule(apply_outcome(current, outcome, at=now, is_first=is_first), now)

    return await record_decision(before, outcome, decide, context)


async def record_notice(before: Payment, outcome: Outcome, context: PaymentContext) -> Payment:
    """Record the outcome in a wallet's notice."""
    now = context.clock.now()

    def decide(current: Payment) -> Payment:
        after = apply_outcome(current, outcome, at=now)
        if after.state is not current.state:
            return after.replace(check_at=next_check(after, now))
        return after

    return await record_decision(before, outcome, decide, context)


async def record_decision(
    before: Payment, outcome: Outcome, decide: Decide, context: PaymentContext
) -> Payment:
    """Write the result of `decide`, and the incidents in `outcome`.

    `decide` may be called again with a newer payment, and must be pure.
    """
    now = context.clock.now()
    single_trades = context.wallets.channel(before.protocol).refunds_single_trades
    found = partial(incidents_in, outcome=outcome, at=now, refunds_single_trades=single_trades)
    proven = partial(evidence_in, outcome=outcome, at=now, refunds_single_trades=single_trades)
    after, incidents = decide(before), found(before)
    if after == before and not incidents:
        return before
    # An incident is decided on the locked row: a refund's reservation can explain it, and does not change the version.
    if not incidents and await context.store.payments.record(consequences(before, after)):
        log_step(before, after)
        return after.replace(version=before.version + 1)
    async with context.store.payments.locked(before.mchid, before.syssn) as (connection, current):
        after, incidents, evidence = decide(current), found(current), proven(current)
        if after == current:
            await write_incidents(connection, incidents, evidence)
        else:
            change = consequences(current, after, incidents, evidence)
            await context.store.payments.write(connection, change)
    log_incidents(incidents)
    log_step(current, after)
    return current if after == current else after.replace(version=current.version + 1)


def consequences(
    before: Payment,
    after: Payment,
    incidents: tuple[Incident, ...] = (),
    evidence: tuple[Evidence, ...] = (),
) -> Change:
    """What is written with `after`: incidents; ledger entries and a webhook if it has just become PAID."""
    if after.state is not State.PAID or before.state is State.PAID:
        return Change(after, incidents=incidents, evidence=evidence)
    webhook = NewWebhook(
        after.mchid, after.syssn, WebhookKind.PAYMENT, after.appcode, after.syssn, after.changed_at
    )
    return Change(
        after,
        entries=(payment_entry(after, after.changed_at), *fee_entries(after, after.changed_at)),
        webhooks=(webhook,) if after.notify_merchant else (),
        incidents=incidents,
        evidence=evidence,
    )


async def record_refund_outcome(
    payment: Payment,
    before: Refund,
    outcome: RefundOutcome,
    context: PaymentContext,
    *,
    is_first: bool = False,
) -> Refund:
    """Record a refund's outcome: the refund, its payment's sums, entries and webhook in one commit."""
    incidents = refund_incidents_in(payment, before, outcome, at=context.clock.now())
    decide = partial(_refund_after, outcome=outcome, context=context, is_first=is_first)
    after = decide(before)
    if await context.store.refunds.record(refund_consequences(payment, before, after, incidents)):
        log_incidents(incidents)
        if after.state is not before.state:
            REFUNDS.count(payment.protocol, after.state)
            log.info("refund.state_changed", mchid=after.mchid, syssn=after.syssn, state=after.state)
        return replace(after, version=before.version + 1)
    # The row changed meanwhile. A refund is decided once: if it is decided, that stands; otherwise decide again.
    current = await context.store.refunds.by_syssn(before.mchid, before.syssn) or before
    if current.state is not RefundState.PROCESSING:
        incidents = refund_incidents_in(payment, current, outcome, at=context.clock.now())
        if incidents:
            await context.store.incidents.note(incidents)
            log_incidents(incidents)
        return current
    return await record_refund_outcome(payment, current, outcome, context)


def refund_consequences(
    payment: Payment, before: Refund, after: Refund, incidents: tuple[Incident, ...] = ()
) -> RefundChange:
    """What is written with a refund: incidents; an entry and a webhook if it has just become DONE."""
    is_decided = after.state is not before.state
    if after.state is not RefundState.DONE or not is_decided:
        return RefundChange(after, is_decided, incidents=incidents)
    webhook = NewWebhook(
        after.mchid, after.syssn, WebhookKind.REFUND, payment.appcode, payment.syssn, after.changed_at
    )
    return RefundChange(
        after,
        is_decided,
        entries=(refund_entry(payment, after, after.changed_at),),
        webhooks=(webhook,) if payment.notify_merchant else (),
        incidents=incidents,
    )


def without_verdict(outcome: Outcome) -> Outcome:
    """`outcome` of a request after the initial one: its refusal decides nothing about the payment already created."""
    if isinstance(outcome, Refused):
        return Unknown(f"the wallet refused the request: {outcome.wallet_code}")
    return outcome


def initialize_metrics(protocols: Iterable[str]) -> None:
    """So that the first payment of a protocol that comes into a state is an increase."""
    for protocol in protocols:
        for state in set(State) - {State.PENDING}:
            PAYMENTS.initialize(protocol, state)


def log_step(before: Payment, after: Payment) -> None:
    """Log and count the change of a state."""
    if after.state is not before.state:
        PAYMENTS.count(after.protocol, after.state)
        log.info(
            "payment.state_changed",
            mchid=after.mchid,
            syssn=after.syssn,
            state=after.state,
            reason=after.reason,
        )


def _refund_after(before: Refund, outcome: RefundOutcome, context: PaymentContext, is_first: bool) -> Refund:
    now = context.clock.now()
    return reschedule_refund(apply_refund_outcome(before, outcome, at=now, is_first=is_first), now)
