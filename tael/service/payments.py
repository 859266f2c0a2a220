"""Opening a payment, and answering whoever asks for the same one again. Called by `api/trade.py`.

Intent, question, record. A crash in between leaves a pending row that is due, never a guess.
"""

import asyncio
import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import structlog

from tael.domain import errors
from tael.domain.merchant import Merchant
from tael.domain.money import Money
from tael.domain.payment import FIRST_CHECK, Payment, State
from tael.domain.paytype import PayType
from tael.domain.webhook import moment_text
from tael.service.directory import Known
from tael.service.gateway import Gateway, order_for
from tael.service.outcomes import record_outcome, without_verdict
from tael.store.database import StoreUnavailable

log = structlog.get_logger()

#: How long a repeat waits for the first one's answer.
WAIT_S: Final = 10.0
REREAD_S: Final = 0.05
#: No first question takes longer; a payment older than this and unanswered belongs to a process that died.
LONGEST_QUESTION: Final = timedelta(seconds=40)


@dataclass(frozen=True, slots=True)
class NewPayment:
    """What a merchant asks for. `expires_after_s` is None where the merchant leaves it to us."""

    caller: Known
    merchant: Merchant
    pay_type: PayType
    reference: str
    amount: Money
    auth_code: str
    openid: str
    subject: str
    client_time: str  #: "" of a checkout link without one: then it is our time
    device: str
    expires_after_s: int | None
    bars_credit: bool = False


async def open_payment(ask: NewPayment, gateway: Gateway) -> Payment:
    """The payment as it stands after its first question. Raises the TaelErrors of repeats, and StoreUnavailable."""
    payment = await pending_payment(ask, gateway)
    refusal = refusal_by_limits(ask.merchant, ask.amount)
    if refusal is not None and await _is_new(payment, gateway):
        raise refusal
    if refusal is None and await gateway.store.payments.open(payment):
        return await ask_first(payment, ask, gateway)
    return await _answer_repeat(payment, ask, gateway)


async def pending_payment(ask: NewPayment, gateway: Gateway) -> Payment:
    """A new row for `ask`. Raises NoChannel and NotSetUp."""
    account = ask.caller.account_for(ask.merchant, ask.pay_type)
    now = gateway.clock.now()
    asked_s = ask.expires_after_s if ask.pay_type.is_online else None  # a barcode lives as long as we wait
    expires_at = now + timedelta(seconds=asked_s or ask.pay_type.expires_after_s)
    payment = Payment(
        mchid=ask.merchant.mchid,
        syssn=await gateway.store.serials.syssn(now),
        appcode=ask.caller.app.appcode,
        pay_type=ask.pay_type,
        reference=ask.reference,
        amount=ask.amount,
        account_id=account.account_id,
        content=content_of(ask),
        subject=ask.subject or f"{ask.merchant.name} {ask.reference}",
        openid=ask.openid,
        client_time=ask.client_time or moment_text(now),
        device=ask.device,
        tells_merchant=ask.pay_type.is_online or ask.caller.app.tells_offline,
        created_at=now,
        changed_at=now,
        expires_at=expires_at,
        deadline=expires_at,
        check_at=now + FIRST_CHECK,
        bars_credit=ask.bars_credit,
        is_subject_ours=not ask.subject,
        fee_rate_ppm=account.fee_rate_ppm,
    )
    order = order_for(payment, account, gateway.public_url)
    return replace(payment, deadline=gateway.channel(ask.pay_type).deadline(order))


