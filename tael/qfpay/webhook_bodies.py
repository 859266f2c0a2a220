"""What a merchant receives when money moved: the body of a webhook and its signature, in both styles. Pure.

Old style: the members of 2017, signed over their sorted text. New style: those of 2018 and later, signed over the
body's bytes. Every value is a string, so that no receiver rounds a long number.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from tael.base.moments import moment_text
from tael.base.money import Money
from tael.base.secret import Secret
from tael.merchants.domain.merchant import Algorithm, App, Style
from tael.payments.domain.notified import NotifiedPayment
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import Refund
from tael.payments.store.payments import Payments
from tael.payments.store.refunds import Refunds
from tael.qfpay import codes, signature
from tael.webhooks.domain.webhook import WebhookKind
from tael.webhooks.store.queue import DueWebhook

ReportedPayment = Payment | NotifiedPayment
#: mchid and syssn.
Key = tuple[str, str]


def payment_members(payment: ReportedPayment, style: Style) -> dict[str, str]:
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


def refund_members(payment: ReportedPayment, refund: Refund) -> dict[str, str]:
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
    payment: ReportedPayment,
    syssn: str,
    reference: str,
    amount: Money,
    client_time: str,
    created_at: datetime,
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

    async def bodies(self, webhooks: Sequence[DueWebhook]) -> list[bytes | None]:
        """In the order of `webhooks`, which have styles. None if a row is gone, which the database forbids.

        Payments and refunds are read with one statement each. Raises StoreUnavailable.
        """
        payments = await self._payments.notified({_payment_key(webhook) for webhook in webhooks})
        of_refunds = {_key(webhook) for webhook in webhooks if webhook.kind is WebhookKind.REFUND}
        refunds = await self._refunds.by_keys(of_refunds) if of_refunds else {}
        return [
            _body(webhook, payments.get(_payment_key(webhook)), refunds.get(_key(webhook)))
            for webhook in webhooks
        ]

    def sign(self, body: bytes, style: Style, app: App, now: datetime) -> str:
        return sign(body, style, app.webhook_key(now), app.response_algorithm)


def _body(webhook: DueWebhook, payment: NotifiedPayment | None, refund: Refund | None) -> bytes | None:
    """None without the rows that the webhook is about."""
    if payment is None:
        return None
    if webhook.kind is WebhookKind.PAYMENT:
        return body_of(payment_members(payment, webhook.style or Style.OLD))
    return None if refund is None else body_of(refund_members(payment, refund))


def _payment_key(webhook: DueWebhook) -> Key:
    return webhook.mchid, webhook.payment_syssn


def _key(webhook: DueWebhook) -> Key:
    return webhook.mchid, webhook.cause
