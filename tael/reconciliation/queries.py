"""Queries a wallet about a difference. A statement is not signed: only the wallet's verified answer decides anything.

What it answers is recorded by the single entry point of outcomes, like the answer to any other query. Money that no
order explains becomes the evidence of an unmatched payment, as it does when the wallet reports it in a notice.
"""

from tael.base.money import Money
from tael.channels.outcomes import Paid, Refunded
from tael.channels.statements import LineType
from tael.incidents.log import log_incidents
from tael.merchants.domain.account import Account
from tael.payments.context import PaymentContext
from tael.payments.domain.incidents import unmatched_notice
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.refund import Refund, RefundState
from tael.payments.domain.reversal import ReversalState
from tael.payments.outcomes import record_outcome, record_refund_outcome, without_verdict
from tael.payments.refunds import check_refund
from tael.payments.reversals import continue_reversal
from tael.reconciliation.domain.difference import Difference, DifferenceKind
from tael.unmatched.advance import order_without_payment


async def query_about(difference: Difference, account: Account, context: PaymentContext) -> None:
    """Query the wallet and record its answer. Raises StoreUnavailable."""
    match difference.type:
        case LineType.PAYMENT:
            await _query_payment(difference, account, context)
        case LineType.REFUND:
            await _query_refund(difference, context)
        case LineType.REVERSAL:
            await _continue_reversals(difference.mchid, difference.number, context)


async def _query_payment(difference: Difference, account: Account, context: PaymentContext) -> None:
    payment = await context.store.payments.by_syssn(difference.mchid, difference.number)
    if payment is None or payment.account_id != account.account_id:
        await _query_unknown(difference, account, is_ours=payment is not None, context=context)
    elif not (payment.state is State.PENDING and payment.reversal_syssn):  # the reversal decides
        await _query_order(difference, payment, context)


async def _query_order(difference: Difference, payment: Payment, context: PaymentContext) -> None:
    """A second trade is asked for by its own number, if the wallet can refund it alone."""
    channel = context.wallets.channel(payment.protocol)
    order = await context.wallets.order(payment)
    if (
        difference.kind is DifferenceKind.DUPLICATE
        and difference.wallet_ref
        and channel.refunds_single_trades
    ):
        order = order.replace(wallet_ref=difference.wallet_ref, names_trade=True)
    await record_outcome(payment, without_verdict(await channel.query(order)), context)


async def _query_unknown(
    difference: Difference, account: Account, *, is_ours: bool, context: PaymentContext
) -> None:
    """An order that this account did not create. Only an answer that it was paid is evidence."""
    line = difference.theirs
    amount = Money(line.amount_minor, line.currency) if line else None
    now = context.clock.now()
    order = order_without_payment(account, difference.number, amount, now, context.wallets)
    outcome = await context.wallets.channel(account.protocol).query(order)
    if not isinstance(outcome, Paid):
        return
    is_ours = is_ours or await context.is_ours(difference.number)
    report = unmatched_notice(account, difference.number, outcome, is_ours=is_ours, at=now)
    await context.store.incidents.note([report.incident], [report.evidence] if report.evidence else [])
    log_incidents([report.incident])


async def _query_refund(difference: Difference, context: PaymentContext) -> None:
    """The number may be of a refund, or of a reversal that became one. Returns of unmatched payments are polled."""
    mchid, number = difference.mchid, difference.number
    refund = await context.store.refunds.by_syssn(mchid, number)
    reversal = await context.store.reversals.by_syssn(mchid, number)
    if refund is not None and refund.state is RefundState.PROCESSING:
        await check_refund(refund, context)
    elif refund is not None:
        await _query_decided_refund(refund, context)
    elif reversal is not None:
        await _continue_reversals(mchid, reversal.payment_syssn, context)


async def _query_decided_refund(refund: Refund, context: PaymentContext) -> None:
    """A refund that is decided is never requested again, whatever the wallet answers."""
    payment = await context.store.payments.by_syssn(refund.mchid, refund.payment_syssn)
    if payment is None:
        raise LookupError(f"the payment of refund {refund.syssn} is missing")
    order = await context.wallets.refund_order(payment, refund)
    outcome = await context.wallets.channel(payment.protocol).query_refund(order)
    if isinstance(outcome, Refunded):
        await record_refund_outcome(payment, refund, outcome, context)


async def _continue_reversals(mchid: str, payment_syssn: str, context: PaymentContext) -> None:
    for reversal in await context.store.reversals.of_payment(mchid, payment_syssn):
        if reversal.state is ReversalState.PENDING:
            await continue_reversal(reversal, context)
