"""Opening a payment, and responding to repeats of the same request.

Intent, request, record: a crash in between leaves a pending row that is due, never a guess.
"""

import asyncio
import hashlib
from datetime import timedelta
from typing import Final

import structlog
from msgspec import Struct

from tael.base import errors
from tael.base.admission import without_place
from tael.base.moments import moment_text
from tael.base.money import Money
from tael.base.pay_types import PayType, Region
from tael.channels.base import ChannelOrder
from tael.db.database import StoreUnavailable
from tael.merchants.credential_cache import AppContext
from tael.merchants.domain.merchant import Merchant
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import FIRST_CHECK, PayersSite, Payment, State
from tael.payments.outcomes import record_outcome, without_verdict
from tael.payments.wallets import order_for

log = structlog.get_logger()

#: How long a repeat waits for the response to the initial request.
WAIT_S: Final = 10.0
REREAD_S: Final = 0.05
#: No initial request takes longer; an older payment without an initial response belongs to a process that died.
MAX_INITIAL_REQUEST: Final = timedelta(seconds=40)


class PaymentRequest(Struct, frozen=True):
    """A merchant's request. `expires_after_s` is None for the pay type's default."""

    context: AppContext
    merchant: Merchant
    pay_type: PayType
    reference: str
    amount: Money
    auth_code: str
    openid: str
    subject: str
    client_time: str  #: "" for a checkout link without one: then ours is used
    device: str
    expires_after_s: int | None
    forbid_credit: bool = False
    goods_info: str = ""
    return_url: str = ""
    region: Region | None = None
    site: PayersSite | None = None


class Opening(Struct, frozen=True):
    """A new row, and the order to send to the wallet, with the payer's code, which is not stored."""

    payment: Payment
    order: ChannelOrder


async def open_payment(request: PaymentRequest, context: PaymentContext) -> Payment:
    """The payment after its initial request. Raises the TaelErrors of limits and repeats, and StoreUnavailable."""
    opening = await opening_of(request, context)
    refusal = refusal_by_limits(request.merchant, request.amount)
    if refusal is not None and await _is_new(opening.payment, context):
        raise refusal
    if refusal is None and await context.store.payments.open(opening.payment, request.merchant.volume_limits):
        return await send_initial_request(opening, context)
    return await _respond_to_repeat(opening, request, context)


async def opening_of(request: PaymentRequest, context: PaymentContext) -> Opening:
    """What `request` opens. Raises NoChannel, NotSetUp, OtherWalletsCode."""
    account = context.wallets.account_for(
        request.context, request.merchant, request.pay_type, request.auth_code
    )
    now = context.clock.now()
    # A barcode payment has a fixed lifetime: how long we wait for the payer's confirmation.
    lifetime_s = request.expires_after_s if request.pay_type.is_online else None
    expires_at = now + timedelta(seconds=lifetime_s or request.pay_type.expires_after_s)
    payment = Payment(
        mchid=request.merchant.mchid,
        syssn=await context.store.serials.syssn(now),
        appcode=request.context.app.appcode,
        pay_type=request.pay_type,
        reference=request.reference,
        amount=request.amount,
        account_id=account.account_id,
        protocol=account.protocol,
        content=content_of(request),
        subject=request.subject or f"{request.merchant.name} {request.reference}",
        openid=request.openid,
        client_time=request.client_time or moment_text(now),
        device=request.device,
        notify_merchant=request.pay_type.is_online or request.context.app.notify_offline,
        created_at=now,
        changed_at=now,
        expires_at=expires_at,
        deadline=expires_at,
        check_at=now + FIRST_CHECK,
        forbid_credit=request.forbid_credit,
        is_subject_ours=not request.subject,
        goods_info=request.goods_info,
        return_url=request.return_url,
        region=request.region,
        payer_ip=request.site.ip if request.site else "",
        scene_info=request.site.scene_info if request.site else "",
        fee_rate_ppm=account.fee_rate_ppm,
    )
    order = order_for(payment, account, context.wallets.public_url, request.auth_code)
    deadline = context.wallets.channel(account.protocol).deadline(order)
    return Opening(payment if deadline == expires_at else payment.replace(deadline=deadline), order)


