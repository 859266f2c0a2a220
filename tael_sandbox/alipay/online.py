"""Query and close of an online trade: `single_trade_query` and `close_trade`.

An order whose trade does not exist yet at Alipay gets TRADE_NOT_EXIST from both (see `cashier`).
"""

from tael_sandbox import rates
from tael_sandbox.alipay import changes, magic
from tael_sandbox.alipay.checks import DASHED, Parameters
from tael_sandbox.alipay.messages import Bare, Node, Refused
from tael_sandbox.alipay.notices import login_id, user_id
from tael_sandbox.alipay.preconditions import Call, Preconditions
from tael_sandbox.alipay.trades import CLOSED, NOT_EXIST, WAITING, Trade, by_order, by_trade_no
from tael_sandbox.clock import bjt, from_stamp


def query_trade(call: Call) -> Node:
    """Amounts of the response are in CNY, whatever the price's currency."""
    trade = _find(call, call.parameters("ILLEGAL_ARGUMENT"), "out_trade_no")
    fields = _fields(call.preconditions, trade) | _refund_fields(trade)
    return Node("trade", {name: value for name, value in fields.items() if value})


def close_trade(call: Call) -> Bare:
    parameters = call.parameters("ILLEGAL_ARGUMENT")
    if parameters.fields.get("trade_role", "T") not in ("T", "B", "S"):
        raise parameters.refuse()
    trade = _find(call, parameters, "out_order_no")
    if trade.state != WAITING:
        raise Refused("TRADE_STATUS_ERROR")
    magic_error = magic.refusal(call.preconditions.connection, magic.CLOSE, trade.amount_minor)
    if magic_error is not None:
        raise Refused(magic_error)
    changes.close(call.preconditions, trade, call.preconditions.now.timestamp())
    return Bare()


def _find(call: Call, parameters: Parameters, order_name: str) -> Trade:
    """Finds the trade by Alipay's number, which takes precedence, or by the merchant's. Raises Refused."""
    if "trade_no" in parameters.fields:
        trade = by_trade_no(call.preconditions.connection, call.pid, parameters.number("trade_no"))
    else:
        trade = by_order(call.preconditions.connection, call.pid, parameters.number(order_name))
    if trade is None or not trade.exists:
        raise Refused(NOT_EXIST)
    return trade


def _fields(preconditions: Preconditions, trade: Trade) -> dict[str, str]:
    assert trade.payer is not None
    total_cny = rates.in_units(trade.cny_minor, "CNY")
    last_changed = max(filter(None, (trade.created_at, trade.paid_at, trade.closed_at, trade.refunded_at)))
    is_paid = trade.paid_at is not None
    return {
        "trade_no": trade.trade_no or "",
        "out_trade_no": trade.order_no,
        "trade_status": trade.state,
        "total_fee": total_cny,
        "subject": trade.subject,
        "price": total_cny,
        "quantity": "1",
        "discount": "0.00",
        "payment_type": "1",
        "use_coupon": "F",
        "is_total_fee_adjust": "F",
        "flag_trade_locked": "0",
        "operator_role": "B",
        "buyer_id": user_id(preconditions, trade.payer),
        "buyer_email": login_id(trade.payer),
        "seller_id": trade.pid,
        "gmt_create": _printed(trade.created_at),
        "gmt_payment": _printed(trade.paid_at),
        "gmt_close": _printed(trade.closed_at if trade.state == CLOSED else None),
        "gmt_last_modified_time": _printed(last_changed),
        "to_seller_fee": rates.in_units(trade.cny_minor if is_paid else 0, "CNY"),
        "to_buyer_fee": rates.in_units(trade.refunded_cny, "CNY"),
    }


def _refund_fields(trade: Trade) -> dict[str, str]:
    if trade.refunded_at is None:
        return {}
    return {
        "refund_status": "REFUND_SUCCESS",
        "refund_fee": rates.in_units(trade.refunded_cny, "CNY"),
        "gmt_refund": _printed(trade.refunded_at),
    }


def _printed(stamp: float | None) -> str:
    return "" if stamp is None else f"{bjt(from_stamp(stamp)):{DASHED}}"
