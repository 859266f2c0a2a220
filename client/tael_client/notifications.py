"""Webhooks: is this call the server's, and what does it say? Pure; `handlers` puts it behind a web server.

Old style (2016 and 2017): the members sorted by name, empties included, as `name=value` joined with `&`, the key
behind. New style (since 2018): the body's bytes, the key behind. Both as MD5 in hex. Nothing is believed before it is
proven. Webhooks may come late, twice and in any order: book by `syssn`, and let a query decide in doubt.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from tael_client import reading
from tael_client.answers import Members
from tael_client.codes import OK
from tael_client.errors import BadSignature
from tael_client.moments import moment_or_none
from tael_client.money import Money
from tael_client.signing import Credentials, is_signed, signing_text

Style = Literal["old", "new"]
STYLES: Final[tuple[Style, ...]] = ("old", "new")

PAY_TYPE: Final = re.compile(r"[0-9]{6}")
RESPCD: Final = re.compile(r"[0-9]{4}")


class NotificationKind(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"
    OTHER = "other"  #: a kind that only later servers tell of


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A proven webhook. What only one style tells is "" or None in the other."""

    kind: NotificationKind
    style: Style
    mchid: str
    syssn: str
    reference: str
    pay_type: str
    amount: Money  #: old style: in the merchant's own currency, which is not named
    respcd: str
    client_time: datetime | None
    server_time: datetime | None  #: new style
    paid_at: datetime | None  #: new style
    payer_ref: str  #: new style: who paid, by the wallet's id
    wallet_ref: str  #: new style: the wallet's number
    payment_syssn: str  #: of a refund
    payment_reference: str  #: of a refund
    device: str
    members: Members = field(repr=False)

    @property
    def is_paid(self) -> bool:
        """An online payment got its money."""
        is_undone = reading.text(self.members, "cancel") not in ("", "0")
        return self.kind is NotificationKind.PAYMENT and self.respcd == OK and not is_undone


def read_notification(
    credentials: Credentials, body: bytes, sign: str, styles: tuple[Style, ...] = STYLES
) -> Notification:
    """What a webhook says. `body` as it came, `sign` its `X-QF-SIGN`. Raises BadSignature for all that is not proven.

    Name the one style that your app is set to if you know it.
    """
    try:
        members = reading.json_object(body)
        style = _style_of(members)
        text = body if style == "new" else old_text(members)
        if style in styles and is_signed(text, sign, credentials.key):
            return _notification(members, style)
    except ValueError as problem:
        raise BadSignature(f"not a webhook: {problem}") from None
    raise BadSignature("the signature of the webhook is wrong")


def _style_of(members: Members) -> Style:
    """By the members, which are then held to it.

    The server signs its answers in the way of the new style. An answer never has `notify_type` and no request has
    `respmsg`, so neither can be sent to us as news of money.
    """
    if "notify_type" in members:
        return "new"
    if "respmsg" in members or "respmesg" in members:
        return "old"
    raise ValueError("it has neither notify_type nor respmsg")


def old_text(members: Members) -> bytes:
    """What the old style signs. Whole numbers count in plain decimal, as some servers write them."""
    return signing_text({name: reading.text(members, name) for name in members}).encode()


def _notification(members: dict[str, Any], style: Style) -> Notification:
    kind = reading.text(members, "notify_type") or "payment"
    return Notification(
        kind=NotificationKind(kind) if kind in ("payment", "refund") else NotificationKind.OTHER,
        style=style,
        mchid=reading.text(members, "mchid"),
        syssn=reading.digits(members, "syssn"),
        reference=_reference(members),
        pay_type=_shaped(members, "pay_type", PAY_TYPE),
        amount=reading.money(members),
        respcd=_shaped(members, "respcd", RESPCD),
        client_time=moment_or_none(reading.text(members, "txdtm")),
        server_time=moment_or_none(reading.text(members, "sysdtm")),
        paid_at=moment_or_none(reading.text(members, "paydtm")),
        payer_ref=reading.text(members, "cardcd"),
        wallet_ref=reading.text(members, "chnlsn"),
        payment_syssn=reading.text(members, "orig_syssn"),
        payment_reference=reading.text(members, "orig_out_trade_no"),
        device=reading.text(members, "udid"),
        members=members,
    )


def _reference(members: Members) -> str:
    """In the old style `&` and `=` inside a value could stand for another member."""
    value = reading.text(members, "out_trade_no")
    if not value or set(value) & set("&="):
        raise ValueError("out_trade_no is no reference")
    return value


def _shaped(members: Members, name: str, shape: re.Pattern[str]) -> str:
    value = reading.text(members, name)
    if not shape.fullmatch(value):
        raise ValueError(f"{name} has not its form")
    return value
