"""Refunds: `alipay.acquire.overseas.spot.refund`, `forex_refund` and `alipay.acquire.refund.query`.

A refund number with the amount and the order it was used for is the same refund again, whatever state the
order is in by now. Both families follow one set of rules and name its breaches differently.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tael_sandbox import rates
from tael_sandbox.alipay import changes, magic
from tael_sandbox.alipay.barcodes import acquire_parameters, exchange_rate
from tael_sandbox.alipay.checks import COMPACT, DASHED, Parameters
from tael_sandbox.alipay.messages import Bare, Node, Refused
from tael_sandbox.alipay.preconditions import Call
from tael_sandbox.alipay.profit_sharing import PAYING_OUT, check_splits
from tael_sandbox.alipay.trades import CLOSED, NOT_EXIST, PC, WAP, Trade, by_order
from tael_sandbox.clock import bjt, from_stamp
from tael_sandbox.profiles import in_force

MAX_UNITS: Final = "9999999.99"
#: Between two online refunds of one PID, in the profile `strict`.
PAUSE: Final = timedelta(seconds=3)
#: Until when synchronous in-store refunds rest by night, in the profile `strict`.
NIGHT_ENDS: Final = timedelta(hours=1, minutes=30)

NO_TRADE, OTHER_CURRENCY, OTHER_REFUND = "no trade", "other currency", "other refund"
TOO_MUCH, TOO_LATE, ALL_RETURNED = "too much", "too late", "all returned"
NIGHT: Final = "TRADE_STATUS_ERROR"
HASTE: Final = "REPEATED_REFUNDMENT_REQUEST_TO_ONE_TRADE"
SPOT_CODES: Final = {
    NO_TRADE: NOT_EXIST,
    OTHER_CURRENCY: "INVALID_PARAMETER",
    OTHER_REFUND: "DISCORDANT_REPEAT_REQUEST",
    TOO_MUCH: "REFUND_AMT_RESTRICTION",
    TOO_LATE: "REFUNDMENT_VALID_DATE_EXCEED",
    ALL_RETURNED: "TRADE_HAS_CLOSE",
}
FOREX_CODES: Final = {
    NO_TRADE: "PURCHASE_TRADE_NOT_EXIST",
    OTHER_CURRENCY: "CURRENCY_NOT_SAME",
    OTHER_REFUND: "REPEATED_REFUNDMENT_REQUEST",
    TOO_MUCH: "RETURN_AMOUNT_EXCEED",
    TOO_LATE: "REFUNDMENT_VALID_DATE_EXCEED",
    ALL_RETURNED: "TRADE_HAS_CLOSE",
}


@dataclass(frozen=True, slots=True)
class Wish:
    order_no: str
    refund_no: str
    amount_minor: int
    price_currency: str
    currency: str


@dataclass(frozen=True, slots=True)
class Refund:
    trade: Trade
    cny_minor: int


class Breach(Exception):
    """A rule of refunds that the wish breaks, in neither family's words, or a word that both have."""


def refund_spot(call: Call) -> Node:
    asked = acquire_parameters(call)
    currency = asked.currency()
    order_no, refund_no = asked.number("partner_trans_id"), asked.number("partner_refund_id")
    amount_minor = asked.amount("refund_amount", currency, MAX_UNITS)
    for spelling in ("refund_reason", "refund_reson"):  # older documents spell it so
        asked.optional(spelling, 128)
    _check_sync(asked)
    asked.url("notify_url")
    if refund_no == order_no:
        raise asked.refuse()
    echo = {
        "partner_trans_id": order_no,
        "partner_refund_id": refund_no,
        "refund_amount": asked.fields["refund_amount"],
        "currency": currency,
    }
    try:
        done = _refund(
            call,
            Wish(order_no, refund_no, amount_minor, currency, currency),
            trade_no=asked.fields.get("alipay_trans_id"),
        )
    except Breach as breach:
        return Node("alipay", {"result_code": "FAILED", "error": _named(breach, SPOT_CODES), **echo})
    return Node(
        "alipay",
        {
            "result_code": "SUCCESS",
            "alipay_trans_id": done.trade.trade_no or "",
            **echo,
            "exchange_rate": exchange_rate(done.trade),
            "refund_amount_cny": rates.in_units(done.cny_minor, "CNY"),
        },
    )


def refund_forex(call: Call) -> Bare:
    asked = call.parameters("ILLEGAL_ARGUMENT")
    currency = asked.currency()
    order_no, refund_no = asked.number("out_trade_no"), asked.number("out_return_no")
    is_in_cny = "return_rmb_amount" in asked.fields
    if is_in_cny == ("return_amount" in asked.fields):
        raise asked.refuse()
    name, price_currency = ("return_rmb_amount", "CNY") if is_in_cny else ("return_amount", currency)
    amount_minor = asked.amount(name, price_currency, MAX_UNITS)
    product_code = asked.optional("product_code", 32)
    if product_code is None and call.contract.needs_product_code:
        raise asked.refuse()
    asked.time("gmt_return", COMPACT, DASHED)
    asked.optional("reason", 100)
    check_splits(asked, PAYING_OUT, price_currency, amount_minor)
    _check_sync(asked)
    try:
        _refund(
            call,
            Wish(order_no, refund_no, amount_minor, price_currency, currency),
            product_code=product_code,
        )
    except Breach as breach:
        raise Refused(_named(breach, FOREX_CODES)) from None
    return Bare()


