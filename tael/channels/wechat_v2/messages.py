"""WeChat's XML (flat elements under one root, nothing else), and its responses as typed values.

Anything else is a `BadMessage`: a DTD, an entity, an attribute, a nested or repeated element; only fields of records
may repeat. Fields stay strings until the signature is verified, since it also covers fields that we do not know.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from tael.base.moments import UTC8
from tael.base.money import Money
from tael.base.xml import NotXml, parse_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Fields = Mapping[str, str]
#: Fields in their order, of a message in which some may repeat.
Pairs = Sequence[tuple[str, str]]

#: WeChat's currency if a message contains none.
DEFAULT_CURRENCY: Final = "CNY"
TIME_FORMAT: Final = "%Y%m%d%H%M%S"

IS_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,64}").fullmatch
#: Of a section of text.
END: Final = "]]>"
#: Of an element.
TAG, TAIL, ATTRIBUTES = map(attrgetter, ("tag", "tail", "attrib"))
AMOUNT: Final = re.compile(r"0|[1-9][0-9]{0,17}")
CURRENCY: Final = re.compile(r"[A-Z]{3}")
NUMBER: Final = re.compile(r"[0-9A-Za-z_|*@-]{1,64}")
TIME: Final = re.compile(r"[0-9]{14}")
REFUND_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
NOT_FLAT: Final = "not a flat list of elements"


class BadMessage(Exception):
    """Not XML in WeChat's format, or a malformed field in it."""


# ---- XML ---------------------------------------------------------------------------------------------------


def to_xml(fields: Fields) -> bytes:
    """`fields` as XML, without empty ones, which the signature does not cover either."""
    if END in "".join(fields.values()):
        # Split over two sections, since it would end the first one early.
        fields = {name: value.replace(END, "]]]]><![CDATA[>") for name, value in fields.items()}
    lines = [f"<{name}><![CDATA[{value}]]></{name}>" for name, value in fields.items() if value]
    return "\n".join(["<xml>", *lines, "</xml>"]).encode()


def from_xml(body: bytes, root: str = "xml") -> dict[str, str]:
    """The fields of a message whose root element is `root`. Raises BadMessage."""
    return dict(pairs_from_xml(body, (), root))


def pairs_from_xml(body: bytes, of_records: Collection[str] = (), root: str = "xml") -> Pairs:
    """The fields in their order. Those named in `of_records` may repeat, and be in an element of each record.

    Raises BadMessage.
    """
    try:
        # Decoded here, so that an encoding declared in the message cannot change the signed text.
        tree = parse_xml(body.decode("utf-8-sig"))
    except (NotXml, UnicodeDecodeError) as error:
        reason = error if isinstance(error, NotXml) else "not UTF-8"
        raise BadMessage(f"not valid XML: {reason}") from error
    if tree.tag != root or tree.attrib or (tree.text or "").strip():
        raise BadMessage(f"the root is not a plain <{root}>")
    if of_records:
        pairs = [pair for element in tree for pair in _fields_or_record(element, of_records)]
    else:
        pairs = _fields(list(tree))
    if len(dict(pairs)) < len(pairs):
        _check_repeats(pairs, of_records)
    return pairs


def _fields_or_record(element: "Element", of_records: Collection[str]) -> list[tuple[str, str]]:
    if not len(element) or (element.text or "").strip():
        return _fields([element])
    _check_are_plain([element])
    pairs = _fields(list(element))
    for name, _ in pairs:
        if name not in of_records:
            raise BadMessage(f"{name} is no field of a record")
    return pairs


def _fields(elements: Sequence["Element"]) -> list[tuple[str, str]]:
    """All of a message have the same form, so each condition is checked for all at once."""
    _check_are_plain(elements)
    if any(map(len, elements)):
        raise BadMessage(NOT_FLAT)
    return [(element.tag, element.text or "") for element in elements]


def _check_are_plain(elements: Sequence["Element"]) -> None:
    """Raises BadMessage for attributes, for text after an element, and for a name that is no field's."""
    tails = "".join(filter(None, map(TAIL, elements)))
    are_names = all(map(IS_NAME, map(TAG, elements)))
    if tails.strip() or any(map(ATTRIBUTES, elements)) or not are_names:
        raise BadMessage(NOT_FLAT)


def _check_repeats(pairs: Pairs, of_records: Collection[str]) -> None:
    """Raises BadMessage if a name outside records is repeated: either field could be the signed one."""
    for name, count in Counter(name for name, _ in pairs if name not in of_records).items():
        if count > 1:
            raise BadMessage(f"{name} is repeated")


# ---- single fields -----------------------------------------------------------------------------------------


