"""A wallet calls us. Proven news enters by the one door; what its signature does not cover only makes us ask."""

from collections.abc import Mapping
from typing import Final

from tael.base.pay_types import Wallet
from tael.channels.base import BadSignature, PaymentNotice, RefundNotice
from tael.channels.outcomes import Closed, Outcome, Paid, Unknown
from tael.incidents.log import log_incidents
from tael.merchants.domain.account import Account, AlipayAccount
from tael.merchants.domain.merchant import App
from tael.payments.domain.incidents import unmatched_notice
from tael.payments.domain.payment import Payment, State
from tael.payments.domain.reversal import ReversalState
from tael.payments.gateway import Gateway
from tael.payments.outcomes import record_notice, record_outcome
from tael.payments.refunds import check_refund
from tael.payments.reversals import continue_reversal

UNPROVEN: Final = Unknown("the signature does not cover the news")


class NoticeRefused(Exception):
    """The notice is not proven, or not about an order of this account; the wallet is told that it failed.

    The message is for the operator.
    """


class NoSuchAccount(NoticeRefused):
    """Nobody here has an account of this id."""


async def receive_notice(
    wallet: Wallet, account_id: str, headers: Mapping[str, str], body: bytes, gateway: Gateway
) -> None:
    """Take in a notice. Raises NoticeRefused, StoreUnavailable: then the wallet sends it again."""
    account = await gateway.credentials.account(account_id)
    if account is None:
        raise NoSuchAccount("no such account")
    try:
        notice = await gateway.channels[wallet].read_notice(account, headers, body)
    except (BadSignature, TypeError) as error:
        raise NoticeRefused(str(error)) from error
    match notice:
        case PaymentNotice(syssn, outcome, confirmed):
            payment = await _payment_of(account, syssn, outcome if confirmed else UNPROVEN, gateway)
            # That an order is closed does not say whether it was ever paid; the wallet's query does.
            if confirmed and not isinstance(outcome, Closed):
                await record_notice(payment, outcome, gateway)
            else:
                await _ask_about(payment, gateway)
        case RefundNotice(syssn, payment_syssn):
            await _money_went_back(account, syssn, payment_syssn, gateway)


async def payment_returned(
    account_id: str, query: Mapping[str, str], gateway: Gateway
) -> tuple[Payment, App] | None:
    """A payer's browser came back from Alipay: the payment as the wallet now says, or None if the call is not proven.

    The call is a hint that anybody may replay, so the wallet is asked.
    """
    account = await gateway.credentials.account(account_id)
    if not isinstance(account, AlipayAccount):
        return None
    syssn = gateway.channels[Wallet.ALIPAY].read_return(account, query)
    if syssn is None:
        return None
    payment = await gateway.store.payments.by_syssn(account.mchid, syssn)
    if payment is None or payment.account_id != account_id:
        return None
    if payment.state is not State.PAID:
        payment = await _ask_about(payment, gateway)
    known = await gateway.credentials.app(payment.appcode)
    return (payment, known.app) if known else None


async def _money_went_back(account: Account, syssn: str, payment_syssn: str, gateway: Gateway) -> None:
    """The refund number may belong to a refund, to a reversal that became one, or to a returned unmatched payment."""
    store, mchid = gateway.store, account.mchid
    refund = await store.refunds.by_syssn(mchid, syssn)
    if refund is not None and refund.payment_syssn == payment_syssn:
        await check_refund(refund, gateway)
        return
    reversal = await store.reversals.by_syssn(mchid, syssn)
    if reversal is not None and reversal.payment_syssn == payment_syssn:
        if reversal.state is ReversalState.PENDING:
            await continue_reversal(reversal, gateway)
        return
    if not await store.incidents.expedite_return(mchid, payment_syssn, syssn, gateway.clock.now()):
        raise NoticeRefused("no such refund")


async def _payment_of(account: Account, syssn: str, outcome: Outcome, gateway: Gateway) -> Payment:
    """The payment that a proven notice is about. Raises NoticeRefused, once the incident is written."""
    payment = await gateway.store.payments.by_syssn(account.mchid, syssn)
    if payment is not None and payment.account_id == account.account_id:
        return payment
    is_ours = payment is not None or await gateway.store.payments.find_anywhere(syssn) is not None
    # What follows on money that was sent back, such as the order's end, is nothing new to look at.
    known = await gateway.store.incidents.of_subjects(account.mchid, [syssn])
    if isinstance(outcome, Paid) or not known:
        found = (unmatched_notice(account, syssn, outcome, is_ours=is_ours, at=gateway.clock.now()),)
        await gateway.store.incidents.note(found)
        log_incidents(found)
    raise NoticeRefused("no such order")


async def _ask_about(payment: Payment, gateway: Gateway) -> Payment:
    outcome = await gateway.channel(payment.pay_type).query(await gateway.order(payment))
    return await record_outcome(payment, outcome, gateway)
