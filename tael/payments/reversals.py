"""Undoing a barcode payment: intent committed, the wallet asked what is true, then asked to undo it; never both ways.

Where the wallet's document wants a refund instead, since it is too late to reverse, the reversal goes on as one.
Called by `api/trade.py`; `continue_reversal` is called by jobs until the wallet has decided.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from tael.base import errors
from tael.channels.base import ChannelRefund
from tael.channels.outcomes import Outcome, Paid, RefundOutcome, Refused, ReversalOutcome, Unknown
from tael.db.database import StoreUnavailable
from tael.incidents.domain.incident import Incident
from tael.incidents.log import log_incidents
from tael.merchants.domain.merchant import Merchant
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
from tael.payments.gateway import Gateway
from tael.payments.lookup import find_payment
from tael.payments.outcomes import consequences, log_step, record_outcome
from tael.payments.store.payments import Change

log = structlog.get_logger()

#: A reversal whose first question was not recorded is asked again after this time.
FIRST_CHECK: Final = timedelta(seconds=5)
#: Nothing that we sent is still on its way to a wallet after this time.
ARRIVED_BY_THEN: Final = timedelta(seconds=60)

Decide = Callable[[Reversal, Payment], tuple[Reversal, Payment]]


@dataclass(frozen=True, slots=True)
class ReversalRequest:
    """Which payment; one of the two numbers may be empty. The amount must be the payment's."""

    merchant: Merchant
    syssn: str
    reference: str
    amount_minor: int
    client_time: str


@dataclass(frozen=True, slots=True)
class ReversalResult:
    """Both rows, as they stand."""

    reversal: Reversal
    payment: Payment


async def reverse_payment(request: ReversalRequest, gateway: Gateway) -> ReversalResult:
    """The reversal after its first question, or before it where the wallet wants time. Raises TaelErrors."""
    payment = await find_payment(request.merchant.mchid, request.syssn, request.reference, gateway)
    if request.amount_minor != payment.amount.amount_minor:
        raise errors.Mismatch("txamt is not the payment's amount", **numbers_of(payment))
    if payment.reversal_syssn:
        return await _known(payment, gateway)
    reversal, payment = await _intend(payment, request.client_time, gateway)
    if reversal is None:
        return await _known(payment, gateway)
    if reversal.check_at == _earliest(payment, gateway):
        return ReversalResult(reversal, payment)
    try:
        return await continue_reversal(reversal, gateway, is_first=True)
    except StoreUnavailable:
        log.warning("reversal.unrecorded", mchid=payment.mchid, syssn=reversal.syssn)
        return ReversalResult(reversal, payment)


async def continue_reversal(
    reversal: Reversal, gateway: Gateway, *, is_first: bool = False
) -> ReversalResult:
    """Ask the wallet what is true, then to undo it, and record what it said."""
    payment = await gateway.store.payments.by_syssn(reversal.mchid, reversal.payment_syssn)
    if payment is None:
        raise LookupError(f"reversal {reversal.syssn} has lost its payment")
    if reversal.goes_by_refund:
        return await _continue_by_refund(reversal, payment, gateway, is_first=False)
    channel = gateway.channel(payment.pay_type)
    news: Outcome | None = None
    # A reversal of our own has asked before it was intended. To ask again would mistake a payment that it has
    # undone already, for one that was paid.
    if payment.state is State.PENDING and not reversal.fails_with:
        news = await channel.query(await gateway.order(payment))
        if isinstance(news, Paid):
            payment = await record_outcome(payment, news, gateway)
    order, asked_at = await gateway.order(payment), gateway.clock.now()
    said = final_outcome(await channel.reverse(order), payment, news, asked_at=asked_at)
    now = gateway.clock.now()

    def decide(current: Reversal, paid: Payment) -> tuple[Reversal, Payment]:
        return apply_reversal_outcome(current, paid, said, at=now, is_first=is_first)

    answer = await _record(reversal, said, decide, now, gateway)
    if answer.reversal.goes_by_refund and answer.reversal.state is ReversalState.PENDING:
        return await _continue_by_refund(answer.reversal, answer.payment, gateway, is_first=True)
    return answer


