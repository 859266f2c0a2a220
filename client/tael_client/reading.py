"""Converts members of a response to typed values. Raises ValueError for missing or malformed ones."""

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from tael_client.answers import (
    Close,
    Members,
    Payment,
    QueryPage,
    Refund,
    Reversal,
    Row,
    RowKind,
    Settlement,
)
from tael_client.errors import Verdict
from tael_client.moments import moment_or_none, read_moment
from tael_client.money import Money

DIGITS: Final = re.compile(r"[0-9]{1,40}")
SIGNED_DIGITS: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)


def json_object(body: bytes) -> dict[str, Any]:
    """The members of a JSON object, each once. Raises ValueError."""
    try:
        members = json.loads(body.decode("utf-8"), object_pairs_hook=_each_once)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if not isinstance(members, dict):
        raise ValueError("not a JSON object")
    return members


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def text(members: Members, name: str) -> str:
    """The member as text; "" if it is absent. Servers write whole numbers with and without quotes."""
    value = members.get(name)
    if value is None:
        return ""
    if isinstance(value, str) or type(value) is int:
        return str(value)
    raise ValueError(f"{name} is neither text nor a whole number")


def optional_text(members: Members, name: str) -> str:
    """The same for a member that only some servers have, in varying types; "" for any other type."""
    value = members.get(name)
    return str(value) if isinstance(value, str) or type(value) is int else ""


def digits(members: Members, name: str) -> str:
    value = text(members, name)
    if not DIGITS.fullmatch(value):
        raise ValueError(f"{name} is not a number")
    return value


def money(members: Members) -> Money:
    """`txamt` and `txcurrcd`; the currency is "" if it is absent."""
    return Money(int(digits(members, "txamt")), text(members, "txcurrcd"))


def verdict(members: Members) -> Verdict:
    return Verdict(
        respcd=text(members, "respcd"),
        respmsg=text(members, "respmsg"),
        resperr=text(members, "resperr"),
        reference=text(members, "out_trade_no"),
        syssn=text(members, "syssn"),
        orig_syssn=orig_syssn(members),
    )


def orig_syssn(members: Members) -> str:
    """The payment's number; "" if absent. Servers send either member or both. Raises ValueError if they differ."""
    named = {number for name in ("orig_syssn", "origssn") if (number := text(members, name))}
    if len(named) > 1:
        raise ValueError("orig_syssn and origssn name different payments")
    return next(iter(named), "")


def echo(members: Members, name: str) -> str:
    """A member that repeats a parameter of the request; "" if it is absent."""
    return orig_syssn(members) if name == "orig_syssn" else text(members, name)


def _orig_digits(members: Members) -> str:
    return digits({"orig_syssn": orig_syssn(members)}, "orig_syssn")


def payment(members: Members) -> Payment:
    if orig_syssn(members):
        raise ValueError("this is the response to another call: it has an orig_syssn")
    qr_code = text(members, "qrcode") or text(members, "code_url")
    params = _pay_params(members.get("pay_params"))
    return Payment(
        syssn=digits(members, "syssn"),
        reference=text(members, "out_trade_no"),
        pay_type=text(members, "pay_type"),
        amount=money(members),
        server_time=read_moment(text(members, "sysdtm")),
        client_time=moment_or_none(text(members, "txdtm")),
        payer_ref=text(members, "cardcd"),
        pay_url=text(members, "pay_url") or qr_code,
        qr_code=qr_code,
        bridge_params={name: text(params, name) for name in params},
        pay_params=params,
        members=members,
    )


def _pay_params(value: object) -> Mapping[str, Any]:
    if not value:
        return {}
    if not isinstance(value, dict):
        raise ValueError("pay_params is not an object")
    return value


def refund(members: Members) -> Refund:
    return Refund(
        syssn=digits(members, "syssn"),
        payment_syssn=_orig_digits(members),
        reference=text(members, "out_trade_no"),
        amount=money(members),
        server_time=read_moment(text(members, "sysdtm")),
        members=members,
    )


def close(members: Members) -> Close:
    return Close(**_undoing(members))


def reversal(members: Members) -> Reversal:
    return Reversal(**_undoing(members))


def _undoing(members: Members) -> dict[str, Any]:
    return {
        "syssn": digits(members, "syssn"),
        "payment_syssn": _orig_digits(members),
        "reference": text(members, "out_trade_no"),
        "server_time": read_moment(text(members, "sysdtm")),
        "members": members,
    }


def query_page(members: Members) -> QueryPage:
    rows = members.get("data")
    if not isinstance(rows, list):
        raise ValueError("data is not a list")
    return QueryPage(
        rows=tuple(map(row, rows)),
        page=int(digits(members, "page")),
        page_size=int(digits(members, "page_size")),
    )


def row(members: object) -> Row:
    if not isinstance(members, dict):
        raise ValueError("a row is not an object")
    kind = text(members, "order_type")
    return Row(
        kind=RowKind(kind) if kind in ("payment", "refund") else RowKind.OTHER,
        syssn=digits(members, "syssn"),
        reference=text(members, "out_trade_no"),
        pay_type=text(members, "pay_type"),
        amount=money(members),
        respcd=digits(members, "respcd"),
        text=text(members, "errmsg"),
        cancel=text(members, "cancel") or "0",
        server_time=read_moment(text(members, "sysdtm")),
        client_time=moment_or_none(text(members, "txdtm")),
        paid_at=moment_or_none(optional_text(members, "paydtm")),
        wallet_ref=optional_text(members, "chnlsn"),
        payer_ref=optional_text(members, "cardcd"),
        payment_syssn=optional_text(members, "origssn") or optional_text(members, "orig_syssn"),
        product_name=optional_text(members, "goods_name"),
        members=members,
    )


def settlements(members: Members) -> tuple[Settlement, ...]:
    rows = members.get("data")
    if not isinstance(rows, list):
        raise ValueError("data is not a list")
    if "page" in members:
        raise ValueError("this is the response to another call: it has a page")
    return tuple(map(_settlement, rows))


def _settlement(members: object) -> Settlement:
    """QFPay's documents swap the comments on the two days of the trades, so their order decides."""
    if not isinstance(members, dict):
        raise ValueError("a settlement is not an object")
    days = sorted((_day(members, "date_start"), _day(members, "date_end")))
    settlement = Settlement(
        settled_on=_day(members, "date_settlement"),
        wallet=text(members, "paymethod"),
        merchant_number=text(members, "chnl_mch_id"),
        first_day=days[0],
        last_day=days[1],
        currency=text(members, "currency"),
        paid_minor=_minor(members, "pay_amt"),
        refunded_minor=_minor(members, "refund_amt"),
        net_minor=_minor(members, "pay_net_amt"),
        fee_minor=_minor(members, "chnl_poundage_amt"),
        settled_minor=_minor(members, "settlement_amt"),
        members=members,
    )
    if settlement.settled_minor != settlement.net_minor - settlement.fee_minor:
        raise ValueError("settlement_amt is not pay_net_amt less chnl_poundage_amt")
    return settlement


def _day(members: Members, name: str) -> date:
    return date.fromisoformat(text(members, name))


def _minor(members: Members, name: str) -> int:
    value = text(members, name)
    if not SIGNED_DIGITS.fullmatch(value):
        raise ValueError(f"{name} is not a whole number")
    return int(value)


def no_file(members: Members) -> bytes:
    """A call for a file was answered with JSON and 0000."""
    raise ValueError("there is no file")
