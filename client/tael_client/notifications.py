"""Verifies and reads webhooks. Pure; `handlers` connects it to a web server.

Old style (2016 and 2017): signed are the members sorted by name, empty ones included, as `name=value` joined with `&`,
followed by the key; MD5 only. Requests and checkout links are signed in the same way with the same key, so an old-style
webhook may have only its ten members in their exact forms, which leave no room for another text.

New style (since 2018): signed are the body's bytes, followed by the key; MD5, or SHA256 with that `response_sign_type`.
The server's responses are signed in the same way, but never have `notify_type`.

Webhooks can arrive late, repeatedly and in any order: record them by `syssn`, and when in doubt, query.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, TypeAlias

from tael_client import reading
from tael_client.answers import Members
from tael_client.codes import OK
from tael_client.errors import BadSignature
from tael_client.moments import moment_or_none
from tael_client.money import Money
from tael_client.signing import Credentials, SignType, is_signed, signing_text

Style = Literal["old", "new"]
STYLES: Final[tuple[Style, ...]] = ("old", "new")
#: The app's style, or both while it is changed from one to the other.
Styles: TypeAlias = Style | tuple[Style, ...]

PAY_TYPE: Final = re.compile(r"[0-9]{6}")
RESPCD: Final = re.compile(r"[0-9]{4}")
#: A text that cannot contain a second `name=value`.
ONE_VALUE: Final = re.compile(r"[^&=\x00-\x1f\x7f-\x9f]*")

#: The members of an old-style webhook. Required are `OLD_REQUIRED` and one of `OLD_MESSAGES`, which no request has.
OLD_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    "mchid": re.compile(r"[A-Za-z0-9_-]{1,64}"),
    "syssn": reading.DIGITS,
    "pay_type": PAY_TYPE,
    "out_trade_no": re.compile(r"""(?:(?![,&=%+"'\\])[!-~]){1,128}"""),
    "txamt": re.compile(r"[1-9][0-9]{0,10}"),
    "respcd": RESPCD,
    "txdtm": re.compile(r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})?"),
    # The last member by name: `&name=` in it could be the rest of a request.
    "udid": re.compile(r"[^&]*(&(?!\w+=)[^&]*)*"),
    "respmsg": ONE_VALUE,
    "respmesg": ONE_VALUE,
}
OLD_REQUIRED: Final = ("mchid", "syssn", "pay_type", "out_trade_no", "txamt", "respcd")
OLD_MESSAGES: Final = ("respmsg", "respmesg")


class NotificationKind(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"
    OTHER = "other"  #: a kind that this client does not know


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A verified webhook. Fields that its style does not have are "" or None."""

    kind: NotificationKind
    style: Style
    mchid: str
    syssn: str
    reference: str
    pay_type: str
    amount: Money  #: old style: in the merchant's own currency; `currency` is ""
    respcd: str
    client_time: datetime | None
    server_time: datetime | None  #: new style
    paid_at: datetime | None  #: new style
    payer_ref: str  #: new style: the payer's id at the wallet
    wallet_ref: str  #: new style: the wallet's number
    payment_syssn: str  #: of a refund
    payment_reference: str  #: of a refund
    device: str
    members: Members = field(repr=False)

    @property
    def is_paid(self) -> bool:
        """Whether it reports a payment that was paid and not undone."""
        is_undone = reading.text(self.members, "cancel") not in ("", "0")
        return self.kind is NotificationKind.PAYMENT and self.respcd == OK and not is_undone


def read_notification(credentials: Credentials, body: bytes, sign: str, styles: Styles) -> Notification:
    """Verify and read a webhook. `body` is the body as received, `sign` its `X-QF-SIGN`.

    `styles` is your app's style, "old" or "new". Give both only while your app is changed from one to the other: every
    accepted style can be attacked. Raises BadSignature for an unverified webhook, and ValueError for unknown styles.
    """
    accepted = checked_styles(styles)
    try:
        members = reading.json_object(body)
        style = _style_of(members)
        if style not in accepted:
            expected = " or ".join(accepted)
            raise BadSignature(f"the body has the {style} style, but the {expected} style is expected")
        if _is_proven(members, style, body, sign, credentials):
            return _notification(members, style)
    except ValueError as problem:
        raise BadSignature(f"not a webhook: {problem}") from None
    raise BadSignature(f"the signature of the webhook is wrong for the {style} style")


def checked_styles(styles: Styles) -> tuple[Style, ...]:
    """`styles` as a tuple. Raises ValueError for none and for unknown ones."""
    accepted: tuple[Style, ...] = (styles,) if isinstance(styles, str) else tuple(styles)
    if not accepted or any(style not in STYLES for style in accepted):
        raise ValueError('styles must be "old", "new" or both: give the style of your app')
    return accepted


def _style_of(members: Members) -> Style:
    """The style by its distinguishing members: no response has `notify_type`, and no request has `respmsg`."""
    if "notify_type" in members:
        return "new"
    if members.keys() & set(OLD_MESSAGES):
        return "old"
    raise ValueError("it has neither notify_type nor respmsg")


def _is_proven(members: Members, style: Style, body: bytes, sign: str, credentials: Credentials) -> bool:
    """Whether the signature is valid. Raises ValueError for a body that the style does not allow."""
    if style == "old":
        _check_old(members)
        return is_signed(old_text(members), sign, credentials.key, SignType.MD5)
    if not body.startswith(b"{"):
        raise ValueError("a new-style body must begin with {")
    return is_signed(body, sign, credentials.key, credentials.response_sign_type)


def _check_old(members: Members) -> None:
    """Raises ValueError unless these are the members of an old-style webhook, whose text begins with `mchid=`."""
    if not members.keys() <= OLD_FORMS.keys():
        raise ValueError("it has a member that the old style does not have")
    for name in OLD_REQUIRED:
        if name not in members:
            raise ValueError(f"{name} is missing")
    for name in members:
        _shaped(members, name, OLD_FORMS[name])


def old_text(members: Members) -> bytes:
    """The signed text of the old style. Some servers write whole numbers without quotes; they count in decimal."""
    return signing_text({name: reading.text(members, name) for name in members}).encode()


def _notification(members: dict[str, Any], style: Style) -> Notification:
    return Notification(
        kind=_kind(members, style),
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
        payment_syssn=reading.orig_syssn(members),
        payment_reference=reading.text(members, "orig_out_trade_no"),
        device=reading.text(members, "udid"),
        members=members,
    )


def _kind(members: Members, style: Style) -> NotificationKind:
    """The old style has payments only."""
    kind = "payment" if style == "old" else reading.text(members, "notify_type")
    if not kind:
        raise ValueError("notify_type is empty")
    return NotificationKind(kind) if kind in ("payment", "refund") else NotificationKind.OTHER


def _reference(members: Members) -> str:
    value = reading.text(members, "out_trade_no")
    if not value:
        raise ValueError("out_trade_no is missing")
    return value


def _shaped(members: Members, name: str, shape: re.Pattern[str]) -> str:
    value = reading.text(members, name)
    if not shape.fullmatch(value):
        raise ValueError(f"{name} is malformed")
    return value
