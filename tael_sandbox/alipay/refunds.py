"""Refunds: `alipay.acquire.overseas.spot.refund`, `forex_refund` and `alipay.acquire.refund.query`.

A repeated refund number with the same order and amount is the same refund, whatever the state of the order. Both
families follow one set of rules and have different error codes for them.
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
from tael_sandbox.alipay.profit_sharing import PAYING_OUT, check_profit_shares
from tael_sandbox.alipay.trades import CLOSED, NOT_EXIST, ONLINE, Trade, by_order
from tael_sandbox.clock import bjt, from_stamp
from tael_sandbox.profiles import current_profile

MAX_UNITS: Final = "9999999.99"
#: Between two online refunds of one PID, in the profile `strict`.
MIN_INTERVAL: Final = timedelta(seconds=3)
#: End of the nightly pause of synchronous in-store refunds, in the profile `strict`.
NIGHT_ENDS: Final = timedelta(hours=1, minutes=30)

NO_TRADE, OTHER_CURRENCY, OTHER_REFUND = "no trade", "other currency", "other refund"
TOO_MUCH, TOO_LATE, ALL_RETURNED = "too much", "too late", "all returned"
AT_NIGHT: Final = "TRADE_STATUS_ERROR"
TOO_SOON: Final = "REPEATED_REFUNDMENT_REQUEST_TO_ONE_TRADE"
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
class RefundRequest:
    order_no: str
    refund_no: str
    amount_minor: int
    price_currency: str
    currency: str


@dataclass(frozen=True, slots=True)
class Refund:
    trade: Trade
    cny_minor: int


class RefundViolation(Exception):
    """The rule that a refund request violates: a key of both families' codes, or a code that both share."""


def refund_spot(call: Call) -> Node:
    parameters = acquire_parameters(call)
    currency = parameters.currency()
    order_no, refund_no = parameters.number("partner_trans_id"), parameters.number("partner_refund_id")
    amount_minor = parameters.amount("refund_amount", currency, MAX_UNITS)
    for spelling in ("refund_reason", "refund_reson"):  # older documents spell it so
        parameters.optional(spelling, 128)
    _check_sync(parameters)
    parameters.url("notify_url")
    if refund_no == order_no:
        raise parameters.refuse()
    echo = {
        "partner_trans_id": order_no,
        "partner_refund_id": refund_no,
        "refund_amount": parameters.fields["refund_amount"],
        "currency": currency,
    }
    try:
        refunded = _refund(
            call,
            RefundRequest(order_no, refund_no, amount_minor, currency, currency),
            trade_no=parameters.fields.get("alipay_trans_id"),
        )
    except RefundViolation as violation:
        return Node("alipay", {"result_code": "FAILED", "error": _error_code(violation, SPOT_CODES), **echo})
    return Node(
        "alipay",
        {
            "result_code": "SUCCESS",
            "alipay_trans_id": refunded.trade.trade_no or "",
            **echo,
            "exchange_rate": exchange_rate(refunded.trade),
            "refund_amount_cny": rates.in_units(refunded.cny_minor, "CNY"),
        },
    )


def refund_forex(call: Call) -> Bare:
    parameters = call.parameters("ILLEGAL_ARGUMENT")
    currency = parameters.currency()
    order_no, refund_no = parameters.number("out_trade_no"), parameters.number("out_return_no")
    is_in_cny = "return_rmb_amount" in parameters.fields
    if is_in_cny == ("return_amount" in parameters.fields):
        raise parameters.refuse()
    name, price_currency = ("return_rmb_amount", "CNY") if is_in_cny else ("return_amount", currency)
    amount_minor = parameters.amount(name, price_currency, MAX_UNITS)
    product_code = parameters.optional("product_code", 32)
    if product_code is None and call.contract.needs_product_code:
        raise parameters.refuse()
    parameters.time("gmt_return", COMPACT, DASHED)
    parameters.optional("reason", 100)
    check_profit_shares(parameters, PAYING_OUT, price_currency, amount_minor)
    _check_sync(parameters)
    try:
        _refund(
            call,
            RefundRequest(order_no, refund_no, amount_minor, price_currency, currency),
            product_code=product_code,
        )
    except RefundViolation as violation:
        raise Refused(_error_code(violation, FOREX_CODES)) from None
    return Bare()