def content_of(request: PaymentRequest) -> str:
    """Digest of the parameters that a repeat must not change. A digest, because the payer's code must not be stored."""
    parts = (
        request.pay_type.code,
        str(request.amount.amount_minor),
        request.amount.currency,
        request.auth_code,
        request.openid,
        # Only if set, so that the digests of existing payments stay the same.
        *(["no_credit"] if request.forbid_credit else []),
        *([f"region={request.region}"] if request.region else []),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


async def send_initial_request(opening: Opening, context: PaymentContext) -> Payment:
    """Send the initial request for a payment that was just committed, and record its outcome."""
    payment = opening.payment
    context.in_flight_requests.begin(payment.syssn)
    try:
        outcome = await context.wallets.channel(payment.protocol).open(opening.order)
        return await record_outcome(payment, outcome, context, is_first=True)
    except Exception as error:
        # The row exists and the wallet may have received the request: a job will query the outcome. No error here may
        # look like a failed payment.
        is_ours = not isinstance(error, StoreUnavailable)
        log.warning("payment.unrecorded", mchid=payment.mchid, syssn=payment.syssn, exc_info=is_ours)
        return payment
    finally:
        context.in_flight_requests.end(payment.syssn)


async def _respond_to_repeat(opening: Opening, request: PaymentRequest, context: PaymentContext) -> Payment:
    """The response to a request whose reference is in use, according to the unique constraint."""
    new = opening.payment
    existing = await context.store.payments.by_reference(new.mchid, new.reference)
    if existing is None:
        raise errors.ReferenceReused("this number belongs to a refund; use a new one")
    is_same = existing.content == new.content
    if is_same and is_in_flight(existing, context):
        return await await_initial_response(existing, context)
    if existing.state is State.FAILED:
        refusal = refusal_by_limits(request.merchant, request.amount)
        if refusal is not None:
            raise refusal
        if await context.store.payments.open_again(new, existing.syssn, request.merchant.volume_limits):
            return await send_initial_request(opening, context)
        return await _respond_to_repeat(opening, request, context)
    _refuse_ended(existing)
    if not is_same:
        raise errors.ReferenceReused("this number belongs to a payment with different content; use a new one")
    return await with_pay_data(existing, context)


async def with_pay_data(payment: Payment, context: PaymentContext) -> Payment:
    """`payment` with its pay data (what the payer opens or scans), requested again if it was lost."""
    if not lacks_pay_data(payment, context):
        return payment
    outcome = await context.wallets.channel(payment.protocol).open(await context.wallets.order(payment))
    return await record_outcome(payment, without_verdict(outcome), context)


def lacks_pay_data(payment: Payment, context: PaymentContext) -> bool:
    """Whether the pay data was lost with a response or has ended. The wallet returns it again for the same order."""
    now = context.clock.now()
    is_open = payment.state is State.PENDING and now < payment.expires_at
    return is_open and payment.pay_type.is_online and not payment.has_pay_data(now)


def is_in_flight(payment: Payment, context: PaymentContext) -> bool:
    """Whether the initial request is in flight, here or in another process."""
    if context.in_flight_requests.of(payment.syssn) is not None:
        return True
    return not payment.has_initial_response and context.clock.now() - payment.created_at < MAX_INITIAL_REQUEST


async def await_initial_response(payment: Payment, context: PaymentContext) -> Payment:
    """The payment once its initial request is over, or its current state after WAIT_S."""
    loop = asyncio.get_running_loop()
    until = loop.time() + WAIT_S
    in_flight = context.in_flight_requests.of(payment.syssn)
    if in_flight is not None:
        try:
            with without_place():
                await asyncio.wait_for(in_flight.wait(), WAIT_S)
        except TimeoutError:
            return payment
    while not payment.has_initial_response and loop.time() < until:
        payment = await context.store.payments.by_syssn(payment.mchid, payment.syssn) or payment
        if not payment.has_initial_response:
            with without_place():
                await asyncio.sleep(REREAD_S)
    return payment


def _refuse_ended(payment: Payment) -> None:
    """A reference whose payment has ended gets the same error, whatever the request's content."""
    if payment.state is State.CLOSED or payment.is_reversed:
        raise errors.OrderClosed("the order under this number is closed", payment_syssn=payment.syssn)
    if payment.state is State.EXPIRED:
        raise errors.OrderExpired("the order under this number has expired", payment_syssn=payment.syssn)
    if payment.refunded_minor:
        raise errors.AlreadyRefunded(
            "the payment under this number was refunded", payment_syssn=payment.syssn
        )


async def _is_new(payment: Payment, context: PaymentContext) -> bool:
    """Whether the reference is unused: a used one is reported before any limit is checked."""
    return await context.store.payments.by_reference(payment.mchid, payment.reference) is None


def refusal_by_limits(merchant: Merchant, amount: Money) -> errors.TaelError | None:
    """Why the merchant may not take this amount, or None."""
    if amount.currency != merchant.currency:
        return errors.CurrencyRefused(f"this merchant takes {merchant.currency}")
    if merchant.max_amount_minor is not None and amount.amount_minor > merchant.max_amount_minor:
        return errors.AmountRefused(f"this merchant takes at most {merchant.max_amount_minor}")
    return None
