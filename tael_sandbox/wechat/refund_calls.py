"""refund and refundquery. A repeated out_refund_no is the same refund."""

from datetime import timedelta
from typing import Final

from tael_sandbox.clock import from_stamp
from tael_sandbox.profiles import current_profile
from tael_sandbox.wechat import magic, refunds, trades
from tael_sandbox.wechat.addresses import is_notify_url
from tael_sandbox.wechat.calls import (
    AdmittedRequest,
    Refusal,
    Rejection,
    belongs_to,
    check_transaction_id,
    find_trade,
)
from tael_sandbox.wechat.messages import Value
from tael_sandbox.wechat.refunds import Refund
from tael_sandbox.wechat.trades import Trade

REFUND_WINDOW: Final = timedelta(days=365)
MAX_REFUNDS: Final = 50
#: Between two refunds of one order, in the profile `strict`.
MIN_INTERVAL: Final = timedelta(seconds=60)
PAGE: Final = 10
DEFAULT_ACCOUNT: Final = "REFUND_SOURCE_UNSETTLED_FUNDS"


def refund(request: AdmittedRequest) -> dict[str, Value]:
    if request.text("notify_url") and not is_notify_url(request.text("notify_url")):
        raise Rejection("notify_url参数格式错误")
    check_transaction_id(request)
    trade = find_trade(request)
    if trade is None:
        raise Refusal("ORDERNOTEXIST", "订单不存在")
    earlier_refund = refunds.by_number(request.connection, request.mch_id, request.text("out_refund_no"))
    if earlier_refund is not None:
        _check_repeat(request, trade, earlier_refund)
        return _accepted(trade, earlier_refund)
    _check(request, trade)
    magic.refuse_if_requested(request.connection, magic.REFUND, request.amount("refund_fee"), trade.total_fee)
    accepted = refunds.accept(
        request.connection,
        trade,
        request.now,
        out_refund_no=request.text("out_refund_no"),
        refund_fee=request.amount("refund_fee"),
        refund_account=request.text("refund_account") or DEFAULT_ACCOUNT,
        notify_url=request.text("notify_url"),
    )
    return _accepted(trade, accepted)


def _is_same_price(request: AdmittedRequest, trade: Trade) -> bool:
    currency = request.text("refund_fee_type") or trade.fee_type
    return (request.amount("total_fee"), currency) == (trade.total_fee, trade.fee_type)


def _check_repeat(request: AdmittedRequest, trade: Trade, earlier_refund: Refund) -> None:
    is_same = (earlier_refund.trade_id, earlier_refund.refund_fee) == (trade.id, request.amount("refund_fee"))
    if not is_same or not _is_same_price(request, trade):
        raise Refusal("PARAM_ERROR", "退款单号已存在，且参数不一致")


def _check(request: AdmittedRequest, trade: Trade) -> None:
    if not trade.is_paid:
        raise Refusal("ERROR", "订单未支付或已撤销")
    if not _is_same_price(request, trade):
        raise Refusal("PARAM_ERROR", "订单金额或币种与原订单不一致")
    if trade.refundable_fee == 0:
        raise Refusal("ERROR", "订单已全额退款")
    if request.amount("refund_fee") > trade.refundable_fee:
        raise Refusal("PARAM_ERROR", "退款金额大于可退金额")
    if trade.paid_at is not None and request.now - from_stamp(trade.paid_at) > REFUND_WINDOW:
        raise Refusal("TRADE_OVERDUE", "订单已经超过退款期限")
    earlier_refunds = refunds.of_trade(request.connection, trade)
    if len(earlier_refunds) >= MAX_REFUNDS:
        raise Refusal("PARAM_ERROR", "部分退款次数超过50次")
    is_too_early = (
        bool(earlier_refunds) and request.now - from_stamp(earlier_refunds[-1].created_at) < MIN_INTERVAL
    )
    if is_too_early and current_profile(request.connection).is_strict:
        raise Refusal("FREQUENCY_LIMITED", "频率限制，请1分钟后再重试")


def _accepted(trade: Trade, accepted: Refund) -> dict[str, Value]:
    fields: dict[str, Value] = {
        "transaction_id": trade.transaction_id,
        "out_trade_no": trade.out_trade_no,
        "out_refund_no": accepted.out_refund_no,
        "refund_id": accepted.refund_id,
        "refund_channel": "",
        "refund_fee": accepted.refund_fee,
        "refund_fee_type": trade.fee_type,
        "total_fee": trade.total_fee,
        "fee_type": trade.fee_type,
        "cash_fee": trade.cash_fee,
        "cash_fee_type": trade.cash_fee_type,
        "cash_refund_fee": accepted.cash_refund_fee,
        "cash_refund_fee_type": trade.cash_fee_type,
    }
    return fields | ({"rate": trade.rate} if trade.rate else {})


def refundquery(request: AdmittedRequest) -> dict[str, Value]:
    trade, rows = _requested_refunds(request)
    if trade is None or not rows:
        raise Refusal("REFUNDNOTEXIST", "not exist")
    start = int(request.text("offset") or 0)
    page = rows[start : start + PAGE]
    fields: dict[str, Value] = {
        "transaction_id": trade.transaction_id,
        "out_trade_no": trade.out_trade_no,
        "total_fee": trade.total_fee,
        "fee_type": trade.fee_type,
        "cash_fee": trade.cash_fee,
        "cash_fee_type": trade.cash_fee_type,
        "refund_count": len(page),
    }
    if request.text("offset") or len(rows) > PAGE:
        fields["total_refund_count"] = len(rows)
    for place, row in enumerate(page):
        fields |= {f"{name}_{place}": value for name, value in _row(row).items()}
    return fields | ({"rate": trade.rate} if trade.rate else {})


def _row(row: Refund) -> dict[str, Value]:
    fields: dict[str, Value] = {
        "out_refund_no": row.out_refund_no,
        "refund_id": row.refund_id,
        "refund_channel": "ORIGINAL",
        "refund_fee": row.refund_fee,
        "refund_status": row.status,
        "refund_account": row.refund_account,
        "refund_recv_accout": "支付用户零钱",
    }
    return fields | ({"refund_success_time": refunds.success_time(row)} if row.success_at is not None else {})


def _requested_refunds(request: AdmittedRequest) -> tuple[Trade | None, list[Refund]]:
    """Finds refunds by `refund_id`, otherwise by `out_refund_no`, otherwise all of the trade's."""
    if request.text("refund_id"):
        row = refunds.by_refund_id(request.connection, request.mch_id, request.text("refund_id"))
    elif request.text("out_refund_no"):
        row = refunds.by_number(request.connection, request.mch_id, request.text("out_refund_no"))
    else:
        trade = find_trade(request)
        return trade, refunds.of_trade(request.connection, trade) if trade is not None else []
    if row is None:
        return None, []
    trade = trades.by_id(request.connection, row.trade_id)
    return (trade, [row]) if belongs_to(trade, request) else (None, [])
