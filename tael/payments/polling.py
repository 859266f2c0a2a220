"""Polling wallets about undecided payments, until the wallet decides or the order expires.

On expiry the order is closed at the wallet first: only then is it certain that no more money arrives.
"""

from datetime import datetime

from tael.base.reasons import Reason
from tael.channels.base import Channel
from tael.channels.outcomes import AwaitingPayer, Closed, Outcome, Paid, Unknown
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import Payment, State
from tael.payments.outcomes import record_outcome, without_verdict
from tael.payments.reversals import undo_payment


async def poll_payment(payment: Payment, context: PaymentContext) -> Payment:
    """Query `payment` once and record the outcome with the time of the next poll."""
    if payment.state is State.PENDING and payment.reversal_syssn:
        return await record_outcome(payment, Unknown("a reversal is in progress and decides"), context)
    channel = context.wallets.channel(payment.protocol)
    outcome = await channel.query(await context.wallets.order(payment))
    now = context.clock.now()  # after the response: a slow wallet may have responded past the expiry
    if payment.state is not State.PENDING or isinstance(outcome, Paid | Closed):
        return await record_outcome(payment, outcome, context)
    if not payment.pay_type.is_online:
        return await _poll_barcode(payment, outcome, channel, now, context)
    if payment.close_syssn or now >= payment.expires_at:
        outcome = await _closed_at_wallet(payment, outcome, channel, now, context)
    return await record_outcome(payment, without_verdict(outcome), context)


async def _poll_barcode(
    payment: Payment, outcome: Outcome, channel: Channel, now: datetime, context: PaymentContext
) -> Payment:
    """A barcode payment that failed halfway or was not confirmed in time is reversed at the wallet, then fails."""
    failed_halfway = isinstance(outcome, Unknown) and outcome.needs_reversal
    is_reversible_now = now >= payment.created_at + channel.reversal_after
    if now >= payment.expires_at:
        reason = Reason.PAYER_CODE_EXPIRED
    elif failed_halfway and is_reversible_now:
        reason = Reason.SWIPE_FAILED
    else:
        return await record_outcome(payment, without_verdict(outcome), context)
    return await undo_payment(payment, reason, context)


async def _closed_at_wallet(
    payment: Payment, queried: Outcome, channel: Channel, now: datetime, context: PaymentContext
) -> Outcome:
    """The outcome of closing at the wallet; for an account that cannot close, of the wallet's own time limit.

    The time limit counts only if the query was answered: an unreadable or unverified response may mean "paid".
    """
    account = await context.wallets.account(payment)
    if not context.wallets.capabilities(account).supports_close:
        outcome = Closed() if isinstance(queried, AwaitingPayer) and now >= payment.deadline else queried
    else:
        outcome = await channel.close(await context.wallets.order(payment))
    is_missing = isinstance(outcome, Unknown) and outcome.no_such_order
    may_arrive = not payment.is_unopened and now < payment.absence_final_from
    return Closed() if is_missing and not may_arrive else outcome
