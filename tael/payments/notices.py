"""Wallets' notices. A verified outcome is recorded; content that the signature does not cover only causes a query."""

from collections.abc import Mapping
from typing import Final

from tael.channels.base import BadSignature, PaymentNotice, RefundNotice
from tael.channels.outcomes import Closed, Outcome, Paid, Unknown
from tael.incidents.log import log_incidents
from tael.merchants.domain.account import Account
from tael.merchants.domain.merchant import App
from tael.payments.context import PaymentContext
from tael.payments.domain.incidents import unmatched_notice
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.reversal import ReversalState
from tael.payments.outcomes import record_notice, record_outcome
from tael.payments.refunds import check_refund
from tael.payments.reversals import continue_reversal

UNVERIFIED: Final = Unknown("the signature does not cover the outcome")


class NoticeRefused(Exception):
    """The notice failed verification or is not about an order of this account; the wallet gets a failure.

    The message is for the operator.
    """


class NoSuchAccount(NoticeRefused):
    """There is no account with this id."""


async def notified_account(wallet: str, account_id: str, context: PaymentContext) -> Account:
    """The account at `wallet` that a notice is about. Raises NoticeRefused, StoreUnavailable."""
    if "\0" in account_id:  # text in PostgreSQL cannot contain NUL
        raise NoSuchAccount("no such account")
    account = await context.wallets.credentials.account(account_id)
    if account is None:
        raise NoSuchAccount("no such account")
    if account.wallet != wallet:
        raise NoticeRefused("the account is at another wallet")
    return account


async def receive_notice(
    account: Account, headers: Mapping[str, str], body: bytes, context: PaymentContext
) -> None:
    """Verify and record a notice. Raises NoticeRefused, StoreUnavailable: then the wallet sends it again."""
    try:
        notice = await context.wallets.channel(account.protocol).read_notice(account, headers, body)
    except BadSignature as error:
        raise NoticeRefused(str(error)) from error
    match notice:
        case PaymentNotice(syssn, outcome, confirmed):
            payment = await _payment_of(account, syssn, outcome if confirmed else UNVERIFIED, context)
            # A closed order may have been paid before; only the wallet's query shows it.
            if confirmed and not isinstance(outcome, Closed):
                await record_notice(payment, outcome, context)
            else:
                await _query(payment, context)
        case RefundNotice(syssn, payment_syssn):
            await _receive_refund_notice(account, syssn, payment_syssn, context)


async def returned_account(account_id: str, context: PaymentContext) -> Account | None:
    """The account that a payer's browser returns from; None if there is none whose wallet signs returns."""
    account = await context.wallets.credentials.account(account_id)
    return account if account and context.wallets.capabilities(account).signs_returns else None


async def payment_returned(
    account: Account, query: Mapping[str, str], context: PaymentContext
) -> tuple[Payment, App] | None:
    """A payer's browser returned from the wallet: the payment's current state, or None if the signature is invalid.

    The call can be replayed by anyone, so it is only a hint and the wallet is queried.
    """
    syssn = context.wallets.channel(account.protocol).read_return(account, query)
    if syssn is None:
        return None
    payment = await context.store.payments.by_syssn(account.mchid, syssn)
    if payment is None or payment.account_id != account.account_id:
        return None
    if payment.state is not State.PAID:
        payment = await _query(payment, context)
    known = await context.wallets.credentials.app(payment.appcode)
    return (payment, known.app) if known else None


async def _receive_refund_notice(
    account: Account, syssn: str, payment_syssn: str, context: PaymentContext
) -> None:
    """The refund number may belong to a refund, to a reversal that became one, or to a returned unmatched payment."""
    store, mchid = context.store, account.mchid
    refund = await store.refunds.by_syssn(mchid, syssn)
    if refund is not None and refund.payment_syssn == payment_syssn:
        await check_refund(refund, context)
        return
    reversal = await store.reversals.by_syssn(mchid, syssn)
    if reversal is not None and reversal.payment_syssn == payment_syssn:
        if reversal.state is ReversalState.PENDING:
            await continue_reversal(reversal, context)
        return
    if not await store.incidents.expedite_return(mchid, payment_syssn, syssn, context.clock.now()):
        raise NoticeRefused("no such refund")


async def _payment_of(account: Account, syssn: str, outcome: Outcome, context: PaymentContext) -> Payment:
    """The payment of a verified notice. Raises NoticeRefused after writing an incident if there is none."""
    payment = await context.store.payments.by_syssn(account.mchid, syssn)
    if payment is not None and payment.account_id == account.account_id:
        return payment
    is_ours = payment is not None or await context.is_ours(syssn)
    # Later notices about returned money, such as the order's end, are not new incidents.
    existing = await context.store.incidents.of_subjects(account.mchid, [syssn])
    if isinstance(outcome, Paid) or not existing:
        report = unmatched_notice(account, syssn, outcome, is_ours=is_ours, at=context.clock.now())
        evidence = [report.evidence] if report.evidence else []
        await context.store.incidents.note([report.incident], evidence)
        log_incidents([report.incident])
    raise NoticeRefused("no such order")


async def _query(payment: Payment, context: PaymentContext) -> Payment:
    outcome = await context.wallets.channel(payment.protocol).query(await context.wallets.order(payment))
    return await record_outcome(payment, outcome, context)
