"""What a merchant receives when money moved: the body of a webhook and its signature, in both styles. Pure.

Old style: the members of 2017, signed over their sorted text. New style: those of 2018 and later, signed over the
body's bytes. Every value is a string, so that no receiver rounds a long number.
"""

import json
from collections.abc import Mapping
from datetime import datetime

from tael.base.moments import moment_text
from tael.base.money import Money
from tael.base.secret import Secret
from tael.merchants.domain.merchant import Algorithm, App, Style
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import Refund
from tael.payments.store.payments import Payments
from tael.payments.store.refunds import Refunds
from tael.qfpay import codes, signature
from tael.webhooks.domain.webhook import WebhookKind
from tael.webhooks.store.queue import DueWebhook


def payment_members(payment: Payment, style: Style) -> dict[str, str]:
    """The members of the webhook of a paid payment."""
    old = {
        "mchid": payment.mchid,
        "syssn": payment.syssn,
        "pay_type": payment.pay_type.code,
        "out_trade_no": payment.reference,
        "txdtm": payment.client_time,
        "txamt": str(payment.amount.amount_minor),
        "respcd": codes.OK,
        "respmsg": "",
        "respmesg": "",
    }
    if style is Style.OLD:
        return old | ({"udid": payment.device} if payment.device else {})
    return _new_members(
        payment, payment.syssn, payment.reference, payment.amount, payment.client_time, payment.created_at
    ) | {
        "notify_type": "payment",
        "paydtm": moment_text(payment.paid_at or payment.changed_at),
        "chnlsn": payment.wallet_ref,
        "goods_name": payment.goods_name,
        "cancel": "0",
    }


def refund_members(payment: Payment, refund: Refund) -> dict[str, str]:
    """The members of the new-style webhook of a completed refund."""
    return _new_members(
        payment, refund.syssn, refund.reference, refund.amount, refund.client_time, refund.created_at
    ) | {
        "notify_type": "refund",
        "paydtm": moment_text(refund.done_at or refund.changed_at),
        "chnlsn": refund.wallet_ref,
        "goods_name": payment.goods_name,
        "cancel": "0",
        "orig_syssn": payment.syssn,
        "orig_out_trade_no": payment.reference,
        "cash_refund_fee": "",
        "cash_refund_fee_type": "",
    }


def body_of(members: Mapping[str, str]) -> bytes:
    """The body; the same bytes for the same members."""
    return json.dumps(dict(members)).encode("ascii")


def sign(body: bytes, style: Style, key: Secret, algorithm: Algorithm = "MD5") -> str:
    """The value of X-QF-SIGN. The old style is always signed with MD5."""
    if style is Style.NEW:
        return signature.sign_body(body, key, algorithm)
    members: dict[str, str] = json.loads(body)
    return signature.sign_members(members, key)


def _new_members(
    payment: Payment, syssn: str, reference: str, amount: Money, client_time: str, created_at: datetime
) -> dict[str, str]:
    return {
        "status": "1",
        "pay_type": payment.pay_type.code,
        "sysdtm": moment_text(created_at),
        "txcurrcd": amount.currency,
        "txdtm": client_time,
        "mchid": payment.mchid,
        "txamt": str(amount.amount_minor),
        "exchange_rate": "",
        "chnlsn2": "",
        "out_trade_no": reference,
        "syssn": syssn,
        "cash_fee_type": "",
        "respcd": codes.OK,
        "goods_info": "",
        "cash_fee": "",
        "cardcd": payment.payer_ref,
    }


class WebhookRenderer:
    """Renders webhooks from the rows that they are about."""

    def __init__(self, payments: Payments, refunds: Refunds) -> None:
        self._payments = payments
        self._refunds = refunds

    async def body(self, webhook: DueWebhook, style: Style) -> bytes:
        """Raises StoreUnavailable, and LookupError if a row is gone, which the database forbids."""
        payment = await self._payments.by_syssn(webhook.mchid, webhook.payment_syssn)
        if payment is None:
            raise LookupError(f"webhook of {webhook.cause} has lost its payment")
        if webhook.kind is WebhookKind.PAYMENT:
            return body_of(payment_members(payment, style))
        refund = await self._refunds.by_syssn(webhook.mchid, webhook.cause)
        if refund is None:
            raise LookupError(f"webhook of {webhook.cause} has lost its refund")
        return body_of(refund_members(payment, refund))

    def sign(self, body: bytes, style: Style, app: App, now: datetime) -> str:
        return sign(body, style, app.webhook_key(now), app.response_algorithm)
