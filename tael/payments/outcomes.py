"""THE ONE DOOR: news about money, by whatever road it came, becomes state, ledger and webhooks in one commit.

Repeats and latecomers meet it too, and change nothing. What was decided is written only if nobody wrote since; after
one loss the row is locked, decided anew, and written.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import structlog

from tael.channels.outcomes import Outcome, RefundOutcome, Refused, Unknown
from tael.incidents.domain.incident import Incident
from tael.incidents.log import log_incidents
from tael.incidents.store.incidents import write_incidents
from tael.payments.domain.entries import fee_entries, payment_entry, refund_entry
from tael.payments.domain.incidents import incidents_in, refund_incidents_in
from tael.payments.domain.payment import Payment, State, apply_outcome, next_check, reschedule, shown_respcd
from tael.payments.domain.refund import Refund, RefundState, apply_refund_outcome, reschedule_refund
from tael.payments.gateway import Gateway
from tael.payments.store.payments import Change
from tael.payments.store.refunds import RefundChange
from tael.webhooks.domain.webhook import WebhookKind
from tael.webhooks.store.webhooks import NewWebhook

log = structlog.get_logger()

Decide = Callable[[Payment], Payment]


async def record_outcome(
    before: Payment, outcome: Outcome, gateway: Gateway, *, is_first: bool = False
) -> Payment:
    """What a wallet answered to a question of ours; writes the attempt and the next question, whatever was answered."""
    now = gateway.clock.now()

    def decide(current: Payment) -> Payment:
        return reschedule(apply_outcome(current, outcome, at=now, is_first=is_first), now)

    return await record_decision(before, outcome, decide, gateway)


async def record_notice(before: Payment, outcome: Outcome, gateway: Gateway) -> Payment:
    """What a wallet told us unasked."""
    now = gateway.clock.now()

    def decide(current: Payment) -> Payment:
        after = apply_outcome(current, outcome, at=now)
        if after.state is not current.state:
            return replace(after, check_at=next_check(after, now))
        return after

    return await record_decision(before, outcome, decide, gateway)


async def record_decision(before: Payment, outcome: Outcome, decide: Decide, gateway: Gateway) -> Payment:
    """Write what `decide` makes of the payment, and the incidents in the news.

    `decide` may be called again with a newer payment, and must be pure.
    """
    now = gateway.clock.now()
    after, found = decide(before), incidents_in(before, outcome, at=now)
    if after == before and not found:
        return before
    # An incident is judged on the row as it stands: promises of refunds explain some, and leave the version alone.
    if not found and await gateway.store.payments.record(consequences(before, after)):
        log_step(before, after)
        return replace(after, version=before.version + 1)
    async with gateway.store.payments.locked(before.mchid, before.syssn) as (connection, current):
        after, found = decide(current), incidents_in(current, outcome, at=now)
        if after == current:
            await write_incidents(connection, found)
        else:
            await gateway.store.payments.write(connection, consequences(current, after, found))
    log_incidents(found)
    log_step(current, after)
    return current if after == current else replace(after, version=current.version + 1)


def consequences(before: Payment, after: Payment, incidents: tuple[Incident, ...] = ()) -> Change:
    """What has to be written with `after`: what a person has to look at; entries and a webhook when money came in."""
    if after.state is not State.PAID or before.state is State.PAID:
        return Change(after, incidents=incidents)
    webhook = NewWebhook(
        after.mchid, after.syssn, WebhookKind.PAYMENT, after.appcode, after.syssn, after.changed_at
    )
    return Change(
        after,
        entries=(payment_entry(after, after.changed_at), *fee_entries(after, after.changed_at)),
        webhooks=(webhook,) if after.notify_merchant else (),
        incidents=incidents,
    )


async def record_refund_outcome(
    payment: Payment, before: Refund, outcome: RefundOutcome, gateway: Gateway, *, is_first: bool = False
) -> Refund:
    """What a wallet answered about a refund: the refund, its payment's sums, entry and webhook in one commit."""
    found = refund_incidents_in(payment, before, outcome, at=gateway.clock.now())
    decide = partial(_refund_after, outcome=outcome, gateway=gateway, is_first=is_first)
    after = decide(before)
    if await gateway.store.refunds.record(refund_consequences(payment, before, after, found)):
        log_incidents(found)
        if after.state is not before.state:
            log.info("refund.state_changed", mchid=after.mchid, syssn=after.syssn, state=after.state)
        return replace(after, version=before.version + 1)
    # Somebody was faster, and a refund is decided once: theirs stands, or ours is decided on it.
    current = await gateway.store.refunds.by_syssn(before.mchid, before.syssn) or before
    if current.state is not RefundState.PROCESSING:
        found = refund_incidents_in(payment, current, outcome, at=gateway.clock.now())
        if found:
            await gateway.store.incidents.note(found)
            log_incidents(found)
        return current
    return await record_refund_outcome(payment, current, outcome, gateway)


def refund_consequences(
    payment: Payment, before: Refund, after: Refund, incidents: tuple[Incident, ...] = ()
) -> RefundChange:
    """What has to be written with a refund: incidents; an entry and a webhook when it is done."""
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
    """`outcome` of a later question: a refused question says nothing of the payment that an earlier one made."""
    if isinstance(outcome, Refused):
        return Unknown(f"the wallet refused to say: {outcome.wallet_code}")
    return outcome


def log_step(before: Payment, after: Payment) -> None:
    if after.state is not before.state:
        log.info(
            "payment.state_changed",
            mchid=after.mchid,
            syssn=after.syssn,
            state=after.state,
            respcd=shown_respcd(after),
        )


def _refund_after(before: Refund, outcome: RefundOutcome, gateway: Gateway, is_first: bool) -> Refund:
    now = gateway.clock.now()
    return reschedule_refund(apply_refund_outcome(before, outcome, at=now, is_first=is_first), now)