async def _continue_by_refund(
    reversal: Reversal, payment: Payment, gateway: Gateway, *, is_first: bool
) -> ReversalResult:
    """The whole payment refunded under the reversal's own number; asked first what became of it, then for it."""
    order = await gateway.order(payment)
    refund = ChannelRefund(order, reversal.syssn, payment.amount, reversal.created_at, order.notice_url)
    channel = gateway.channel(payment.pay_type)
    is_young = gateway.clock.now() - reversal.changed_at < ARRIVED_BY_THEN
    said = await channel.query_refund(refund)
    if isinstance(said, Unknown) and said.no_such_order:
        said = await channel.refund(refund)
        # Its word speaks for this repeat only, while an earlier question may still be on its way.
        if isinstance(said, Refused) and not is_first and is_young:
            said = Unknown(f"a repeat was refused: {said.wallet_code}")
    now = gateway.clock.now()

    def decide(current: Reversal, paid: Payment) -> tuple[Reversal, Payment]:
        return apply_reversal_refund_outcome(current, paid, said, at=now)

    return await _record(reversal, said, decide, now, gateway)


async def undo_payment(payment: Payment, fails_with: str, gateway: Gateway) -> Payment:
    """Undo a barcode payment that nobody waits for any more; it fails with `fails_with` unless it was paid."""
    reversal, payment = await _intend(payment, "", gateway, fails_with)
    return payment if reversal is None else (await continue_reversal(reversal, gateway)).payment


async def _intend(
    payment: Payment, client_time: str, gateway: Gateway, fails_with: str = ""
) -> tuple[Reversal | None, Payment]:
    """Commit the wish, reserving what was paid; no reversal if another one, or the payer, was faster."""
    now = gateway.clock.now()
    syssn = await gateway.store.serials.syssn(now)
    async with gateway.store.payments.locked(payment.mchid, payment.syssn) as (connection, current):
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
            amount_minor=amount_minor,
            client_time=client_time,
            fails_with=fails_with,
            created_at=now,
            changed_at=now,
            check_at=_earliest(current, gateway) or now + FIRST_CHECK,
        )
        marked = replace(current, reversal_syssn=syssn, reserved_minor=current.reserved_minor + amount_minor)
        await gateway.store.reversals.insert(connection, reversal, Change(marked))
    return reversal, replace(marked, version=current.version + 1)


def _earliest(payment: Payment, gateway: Gateway) -> datetime | None:
    """When the wallet takes a reversal of this payment, if that is still ahead; a decided one is undone at once."""
    if payment.state is not State.PENDING:
        return None
    earliest = payment.created_at + gateway.channel(payment.pay_type).reversal_after
    return earliest if earliest > gateway.clock.now() else None


async def _known(payment: Payment, gateway: Gateway) -> ReversalResult:
    """The first answer again."""
    reversal = await gateway.store.reversals.by_syssn(payment.mchid, payment.reversal_syssn)
    if reversal is None:
        raise LookupError(f"payment {payment.syssn} has lost its reversal")
    return ReversalResult(reversal, payment)


async def _record(
    reversal: Reversal, said: ReversalOutcome | RefundOutcome, decide: Decide, now: datetime, gateway: Gateway
) -> ReversalResult:
    """The reversal, its payment, entries, webhooks and incidents in one commit."""
    rows = gateway.store.reversals
    async with rows.locked(reversal.mchid, reversal.payment_syssn, reversal.syssn) as locked:
        found = reversal_incidents_in(locked.payment, reversal.syssn, said, at=now)
        settled, after = decide(locked.reversal, locked.payment)
        settled = reschedule_reversal(settled, now)
        change = reversal_consequences(locked.payment, after, settled, found)
        await rows.write(locked.connection, settled, change)
    log_incidents(found)
    log_step(locked.payment, after)
    if settled.state is not locked.reversal.state:
        log.info(
            "reversal.state_changed",
            mchid=settled.mchid,
            syssn=settled.syssn,
            state=settled.state,
            action=settled.action,
        )
    return ReversalResult(settled, after)


def reversal_consequences(
    before: Payment, after: Payment, reversal: Reversal, incidents: tuple[Incident, ...] = ()
) -> Change:
    """The entries of what moved: the payment where it was not booked yet, and its way back."""
    change = consequences(before, after, incidents)
    is_undone = after.is_reversed and not before.is_reversed and after.state is State.PAID
    if not is_undone or reversal.state is not ReversalState.DONE:
        return change
    at = reversal.changed_at
    fee_back = fee_back_entries(after, reversal.syssn, 0, after.amount.amount_minor, at)
    return replace(
        change,
        entries=(*change.entries, reversal_entry(after, reversal.syssn, at), *fee_back),
        webhooks=(),
    )
