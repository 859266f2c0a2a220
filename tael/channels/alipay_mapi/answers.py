"""The nodes of Alipay's answers as values, one type per service. Given proven fields only; decides nothing.

An amount that is there and is no amount raises `Unreadable`; one that the wallet left out is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tael.base.money import Money, from_major
from tael.channels.alipay_mapi.messages import Unreadable
from tael.channels.alipay_mapi.timing import read_time


@dataclass(frozen=True, slots=True)
class SpotPay:
    """The answer to a barcode payment."""

    result_code: str
    error: str
    order_number: str
    trade_number: str
    buyer: str
    amount: Money | None
    paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class Trade:
    """The wallet's record of an order, in-store or online; `amount` is the price, where it says it."""

    state: str
    order_number: str
    trade_number: str
    buyer: str
    amount: Money | None
    paid_at: datetime | None
    was_paid: bool  #: money came once, whatever happened to it since
    error: str = ""  #: the question failed: there is no record to read


@dataclass(frozen=True, slots=True)
class Cancel:
    """The answer to a cancel."""

    result_code: str
    error: str
    order_number: str
    trade_number: str
    action: str
    asks_again: bool


@dataclass(frozen=True, slots=True)
class SpotRefund:
    """The answer to an in-store refund."""

    result_code: str
    error: str
    order_number: str
    refund_number: str
    amount: Money | None


@dataclass(frozen=True, slots=True)
class RefundState:
    """The wallet's record of a refund."""

    response_code: str
    state: str
    error: str
    order_number: str
    refund_number: str
    amount: Money | None


def read_spot_pay(node: Mapping[str, str]) -> SpotPay:
    return SpotPay(
        result_code=node.get("result_code", ""),
        error=_error(node),
        order_number=node.get("partner_trans_id", ""),
        trade_number=node.get("alipay_trans_id", ""),
        buyer=node.get("alipay_buyer_user_id", ""),
        amount=_amount(node, "trans_amount"),
        paid_at=read_time(node.get("alipay_pay_time", "")),
    )


def read_instore_trade(node: Mapping[str, str]) -> Trade:
    succeeded = node.get("result_code") == "SUCCESS"
    return Trade(
        state=node.get("alipay_trans_status", ""),
        order_number=node.get("partner_trans_id") or node.get("out_trade_no", ""),
        trade_number=node.get("alipay_trans_id", ""),
        buyer=node.get("alipay_buyer_user_id", ""),
        amount=_amount(node, "trans_amount"),
        paid_at=read_time(node.get("alipay_pay_time", "")),
        was_paid=bool(node.get("alipay_pay_time")),
        error="" if succeeded else _error(node) or node.get("result_code", "") or "no result_code",
    )


def read_online_trade(node: Mapping[str, str]) -> Trade:
    return Trade(
        state=node.get("trade_status", ""),
        order_number=node.get("out_trade_no", ""),
        trade_number=node.get("trade_no", ""),
        buyer=node.get("buyer_id", ""),
        amount=None,  # `total_fee` is what the payer paid in CNY, not the price
        paid_at=read_time(node.get("gmt_payment", "")),
        was_paid=bool(node.get("gmt_payment") or node.get("refund_status")),
    )


def read_cancel(node: Mapping[str, str]) -> Cancel:
    return Cancel(
        result_code=node.get("result_code", ""),
        error=_error(node),
        order_number=node.get("out_trade_no", ""),
        trade_number=node.get("trade_no", ""),
        action=node.get("action", ""),
        asks_again=node.get("retry_flag", "") == "Y",
    )


def read_spot_refund(node: Mapping[str, str]) -> SpotRefund:
    return SpotRefund(
        result_code=node.get("result_code", ""),
        error=_error(node),
        order_number=node.get("partner_trans_id", ""),
        refund_number=node.get("partner_refund_id", ""),
        amount=_amount(node, "refund_amount"),
    )


def read_refund_state(node: Mapping[str, str]) -> RefundState:
    return RefundState(
        response_code=node.get("response_code", ""),
        state=node.get("refund_result_code", ""),
        error=node.get("refund_error_code", ""),
        order_number=node.get("out_trade_no", ""),
        refund_number=node.get("out_return_no", ""),
        amount=_amount(node, "refund_amount"),
    )


def _error(node: Mapping[str, str]) -> str:
    return node.get("error") or node.get("detail_error_code", "")


def _amount(node: Mapping[str, str], name: str) -> Money | None:
    text, currency = node.get(name), node.get("currency")
    if not text or not currency:
        return None
    try:
        return from_major(text, currency)
    except ValueError as error:
        raise Unreadable(f"{name} is no amount") from error
