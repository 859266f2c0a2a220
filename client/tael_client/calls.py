"""The parameters of each call of the API, under QFPay's names. Pure: nothing is sent from here.

`mchid` is the merchant's id ("" if the appcode has only one), `at` the time for `txdtm`.
"""

from datetime import date, datetime
from typing import Final, Literal

from tael_client import reading
from tael_client.answers import Close, Payment, QueryPage, Refund, Reversal, Settlement
from tael_client.exchange import Call
from tael_client.injection import NOT_IN_A_PAYMENT, check_more
from tael_client.moments import month_of_number, wire_text
from tael_client.money import Money
from tael_client.orders import Filters, PaymentOrder, check_amount, check_number

#: The server reduces larger pages to this many rows.
MAX_ROWS: Final = 100
#: `paymethod` of each wallet.
PAYMETHODS: Final = {"alipay": "2", "wechat": "3"}

WalletName = Literal["alipay", "wechat"]


def payment(order: PaymentOrder, mchid: str, at: datetime) -> Call[Payment]:
    params = {
        "mchid": mchid,
        "pay_type": order.pay_type.value,
        "out_trade_no": order.reference,
        "txdtm": wire_text(order.client_time or at),
        "txamt": str(order.amount.amount_minor),
        "txcurrcd": order.amount.currency,
        "auth_code": order.auth_code,
        "sub_openid": order.openid,
        "product_name": order.product_name,
        "valid_time": "" if order.valid_time_s is None else str(order.valid_time_s),
        "udid": order.device,
    }
    check_more(order.more, params, NOT_IN_A_PAYMENT)
    echoed = {name: params[name] for name in ("pay_type", "out_trade_no", "txamt")}
    if order.amount.currency:
        echoed["txcurrcd"] = order.amount.currency
    return Call("/trade/v1/payment", {**order.more, **params}, reading.payment, echoed)


def refund(payment_syssn: str, reference: str, amount: Money, mchid: str, at: datetime) -> Call[Refund]:
    check_number(payment_syssn)
    check_number(reference)
    check_amount(amount)
    params = {
        "mchid": mchid,
        "syssn": payment_syssn,
        "out_trade_no": reference,
        "txamt": str(amount.amount_minor),
        "txcurrcd": amount.currency,
        "txdtm": wire_text(at),
    }
    echoed = {"orig_syssn": payment_syssn, "out_trade_no": reference, "txamt": params["txamt"]}
    return Call("/trade/v1/refund", params, reading.refund, echoed)


def close(syssn: str, reference: str, mchid: str, at: datetime, amount: Money | None = None) -> Call[Close]:
    """`amount` is required for some apps. The server does not compare it with the order."""
    named = _named(syssn, reference)
    params = {"mchid": mchid, "txdtm": wire_text(at), **named}
    if amount is not None:
        check_amount(amount)
        params["txamt"] = str(amount.amount_minor)
    return Call("/trade/v1/close", params, reading.close, _echoed_names(named))


def reversal(syssn: str, reference: str, amount: Money, mchid: str, at: datetime) -> Call[Reversal]:
    """`amount` must be the payment's amount."""
    named = _named(syssn, reference)
    check_amount(amount)
    params = {"mchid": mchid, "txdtm": wire_text(at), **named, "txamt": str(amount.amount_minor)}
    return Call("/trade/v1/reversal", params, reading.reversal, _echoed_names(named))


def payment_filters(syssn: str, reference: str) -> Filters:
    """Filters for the payment with these numbers, within the month of the syssn: some servers search no other month."""
    named = _named(syssn, reference)
    since, until = month_of_number(syssn) or (None, None)
    return Filters(
        syssns=[syssn] if "syssn" in named else [],
        references=[reference] if "out_trade_no" in named else [],
        since=since,
        until=until,
    )


def _named(syssn: str, reference: str) -> dict[str, str]:
    """The parameters that name a payment: one of its numbers, or both."""
    named = {name: number for name, number in (("syssn", syssn), ("out_trade_no", reference)) if number}
    if not named:
        raise ValueError("give the payment's syssn, its reference or both")
    for number in named.values():
        check_number(number)
    return named


def _echoed_names(named: dict[str, str]) -> dict[str, str]:
    """A response has its own syssn as `syssn` and the payment's as `orig_syssn`."""
    names = {"syssn": "orig_syssn", "out_trade_no": "out_trade_no"}
    return {names[name]: number for name, number in named.items()}


def query(
    filters: Filters, page: int, page_size: int, mchid: str, at: datetime | None = None
) -> Call[QueryPage]:
    """`at` is None for a query without `txdtm`, as QFPay documents it."""
    if page < 1 or not 1 <= page_size <= MAX_ROWS:
        raise ValueError(f"page must be at least 1, and page_size from 1 to {MAX_ROWS}")
    params = {
        "mchid": mchid,
        "txdtm": "" if at is None else wire_text(at),
        "syssn": ",".join(filters.syssns),
        "out_trade_no": ",".join(filters.references),
        "pay_type": ",".join(filters.pay_types),
        "respcd": filters.respcd,
        "start_time": "" if filters.since is None else wire_text(filters.since),
        "end_time": "" if filters.until is None else wire_text(filters.until),
        "page": str(page),
        "page_size": str(page_size),
    }
    return Call("/trade/v1/query", params, reading.query_page, is_query=True)


def settlements(
    first: date, last: date, wallet: WalletName | None, mchid: str, at: datetime | None = None
) -> Call[tuple[Settlement, ...]]:
    """Days of settlement in UTC+8, both included. `at` as for a query."""
    start, end = day_text(first), day_text(last)
    if end < start:
        raise ValueError("last must not be before first")
    params = {
        "mchid": mchid,
        "txdtm": "" if at is None else wire_text(at),
        "date_start": start,
        "date_end": end,
        "paymethod": PAYMETHODS[wallet] if wallet else "",
    }
    return Call("/settlement/v1/query", params, reading.settlements, is_query=True, method="GET")


def trade_bill(day: date, of_mchid: str, at: datetime | None = None) -> Call[bytes]:
    """`of_mchid` is "" for all merchants of the app. `at` as for a query."""
    day_text(day)
    params = {
        "mchid": of_mchid,
        "txdtm": "" if at is None else wire_text(at),
        "trade_date": day.isoformat(),
    }
    path = "/download/v1/trade_bill"
    return Call(path, params, reading.no_file, is_query=True, method="GET", read_file=bytes)


def day_text(day: date) -> str:
    """YYYYMMDD. A datetime is refused: which day it is depends on the time zone."""
    if isinstance(day, datetime):
        raise TypeError("give a date without a time")
    return day.strftime("%Y%m%d")
