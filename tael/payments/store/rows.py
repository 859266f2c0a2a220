"""The tables `payment`, `refund` and `reversal`: how each field of their dataclasses is stored."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from tael.base.pay_types import PAY_TYPES
from tael.channels.outcomes import PayCode, PayLink, PayParams
from tael.db.tables import MONEY, Codec, Home, Table
from tael.payments.domain.notified import NotifiedPayment
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import Refund
from tael.payments.domain.reversal import Reversal

KEY: Final = ("mchid", "syssn")
#: The `check_at` of an expedited payment is stored this much earlier, so that it is claimed before all that are due by
#: schedule. Instants before 1970 are such.
EXPEDITED: Final = timedelta(days=36_525)
LEASE: Final = {"lease_until": "timestamptz"}


class _Link(msgspec.Struct, tag="link"):
    url: str
    creates_order: bool = True
    valid_until: datetime | None = None


class _Code(msgspec.Struct, tag="code"):
    text: str


class _Params(msgspec.Struct, tag="params"):
    params: Mapping[str, str]


_PAY: Final[msgspec.json.Decoder[_Link | _Code | _Params]] = msgspec.json.Decoder(_Link | _Code | _Params)


def pay_text(pay: PayLink | PayCode | PayParams | None) -> str | None:
    """Pay data as text for its column."""
    match pay:
        case None:
            return None
        case PayLink(url, creates_order, valid_until):
            return msgspec.json.encode(_Link(url, creates_order, valid_until)).decode()
        case PayCode(text):
            return msgspec.json.encode(_Code(text)).decode()
        case PayParams(params):
            return msgspec.json.encode(_Params(params)).decode()


def pay_of(text: str | None) -> PayLink | PayCode | PayParams | None:
    """The inverse of `pay_text`. Raises msgspec.ValidationError for anything else."""
    if text is None:
        return None
    match _PAY.decode(text):
        case _Link(url=url, creates_order=creates_order, valid_until=valid_until):
            return PayLink(url, creates_order, valid_until)
        case _Code(text=code):
            return PayCode(code)
        case _Params(params=params):
            return PayParams(params)


def _scheduled(check_at: datetime | None) -> datetime | None:
    return check_at + EXPEDITED if check_at is not None and check_at.year < 1970 else check_at


PAY_TYPE: Final = Codec({"pay_type": "text"}, lambda pay_type: (pay_type.code,), PAY_TYPES.__getitem__)
NOTIFIED_PAYMENT: Final = Table(
    "payment", Home.CELL, NotifiedPayment, KEY, codecs={"pay_type": PAY_TYPE, "amount": MONEY}
)
PAYMENT: Final = Table(
    "payment",
    Home.CELL,
    Payment,
    KEY,
    codecs={
        "pay_type": PAY_TYPE,
        "amount": MONEY,
        "pay": Codec({"pay": "text"}, lambda pay: (pay_text(pay),), pay_of),
        "check_at": Codec({"check_at": "timestamptz"}, lambda at: (at,), _scheduled),
    },
    internal=LEASE,
)
REFUND: Final = Table(
    "refund",
    Home.CELL,
    Refund,
    KEY,
    codecs={"amount": MONEY},
    internal=LEASE | {"refunded_before_minor": "bigint"},
)
REVERSAL: Final = Table("reversal", Home.CELL, Reversal, KEY, internal=LEASE)