def _matching(fields: Fields, name: str, form: re.Pattern[str]) -> str:
    value = fields.get(name, "")
    if not form.fullmatch(value):
        raise BadMessage(f"{name} is missing or malformed")
    return value


def amount_minor_of(fields: Fields, name: str) -> int:
    """An amount in minor units. Raises BadMessage."""
    return int(_matching(fields, name, AMOUNT))


def number_of(fields: Fields, name: str) -> str:
    """The number of an order, a refund or a trade. Raises BadMessage."""
    return _matching(fields, name, NUMBER)


def currency_of(fields: Fields, name: str) -> str:
    """A currency; WeChat's default if missing. Raises BadMessage if malformed."""
    return _matching(fields, name, CURRENCY) if fields.get(name) else DEFAULT_CURRENCY


def time_text(instant: datetime) -> str:
    """`instant` in WeChat's format, always UTC+8, truncated to seconds."""
    return instant.astimezone(UTC8).strftime(TIME_FORMAT)


def time_of(fields: Fields, name: str) -> datetime:
    """A time as an instant in UTC. Raises BadMessage."""
    text = _matching(fields, name, TIME)
    return _instant(f"{text[:8]}T{text[8:]}", name)


def _instant(text: str, name: str) -> datetime:
    """`text`, in a form of ISO 8601 and in UTC+8. Raises BadMessage."""
    try:
        return datetime.fromisoformat(f"{text}+08:00").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadMessage(f"{name} is not a time") from error


# ---- responses ---------------------------------------------------------------------------------------------


class PaidTrade(Struct, frozen=True):
    """A paid order, in the response of micropay or orderquery or in a payment notice."""

    out_trade_no: str
    transaction_id: str
    price: Money
    payer: str  #: `sub_openid` if present, else `openid`; "" if neither
    time_end: datetime


def paid_trade(fields: Fields) -> PaidTrade:
    """Raises BadMessage if a field is missing or malformed."""
    return PaidTrade(
        out_trade_no=number_of(fields, "out_trade_no"),
        transaction_id=number_of(fields, "transaction_id"),
        price=Money(amount_minor_of(fields, "total_fee"), currency_of(fields, "fee_type")),
        payer=fields.get("sub_openid") or fields.get("openid", ""),
        time_end=time_of(fields, "time_end"),
    )


@dataclass(frozen=True, slots=True)
class AcceptedRefund:
    """The response to a refund: accepted, not refunded yet. Amounts in minor units of the price's currency."""

    out_trade_no: str
    out_refund_no: str
    refund_id: str
    total_fee: int
    refund_fee: int
    currencies: frozenset[str]  #: every currency of the price in the response; may be empty


def accepted_refund(fields: Fields) -> AcceptedRefund:
    """Raises BadMessage."""
    return AcceptedRefund(
        out_trade_no=number_of(fields, "out_trade_no"),
        out_refund_no=number_of(fields, "out_refund_no"),
        refund_id=number_of(fields, "refund_id"),
        total_fee=amount_minor_of(fields, "total_fee"),
        refund_fee=amount_minor_of(fields, "refund_fee"),
        currencies=_currencies(fields),
    )


@dataclass(frozen=True, slots=True)
class RefundRow:
    """One refund of an order, from the numbered fields of refundquery."""

    out_trade_no: str
    refund_id: str
    total_fee: int
    refund_fee: int
    currencies: frozenset[str]
    status: str
    succeeded_at: datetime | None


def refund_row(fields: Fields, out_refund_no: str) -> RefundRow:
    """The row of the refund with our number. Raises BadMessage if there is none, or more than one."""
    prefix = "out_refund_no_"
    rows = [
        name.removeprefix(prefix)
        for name, value in fields.items()
        if name.startswith(prefix) and value == out_refund_no
    ]
    if len(rows) != 1:
        raise BadMessage(f"{len(rows)} rows of this refund")
    n = rows[0]
    return RefundRow(
        out_trade_no=number_of(fields, "out_trade_no"),
        refund_id=number_of(fields, f"refund_id_{n}"),
        total_fee=amount_minor_of(fields, "total_fee"),
        refund_fee=amount_minor_of(fields, f"refund_fee_{n}"),
        currencies=_currencies(fields),
        status=fields.get(f"refund_status_{n}", ""),
        succeeded_at=_refund_time(fields.get(f"refund_success_time_{n}", "")),
    )


def _refund_time(text: str) -> datetime | None:
    """None if missing or malformed: the refund is done without it."""
    if not REFUND_TIME.fullmatch(text):
        return None
    try:
        return _instant(text, "refund_success_time")
    except BadMessage:
        return None


def _currencies(fields: Fields) -> frozenset[str]:
    return frozenset(fields[name] for name in ("fee_type", "refund_fee_type") if fields.get(name))