def content_of(ask: NewPayment) -> str:
    """What a repeat must agree in, as a digest: a payer's code is not kept."""
    parts = (
        ask.pay_type.code,
        str(ask.amount.amount_minor),
        ask.amount.currency,
        ask.auth_code,
        ask.openid,
        *(["no_credit"] if ask.bars_credit else []),  # only then: payments that are known keep their digest
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


async def ask_first(payment: Payment, ask: NewPayment, gateway: Gateway) -> Payment:
    """The first question about a payment that was just committed, and what it says."""
    gateway.first_answers.begin(payment.syssn)
    try:
        order = order_for(
            payment, ask.caller.account_for(ask.merchant, ask.pay_type), gateway.public_url, ask.auth_code
        )
        outcome = await gateway.channel(payment.pay_type).open(order)
        return await record_outcome(payment, outcome, gateway, is_first=True)
    except Exception as error:
        # The order exists and the wallet may have been asked: whatever it said, a job will hear it again. Nothing
        # that goes wrong here may look like a failed payment.
        is_ours = not isinstance(error, StoreUnavailable)
        log.warning("payment.unrecorded", mchid=payment.mchid, syssn=payment.syssn, exc_info=is_ours)
        return payment
    finally:
        gateway.first_answers.end(payment.syssn)


async def _answer_repeat(fresh: Payment, ask: NewPayment, gateway: Gateway) -> Payment:
    """The unique constraint decided that `fresh` is not the first under its number: what is the answer then?"""
    existing = await gateway.store.payments.by_reference(fresh.mchid, fresh.reference)
    if existing is None:
        raise errors.ReferenceReused("this number names a refund; use a new one")
    is_same = existing.content == fresh.content
    if is_same and is_being_asked(existing, gateway):
        return await first_answer(existing, gateway)
    if existing.state is State.FAILED:
        refusal = refusal_by_limits(ask.merchant, ask.amount)
        if refusal is not None:
            raise refusal
        if await gateway.store.payments.open_again(fresh, existing.syssn):
            return await ask_first(fresh, ask, gateway)
        return await _answer_repeat(fresh, ask, gateway)
    _refuse_ended(existing)
    if not is_same:
        raise errors.ReferenceReused("this number names a payment with other content; use a new one")
    return await with_pay_data(existing, gateway)


async def with_pay_data(payment: Payment, gateway: Gateway) -> Payment:
    """`payment` with what the payer opens or scans, asked for again if it was lost."""
    if not needs_its_pay_data(payment, gateway):
        return payment
    outcome = await gateway.channel(payment.pay_type).open(await gateway.order(payment))
    return await record_outcome(payment, without_verdict(outcome), gateway)


def needs_its_pay_data(payment: Payment, gateway: Gateway) -> bool:
    """Whether what the payer opens or scans was lost with an answer: the wallet gives it again, for the same order."""
    is_open = payment.state is State.PENDING and gateway.clock.now() < payment.expires_at
    return is_open and payment.pay_type.is_online and payment.pay is None


def is_being_asked(payment: Payment, gateway: Gateway) -> bool:
    """Whether the first question is out, here or in another process."""
    if gateway.first_answers.of(payment.syssn) is not None:
        return True
    return not payment.is_answered and gateway.clock.now() - payment.created_at < LONGEST_QUESTION


async def first_answer(payment: Payment, gateway: Gateway) -> Payment:
    """The payment once its first question is over, or as it is after WAIT_S."""
    loop = asyncio.get_running_loop()
    until = loop.time() + WAIT_S
    asking = gateway.first_answers.of(payment.syssn)
    if asking is not None:
        try:
            await asyncio.wait_for(asking.wait(), WAIT_S)
        except TimeoutError:
            return payment
    while not payment.is_answered and loop.time() < until:
        payment = await gateway.store.payments.by_syssn(payment.mchid, payment.syssn) or payment
        if not payment.is_answered:
            await asyncio.sleep(REREAD_S)
    return payment


def _refuse_ended(payment: Payment) -> None:
    """Numbers whose story is over answer how it ended, whatever is asked under them."""
    if payment.state is State.CLOSED or payment.is_reversed:
        raise errors.OrderClosed("the order under this number is closed", orig_syssn=payment.syssn)
    if payment.state is State.EXPIRED:
        raise errors.OrderExpired("the order under this number has expired", orig_syssn=payment.syssn)
    if payment.refunded_minor:
        raise errors.AlreadyRefunded("the payment under this number was refunded", orig_syssn=payment.syssn)


async def _is_new(payment: Payment, gateway: Gateway) -> bool:
    """Whether nothing has this reference: a number that was used answers as used before any limit is looked at."""
    return await gateway.store.payments.by_reference(payment.mchid, payment.reference) is None


def refusal_by_limits(merchant: Merchant, amount: Money) -> errors.TaelError | None:
    """Why the merchant may not take this amount, or None."""
    if amount.currency != merchant.currency:
        return errors.CurrencyRefused(f"this merchant takes {merchant.currency}")
    if merchant.most_minor is not None and amount.amount_minor > merchant.most_minor:
        return errors.AmountRefused(f"this merchant takes at most {merchant.most_minor}")
    return None
