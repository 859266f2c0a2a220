"""The nodes of Alipay's responses as values, one type per service. Takes verified fields; decides nothing.

A malformed amount raises `Unreadable`; a missing one is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tael.base.money import Money, from_major
from tael.channels.alipay_mapi.messages import Unreadable
from tael.channels.alipay_mapi.timing import read_time


@dataclass(frozen=True, slots=True)
class SpotPay:
    """The response to a barcode payment."""

    result_code: str
    error: str
    order_number: str
    trade_number: str
    buyer: str
    amount: Money | None
    paid_at: datetime | None


@dataclass(frozen=True, slots=True)
class Precreated:
    """The response to a request for a code that the payer scans."""

    result_code: str
    error: str
    order_number: str
    qr_code: str


@dataclass(frozen=True, slots=True)
class Trade:
    """The wallet's record of an order, in-store or online; `amount` is the price, if included."""

    state: str
    order_number: str
    trade_number: str
    buyer: str
    amount: Money | None
    paid_at: datetime | None
    was_paid: bool  #: it was paid once, even if it was refunded since
    error: str = ""  #: the query failed and there is no record


@dataclass(frozen=True, slots=True)
class Cancel:
    """The response to a cancel."""

    result_code: str
    error: str
    order_number: str
    trade_number: str
    action: str
    should_retry: bool


@dataclass(frozen=True, slots=True)
class SpotRefund:
    """The response to an in-store refund."""

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


def read_precreated(node: Mapping[str, str]) -> Precreated:
    return Precreated(
        result_code=node.get("result_code", ""),
        error=_error(node),
        order_number=node.get("out_trade_no", ""),
        qr_code=node.get("qr_code", ""),
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
        should_retry=node.get("retry_flag", "") == "Y",
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
        raise Unreadable(f"{name} is not an amount") from error
