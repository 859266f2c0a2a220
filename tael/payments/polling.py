"""Asking wallets about what is undecided, until they decide or the order's time is over. Called by `jobs/polling.py`.

Expiry closes at the wallet first: only then is it safe to say that no more money comes.
"""

from datetime import datetime

from tael.base import respcd
from tael.channels.base import Channel
from tael.channels.outcomes import AwaitingPayer, Closed, Outcome, Paid, Unknown
from tael.merchants.domain.account import AlipayAccount
from tael.payments.domain.payment import Payment, State
from tael.payments.gateway import Gateway
from tael.payments.outcomes import record_outcome, without_verdict
from tael.payments.reversals import undo_payment


async def poll_payment(payment: Payment, gateway: Gateway) -> Payment:
    """One question about `payment`, recorded with the time of the next."""
    if payment.state is State.PENDING and payment.reversal_syssn:
        return await record_outcome(payment, Unknown("a reversal is under way and decides"), gateway)
    channel = gateway.channel(payment.pay_type)
    outcome = await channel.query(await gateway.order(payment))
    now = gateway.clock.now()  # a wallet that took its time may have answered past the expiry
    if payment.state is not State.PENDING or isinstance(outcome, Paid | Closed):
        return await record_outcome(payment, outcome, gateway)
    if not payment.pay_type.is_online:
        return await _poll_barcode(payment, outcome, channel, now, gateway)
    if payment.close_syssn or now >= payment.expires_at:
        outcome = await _closed_at_wallet(payment, outcome, channel, now, gateway)
    return await record_outcome(payment, without_verdict(outcome), gateway)


async def _poll_barcode(
    payment: Payment, outcome: Outcome, channel: Channel, now: datetime, gateway: Gateway
) -> Payment:
    """A payer's code that failed halfway, or was never confirmed in time, is undone at the wallet and then failed."""
    failed_halfway = isinstance(outcome, Unknown) and outcome.needs_reversal
    is_ripe = now >= payment.created_at + channel.reversal_after
    if now >= payment.expires_at:
        code = respcd.CODE_EXPIRED
    elif failed_halfway and is_ripe:
        code = respcd.SWIPE_FAILED
    else:
        return await record_outcome(payment, without_verdict(outcome), gateway)
    return await undo_payment(payment, code, gateway)


async def _closed_at_wallet(
    payment: Payment, seen: Outcome, channel: Channel, now: datetime, gateway: Gateway
) -> Outcome:
    """The wallet's word on closing; an account that cannot close lets the wallet's own time limit do it.

    Only where the query was answered: what cannot be read or verified may say that the order is paid.
    """
    account = await gateway.account(payment)
    if isinstance(account, AlipayAccount) and not account.supports_close:
        outcome = Closed() if isinstance(seen, AwaitingPayer) and now >= payment.deadline else seen
    else:
        outcome = await channel.close(await gateway.order(payment))
    is_missing = isinstance(outcome, Unknown) and outcome.no_such_order
    can_come_to_be = not payment.is_unopened and now < payment.known_from
    return Closed() if is_missing and not can_come_to_be else outcome