def query_refund(call: Call) -> Node:
    """Of both families; in-store numbers go by the online names."""
    asked = acquire_parameters(call)
    order_no, refund_no = asked.number("out_trade_no"), asked.number("out_return_no")
    trade = by_order(call.preconditions.connection, call.pid, order_no)
    if trade is None or not trade.exists:
        return Node("alipay", {"response_code": NOT_EXIST})
    row = _row(call, refund_no)
    if row is None or row["trade_id"] != trade.id:
        return Node("alipay", {"response_code": "NOT_FOUND"})
    return Node(
        "alipay",
        {
            "response_code": "SUCCESS",
            "refund_result_code": "SUCCESS",
            "out_return_no": refund_no,
            "out_trade_no": order_no,
            "trade_no": trade.trade_no or "",
            "gmt_create": f"{bjt(from_stamp(row['made_at'])):{DASHED}}",
        },
    )


def _refund(
    call: Call, wish: Wish, *, trade_no: str | None = None, product_code: str | None = None
) -> Refund:
    """Does it, or finds it done. Raises Breach."""
    trade = by_order(call.preconditions.connection, call.pid, wish.order_no)
    if trade is None or trade.paid_at is None or trade_no not in (None, trade.trade_no):
        raise Breach(NO_TRADE)
    if product_code not in (None, trade.product_code):
        raise Refused("ILLEGAL_ARGUMENT")
    if (wish.currency, wish.price_currency) != (trade.currency, trade.price_currency):
        raise Breach(OTHER_CURRENCY)
    earlier = _row(call, wish.refund_no)
    if earlier is not None:
        if (earlier["trade_id"], earlier["amount_minor"]) != (trade.id, wish.amount_minor):
            raise Breach(OTHER_REFUND)
        return Refund(trade, earlier["cny_minor"])
    if trade.state == CLOSED:
        raise Breach(ALL_RETURNED)
    if call.preconditions.now.timestamp() > trade.paid_at + _seconds(changes.REFUND_WINDOW):
        raise Breach(TOO_LATE)
    if wish.amount_minor > trade.left_minor:
        raise Breach(TOO_MUCH)
    if in_force(call.preconditions.connection).is_strict:
        _keep_to_hours(call, trade)
    asked_for = magic.refusal(
        call.preconditions.connection, magic.REFUND, wish.amount_minor, trade.amount_minor
    )
    if asked_for is not None:
        raise Breach(asked_for)
    cny_minor = changes.cny_of(trade, wish.amount_minor)
    call.preconditions.connection.execute(
        "INSERT INTO alipay_refund (pid, refund_no, trade_id, order_no, amount_minor, cny_minor, made_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            call.pid,
            wish.refund_no,
            trade.id,
            wish.order_no,
            wish.amount_minor,
            cny_minor,
            call.preconditions.now.timestamp(),
        ),
    )
    return Refund(changes.give_back(call.preconditions, trade, wish.amount_minor), cny_minor)


def _row(call: Call, refund_no: str) -> Mapping[str, int] | None:
    found: Mapping[str, int] | None = call.preconditions.connection.execute(
        "SELECT * FROM alipay_refund WHERE pid = ? AND refund_no = ?", (call.pid, refund_no)
    ).fetchone()
    return found


def _keep_to_hours(call: Call, trade: Trade) -> None:
    """In-store refunds rest at night, where they are synchronous; online ones keep a distance. Raises Breach."""
    if trade.is_in_store:
        is_sync = call.request.fields.get("is_sync", "N") == "Y"
        now = bjt(call.preconditions.now)
        if is_sync and timedelta(hours=now.hour, minutes=now.minute) < NIGHT_ENDS:
            raise Breach(NIGHT)
        return
    last = call.preconditions.connection.execute(
        "SELECT max(r.made_at) AS made_at FROM alipay_refund r JOIN alipay_trade t ON t.id = r.trade_id"
        " WHERE r.pid = ? AND t.product IN (?, ?)",
        (call.pid, PC, WAP),
    ).fetchone()["made_at"]
    if last is not None and call.preconditions.now < from_stamp(last) + PAUSE:
        raise Breach(HASTE)


def _named(breach: Breach, family: Mapping[str, str]) -> str:
    return family.get(str(breach), str(breach))


def _check_sync(asked: Parameters) -> None:
    """Both values are executed at once here, so `N` differs in nothing."""
    if asked.fields.get("is_sync", "N") not in ("Y", "N"):
        raise asked.refuse()


def _seconds(span: timedelta) -> float:
    return span.total_seconds()
