"""Webhooks as a server sends them, in both styles, signed with any key."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Final, Literal, TypeAlias

from tael_conformance.signing import Algorithm, digest, signed_text

Style: TypeAlias = Literal["old", "new"]
UTC8: Final = timezone(timedelta(hours=8))
MOMENT: Final = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True, slots=True)
class Signer:
    """How the merchant's app signs: the old style is always MD5."""

    style: Style
    key: str = field(repr=False)
    algorithm: Algorithm = "MD5"

    def sign(self, body: bytes, members: Mapping[str, str]) -> str:
        if self.style == "old":
            return digest(signed_text(members).encode(), self.key)
        return digest(body, self.key, self.algorithm)

    def webhook(self, members: Mapping[str, str]) -> "Webhook":
        """In the form in which servers send it."""
        body = json.dumps(dict(members)).encode()
        return Webhook(body, self.sign(body, members))


@dataclass(frozen=True, slots=True)
class Webhook:
    """`sign` is None where the header is left out."""

    body: bytes
    sign: str | None = field(repr=False)
    content_type: str | None = "application/json"


def old_members(
    mchid: str, number: str, amount: str, syssn: str, at: datetime, pay_type: str
) -> dict[str, str]:
    return {
        "mchid": mchid,
        "syssn": syssn,
        "pay_type": pay_type,
        "out_trade_no": number,
        "txdtm": at.strftime(MOMENT),
        "txamt": amount,
        "respcd": "0000",
        "respmsg": "",
        "respmesg": "",
    }


def new_members(
    mchid: str, number: str, amount: str, syssn: str, at: datetime, pay_type: str, currency: str
) -> dict[str, str]:
    moment = at.strftime(MOMENT)
    return {
        "status": "1",
        "notify_type": "payment",
        "mchid": mchid,
        "syssn": syssn,
        "pay_type": pay_type,
        "out_trade_no": number,
        "txdtm": moment,
        "sysdtm": moment,
        "paydtm": moment,
        "txamt": amount,
        "txcurrcd": currency,
        "respcd": "0000",
        "cancel": "0",
        "goods_name": "",
        "goods_info": "",
        "cardcd": "",
        "chnlsn": "",
        "chnlsn2": "",
        "exchange_rate": "",
        "cash_fee": "0",
        "cash_fee_type": "",
    }


def refund_members(payment: Mapping[str, str], number: str, syssn: str) -> dict[str, str]:
    """The new-style webhook of a full refund of this payment."""
    return {
        **payment,
        "notify_type": "refund",
        "syssn": syssn,
        "out_trade_no": number,
        "orig_syssn": payment["syssn"],
        "orig_out_trade_no": payment["out_trade_no"],
        "cash_refund_fee": "0",
        "cash_refund_fee_type": "",
    }
