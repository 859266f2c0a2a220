"""A wallet calls us. Proven news enters by the one door; what its signature does not cover only makes us ask."""

from collections.abc import Mapping

import structlog

from tael.channels.base import BadSignature, PaymentNotice, RefundNotice
from tael.domain.account import Account
from tael.domain.merchant import App
from tael.domain.outcome import Closed
from tael.domain.payment import Payment, State
from tael.domain.paytype import Wallet
from tael.service.gateway import Gateway
from tael.service.outcomes import record_notice, record_outcome
from tael.service.refunds import check_refund

log = structlog.get_logger()


class NoticeRefused(Exception):
    """The notice is not proven, or not about an order of this account; the wallet is told that it failed."""


async def receive_notice(
    wallet: Wallet, account_id: str, headers: Mapping[str, str], body: bytes, gateway: Gateway
) -> None:
    """Take in a notice. Raises NoticeRefused, StoreUnavailable: then the wallet sends it again."""
    account = await gateway.directory.account(account_id)
    if account is None:
        raise NoticeRefused("no such account")
    try:
        notice = await gateway.channels[wallet].read_notice(account, headers, body)
    except (BadSignature, TypeError) as error:
        log.warning("notice.refused", wallet=wallet, account_id=account_id)
        raise NoticeRefused("the notice is not proven") from error
    match notice:
        case PaymentNotice(syssn, outcome, confirmed):
            payment = await _payment_of(account, syssn, gateway)
            # That an order is closed does not say whether it was ever paid; the wallet's query does.
            if confirmed and not isinstance(outcome, Closed):
                await record_notice(payment, outcome, gateway)
            else:
                await _ask_about(payment, gateway)
        case RefundNotice(syssn, payment_syssn):
            await _payment_of(account, payment_syssn, gateway)
            refund = await gateway.store.refunds.by_syssn(account.mchid, syssn)
            if refund is None or refund.payment_syssn != payment_syssn:
                raise NoticeRefused("no such refund")
            await check_refund(refund, gateway)


async def payment_returned(
    account_id: str, query: Mapping[str, str], gateway: Gateway
) -> tuple[Payment, App] | None:
    """A payer's browser came back from Alipay: the payment as the wallet now says, or None if the call is not proven.

    The call is a hint that anybody may replay, so the wallet is asked.
    """
    account = await gateway.directory.account(account_id)
    if account is None:
        return None
    syssn = gateway.channels[Wallet.ALIPAY].read_return(account, query)
    if syssn is None:
        return None
    payment = await gateway.store.payments.by_syssn(account.mchid, syssn)
    if payment is None or payment.account_id != account_id:
        return None
    if payment.state is not State.PAID:
        payment = await _ask_about(payment, gateway)
    known = await gateway.directory.app(payment.appcode)
    return (payment, known.app) if known else None


async def _payment_of(account: Account, syssn: str, gateway: Gateway) -> Payment:
    payment = await gateway.store.payments.by_syssn(account.mchid, syssn)
    if payment is None or payment.account_id != account.account_id:
        log.error("incident", about="a notice for an order that this account does not have", syssn=syssn)
        raise NoticeRefused("no such order")
    return payment


async def _ask_about(payment: Payment, gateway: Gateway) -> Payment:
    outcome = await gateway.channel(payment.pay_type).query(await gateway.order(payment))
    return await record_outcome(payment, outcome, gateway)
