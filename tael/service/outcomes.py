"""THE ONE DOOR: news about money, by whatever road it came, becomes state, ledger and webhooks in one commit.

Repeats and latecomers meet it too, and change nothing. What was decided is written only if nobody wrote since; after
one loss the row is locked, decided anew, and written.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import structlog

from tael.domain.ledger import payment_entry, refund_entry
from tael.domain.outcome import Outcome, RefundOutcome, Refused, Unknown
from tael.domain.payment import Payment, State, incident_of, next_check, reschedule, settle, shown_respcd
from tael.domain.refund import Refund, RefundState, refund_incident_of, reschedule_refund, settle_refund
from tael.domain.webhook import WebhookKind
from tael.service.gateway import Gateway
from tael.store.payments import Change
from tael.store.refunds import RefundChange
from tael.store.webhooks import NewWebhook

log = structlog.get_logger()

Decide = Callable[[Payment], Payment]


async def record_outcome(
    before: Payment, outcome: Outcome, gateway: Gateway, *, is_first: bool = False
) -> Payment:
    """What a wallet answered to a question of ours; writes the attempt and the next question, whatever was answered."""
    report_incident(before, outcome)
    now = gateway.clock.now()

    def decide(current: Payment) -> Payment:
        return reschedule(settle(current, outcome, at=now, is_first=is_first), now)

    return await record_decision(before, decide, gateway)


async def record_notice(before: Payment, outcome: Outcome, gateway: Gateway) -> Payment:
    """What a wallet told us unasked."""
    report_incident(before, outcome)
    now = gateway.clock.now()

    def decide(current: Payment) -> Payment:
        after = settle(current, outcome, at=now)
        if after.state is not current.state:
            return replace(after, check_at=next_check(after, now))
        return after

    return await record_decision(before, decide, gateway)


async def record_decision(before: Payment, decide: Decide, gateway: Gateway) -> Payment:
    """Write what `decide` makes of the payment. It may be called again with a newer payment, and must be pure."""
    after = decide(before)
    if after == before:
        return before
    if await gateway.store.payments.record(consequences(before, after)):
        log_step(before, after)
        return replace(after, version=before.version + 1)
    async with gateway.store.payments.locked(before.mchid, before.syssn) as (connection, current):
        after = decide(current)
        if after == current:
            return current
        await gateway.store.payments.write(connection, consequences(current, after))
    log_step(current, after)
    return replace(after, version=current.version + 1)


def consequences(before: Payment, after: Payment) -> Change:
    """What has to be written with `after`: an entry and a webhook when money came in."""
    if after.state is not State.PAID or before.state is State.PAID:
        return Change(after)
    webhook = NewWebhook(
        after.mchid, after.syssn, WebhookKind.PAYMENT, after.appcode, after.syssn, after.changed_at
    )
    return Change(
        after,
        entries=(payment_entry(after, after.changed_at),),
        webhooks=(webhook,) if after.tells_merchant else (),
    )


async def record_refund_outcome(
    payment: Payment, before: Refund, outcome: RefundOutcome, gateway: Gateway, *, is_first: bool = False
) -> Refund:
    """What a wallet answered about a refund: the refund, its payment's sums, entry and webhook in one commit."""
    incident = refund_incident_of(before, outcome)
    if incident:
        log.error("incident", about=incident, mchid=before.mchid, syssn=before.syssn)
    decide = partial(_refund_after, outcome=outcome, gateway=gateway, is_first=is_first)
    after = decide(before)
    if await gateway.store.refunds.record(refund_consequences(payment, before, after)):
        if after.state is not before.state:
            log.info("refund.settled", mchid=after.mchid, syssn=after.syssn, state=after.state)
        return replace(after, version=before.version + 1)
    # Somebody was faster, and a refund is decided once: theirs stands, or ours is decided on it.
    current = await gateway.store.refunds.by_syssn(before.mchid, before.syssn) or before
    if current.state is not RefundState.PROCESSING:
        return current
    return await record_refund_outcome(payment, current, outcome, gateway)


def refund_consequences(payment: Payment, before: Refund, after: Refund) -> RefundChange:
    """What has to be written with a refund: an entry and a webhook when it is done."""
    is_decided = after.state is not before.state
    if after.state is not RefundState.DONE or not is_decided:
        return RefundChange(after, is_decided)
    webhook = NewWebhook(
        after.mchid, after.syssn, WebhookKind.REFUND, payment.appcode, payment.syssn, after.changed_at
    )
    return RefundChange(
        after,
        is_decided,
        entries=(refund_entry(payment, after, after.changed_at),),
        webhooks=(webhook,) if payment.tells_merchant else (),
    )


def without_verdict(outcome: Outcome) -> Outcome:
    """`outcome` of a later question: a refused question says nothing of the payment that an earlier one made."""
    if isinstance(outcome, Refused):
        return Unknown(f"the wallet refused to say: {outcome.wallet_code}")
    return outcome


def report_incident(before: Payment, outcome: Outcome) -> None:
    """Say loudly what a person has to look at."""
    incident = incident_of(before, outcome)
    if incident:
        log.error("incident", about=incident, mchid=before.mchid, syssn=before.syssn, state=before.state)


def log_step(before: Payment, after: Payment) -> None:
    if after.state is not before.state:
        log.info(
            "payment.settled",
            mchid=after.mchid,
            syssn=after.syssn,
            state=after.state,
            respcd=shown_respcd(after),
        )


def _refund_after(before: Refund, outcome: RefundOutcome, gateway: Gateway, is_first: bool) -> Refund:
    now = gateway.clock.now()
    return reschedule_refund(settle_refund(before, outcome, at=now, is_first=is_first), now)
