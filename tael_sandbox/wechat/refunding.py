"""refund and refundquery: money back in parts, each part once however often it is asked for."""

from datetime import timedelta
from typing import Final

from tael_sandbox.clock import from_stamp
from tael_sandbox.profiles import in_force
from tael_sandbox.wechat import magic, refunds, trades
from tael_sandbox.wechat.calls import Ask, Refusal, Rejection, check_transaction_id, find_trade, is_of
from tael_sandbox.wechat.messages import Value
from tael_sandbox.wechat.ordering import is_notify_url
from tael_sandbox.wechat.refunds import Refund
from tael_sandbox.wechat.trades import Trade

REFUND_WINDOW: Final = timedelta(days=365)
MAX_REFUNDS: Final = 50
#: Between two refunds of one order, in the profile `strict`.
PAUSE: Final = timedelta(seconds=60)
PAGE: Final = 10
DEFAULT_ACCOUNT: Final = "REFUND_SOURCE_UNSETTLED_FUNDS"


def refund(ask: Ask) -> dict[str, Value]:
    if ask.text("notify_url") and not is_notify_url(ask.text("notify_url")):
        raise Rejection("notify_url参数格式错误")
    check_transaction_id(ask)
    trade = find_trade(ask)
    if trade is None:
        raise Refusal("ORDERNOTEXIST", "订单不存在")
    known = refunds.by_number(ask.connection, ask.mch_id, ask.text("out_refund_no"))
    if known is not None:
        _check_repeat(ask, trade, known)
        return _accepted(trade, known)
    _check(ask, trade)
    magic.refuse_if_asked(ask.connection, magic.REFUND, ask.amount("refund_fee"), trade.total_fee)
    accepted = refunds.accept(
        ask.connection,
        trade,
        ask.now,
        out_refund_no=ask.text("out_refund_no"),
        refund_fee=ask.amount("refund_fee"),
        refund_account=ask.text("refund_account") or DEFAULT_ACCOUNT,
        notify_url=ask.text("notify_url"),
    )
    return _accepted(trade, accepted)


def _is_same_price(ask: Ask, trade: Trade) -> bool:
    currency = ask.text("refund_fee_type") or trade.fee_type
    return (ask.amount("total_fee"), currency) == (trade.total_fee, trade.fee_type)


def _check_repeat(ask: Ask, trade: Trade, known: Refund) -> None:
    is_same = (known.trade_id, known.refund_fee) == (trade.id, ask.amount("refund_fee"))
    if not is_same or not _is_same_price(ask, trade):
        raise Refusal("PARAM_ERROR", "退款单号已存在，且参数不一致")


def _check(ask: Ask, trade: Trade) -> None:
    if not trade.is_paid:
        raise Refusal("ERROR", "订单未支付或已撤销")
    if not _is_same_price(ask, trade):
        raise Refusal("PARAM_ERROR", "订单金额或币种与原订单不一致")
    if trade.left_fee == 0:
        raise Refusal("ERROR", "订单已全额退款")
    if ask.amount("refund_fee") > trade.left_fee:
        raise Refusal("PARAM_ERROR", "退款金额大于可退金额")
    if trade.paid_at is not None and ask.now - from_stamp(trade.paid_at) > REFUND_WINDOW:
        raise Refusal("TRADE_OVERDUE", "订单已经超过退款期限")
    earlier = refunds.of_trade(ask.connection, trade)
    if len(earlier) >= MAX_REFUNDS:
        raise Refusal("PARAM_ERROR", "部分退款次数超过50次")
    is_too_early = bool(earlier) and ask.now - from_stamp(earlier[-1].created_at) < PAUSE
    if is_too_early and in_force(ask.connection).is_strict:
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


def refundquery(ask: Ask) -> dict[str, Value]:
    trade, found = _asked_refunds(ask)
    if trade is None or not found:
        raise Refusal("REFUNDNOTEXIST", "not exist")
    start = int(ask.text("offset") or 0)
    page = found[start : start + PAGE]
    fields: dict[str, Value] = {
        "transaction_id": trade.transaction_id,
        "out_trade_no": trade.out_trade_no,
        "total_fee": trade.total_fee,
        "fee_type": trade.fee_type,
        "cash_fee": trade.cash_fee,
        "cash_fee_type": trade.cash_fee_type,
        "refund_count": len(page),
    }
    if ask.text("offset") or len(found) > PAGE:
        fields["total_refund_count"] = len(found)
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


def _asked_refunds(ask: Ask) -> tuple[Trade | None, list[Refund]]:
    """By `refund_id`, else `out_refund_no`, else all refunds of the trade that is named."""
    if ask.text("refund_id"):
        one = refunds.by_refund_id(ask.connection, ask.mch_id, ask.text("refund_id"))
    elif ask.text("out_refund_no"):
        one = refunds.by_number(ask.connection, ask.mch_id, ask.text("out_refund_no"))
    else:
        trade = find_trade(ask)
        return trade, refunds.of_trade(ask.connection, trade) if trade is not None else []
    if one is None:
        return None, []
    trade = trades.by_id(ask.connection, one.trade_id)
    return (trade, [one]) if is_of(trade, ask) else (None, [])