def query_refund(call: Call) -> Node:
    """Queries refunds of both families; in-store numbers are sent under the online names."""
    parameters = acquire_parameters(call)
    order_no, refund_no = parameters.number("out_trade_no"), parameters.number("out_return_no")
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
    call: Call, request: RefundRequest, *, trade_no: str | None = None, product_code: str | None = None
) -> Refund:
    """Makes the refund, or returns it if it was made before. Raises RefundViolation."""
    trade = by_order(call.preconditions.connection, call.pid, request.order_no)
    if trade is None or trade.paid_at is None or trade_no not in (None, trade.trade_no):
        raise RefundViolation(NO_TRADE)
    if product_code not in (None, trade.product_code):
        raise Refused("ILLEGAL_ARGUMENT")
    if (request.currency, request.price_currency) != (trade.currency, trade.price_currency):
        raise RefundViolation(OTHER_CURRENCY)
    earlier = _row(call, request.refund_no)
    if earlier is not None:
        if (earlier["trade_id"], earlier["amount_minor"]) != (trade.id, request.amount_minor):
            raise RefundViolation(OTHER_REFUND)
        return Refund(trade, earlier["cny_minor"])
    if trade.state == CLOSED:
        raise RefundViolation(ALL_RETURNED)
    if call.preconditions.now.timestamp() > trade.paid_at + _seconds(changes.REFUND_WINDOW):
        raise RefundViolation(TOO_LATE)
    if request.amount_minor > trade.refundable_minor:
        raise RefundViolation(TOO_MUCH)
    if current_profile(call.preconditions.connection).is_strict:
        _check_strict_limits(call, trade)
    magic_error = magic.refusal(
        call.preconditions.connection, magic.REFUND, request.amount_minor, trade.amount_minor
    )
    if magic_error is not None:
        raise RefundViolation(magic_error)
    cny_minor = changes.cny_of(trade, request.amount_minor)
    call.preconditions.connection.execute(
        "INSERT INTO alipay_refund (pid, refund_no, trade_id, order_no, amount_minor, cny_minor, made_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            call.pid,
            request.refund_no,
            trade.id,
            request.order_no,
            request.amount_minor,
            cny_minor,
            call.preconditions.now.timestamp(),
        ),
    )
    return Refund(changes.return_money(call.preconditions, trade, request.amount_minor), cny_minor)


def _row(call: Call, refund_no: str) -> Mapping[str, int] | None:
    row: Mapping[str, int] | None = call.preconditions.connection.execute(
        "SELECT * FROM alipay_refund WHERE pid = ? AND refund_no = ?", (call.pid, refund_no)
    ).fetchone()
    return row


def _check_strict_limits(call: Call, trade: Trade) -> None:
    """Synchronous in-store refunds pause at night; online ones need a minimum interval. Raises RefundViolation."""
    if trade.is_in_store:
        is_sync = call.request.fields.get("is_sync", "N") == "Y"
        now = bjt(call.preconditions.now)
        if is_sync and timedelta(hours=now.hour, minutes=now.minute) < NIGHT_ENDS:
            raise RefundViolation(AT_NIGHT)
        return
    last = call.preconditions.connection.execute(
        "SELECT max(r.made_at) AS made_at FROM alipay_refund r JOIN alipay_trade t ON t.id = r.trade_id"
        " WHERE r.pid = ? AND t.product IN (?, ?, ?)",
        (call.pid, *ONLINE),
    ).fetchone()["made_at"]
    if last is not None and call.preconditions.now < from_stamp(last) + MIN_INTERVAL:
        raise RefundViolation(TOO_SOON)


def _error_code(violation: RefundViolation, family: Mapping[str, str]) -> str:
    return family.get(str(violation), str(violation))


def _check_sync(parameters: Parameters) -> None:
    """Both values are executed at once here, so `N` makes no difference."""
    if parameters.fields.get("is_sync", "N") not in ("Y", "N"):
        raise parameters.refuse()


def _seconds(span: timedelta) -> float:
    return span.total_seconds()
