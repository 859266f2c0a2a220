"""What a merchant is told when money moved: the body of a webhook and its signature, in both styles. Pure.

Old style: the members of 2017, signed over their sorted text. New style: those of 2018 and later, signed over the
body's bytes. Every value is a string, so that no receiver rounds a long number.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from tael.base.money import Money
from tael.base.secret import Secret
from tael.base.serial import UTC8
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import Refund
from tael.qfpay import signature
from tael.qfpay.signature import Algorithm

#: Seconds to wait after the first, second … failed delivery: four quick ones, then ever more rarely.
RETRY_GAPS: Final = tuple(
    timedelta(seconds=gap_s) for gap_s in (30, 30, 30, 30, 120, 600, 600, 3600, 7200, 21600, 54000)
)
MOMENT: Final = "%Y-%m-%d %H:%M:%S"


class Style(StrEnum):
    """Which generation of webhooks an app's receiver understands."""

    OLD = "old"
    NEW = "new"


class WebhookKind(StrEnum):
    """What happened. Old receivers would book a refund as a payment, so they are not told of refunds."""

    PAYMENT = "payment"
    REFUND = "refund"


class WebhookState(StrEnum):
    """How far the telling has come."""

    DUE = "DUE"  #: to be delivered, now or at its next turn
    DELIVERED = "DELIVERED"  #: acknowledged
    EXHAUSTED = "EXHAUSTED"  #: the schedule is over; only an operator's resend tries again
    NOT_WANTED = "NOT_WANTED"  #: the app's style has no such webhook


def moment_text(at: datetime) -> str:
    """`at` as merchants read it: `YYYY-MM-DD HH:MM:SS`, UTC+8."""
    return at.astimezone(UTC8).strftime(MOMENT)


def payment_members(payment: Payment, style: Style) -> dict[str, str]:
    """The members of the webhook of a paid payment."""
    old = {
        "mchid": payment.mchid,
        "syssn": payment.syssn,
        "pay_type": payment.pay_type.code,
        "out_trade_no": payment.reference,
        "txdtm": payment.client_time,
        "txamt": str(payment.amount.amount_minor),
        "respcd": "0000",
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
    """The members of the new-style webhook of a refund that is done."""
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
    """The body, the same bytes at every repeat."""
    return json.dumps(dict(members)).encode("ascii")


def sign(body: bytes, style: Style, key: Secret, algorithm: Algorithm = "MD5") -> str:
    """What goes into X-QF-SIGN. The old style is always signed by MD5."""
    if style is Style.NEW:
        return signature.sign_body(body, key, algorithm)
    members: dict[str, str] = json.loads(body)
    return signature.sign_members(members, key)


def is_acknowledged(status: int, body: bytes) -> bool:
    """HTTP 200 and the word success, in any case, with any white space around it."""
    return status == 200 and body.strip().lower() == b"success"


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
        "respcd": "0000",
        "goods_info": "",
        "cash_fee": "",
        "cardcd": payment.payer_ref,
    }
