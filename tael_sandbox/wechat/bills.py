"""`/pay/downloadbill`: a day's movements of money as text, one row each, with a summary at the end.

The rows are stored when the day is closed; a request selects and formats them. Neither bills nor their errors are
signed, and the code of an error is in `error_code`.
"""

import gzip
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

from starlette.responses import Response

from tael_sandbox import rates, statements
from tael_sandbox.clock import from_stamp
from tael_sandbox.statements import ONE_DAY, Line
from tael_sandbox.wechat import bill_headers, numbering
from tael_sandbox.wechat.calls import BAD_FORM, BAD_SIGNATURE, BAD_XML, MISSING, AdmittedRequest
from tael_sandbox.wechat.entries import Entry, entries_between
from tael_sandbox.wechat.messages import xml_reply
from tael_sandbox.wechat.registry import Registry, wire_number

PATH: Final = "/pay/downloadbill"
#: For a merchant both wallets of WeChat are one, with common days.
BOOK: Final = "wechat"

#: Time of day in Beijing at which the creation of the bill begins, and at which it can be downloaded.
CREATED_AT: Final = timedelta(hours=9)
READY_AT: Final = timedelta(hours=10)
MAX_AGE_DAYS: Final = 90

BAD_REQUEST, NO_BILL, SYSTEM_FAILURE = 20001, 20002, 20003
_REJECTION_TEXTS: Final = {
    BAD_SIGNATURE: "SIGN ERROR",
    BAD_XML: "data format error",
    f"bill_date{BAD_FORM}": "invalid bill_date",
    f"bill_type{BAD_FORM}": "invalid bill_type",
}

COLUMNS: Final = (
    "Transaction time",
    "Official account ID",
    "Vendor ID",
    "Sub vendor ID",
    "Device ID",
    "Wechat order number",
    "Vendor order number",
    "User tag",
    "Transaction type",
    "Transaction status",
    "Payment bank",
    "Currency type",
    "Total amount",
    "Coupon amount",
    "Refund application time",
    "Refund success time",
    "Wechat refund number",
    "Vendor refund number",
    "Refund amount",
    "Coupon refund amount",
    "Refund type",
    "Refund status",
    "Product name",
    "Vendor's data package",
    "Fee",
    "Rate",
    "Payment currency type",
    "Cash payment amount",
    "Settlement currency type",
    "Settlement currency amount",
    "Exchange rate",
    "Refund exchange rate",
    "Payer's refund amount",
    "Payer's refund currency type",
    "Refund currency type",
    "Refund settlement currency type",
    "Refund settlement amount",
)
_REFUND_TIMES: Final = COLUMNS[14:16]
_REFUND_COLUMNS: Final = (*COLUMNS[14:22], *COLUMNS[31:])
#: For each type: the columns that it does not have, and the statuses of its rows.
BILL_TYPES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "ALL": (_REFUND_TIMES, ("SUCCESS", "REFUND", "REVOKED")),
    "SUCCESS": (_REFUND_COLUMNS, ("SUCCESS",)),
    "REFUND": ((), ("REFUND",)),
    "REVOKED": (_REFUND_TIMES, ("REVOKED",)),
}
SUMMARY: Final = (
    "Total transaction count",
    "Total transaction amount",
    "Total refund amount",
    "Total coupon refund amount",
    "Total commission amount",
)
_BREAKS: Final = str.maketrans("`\r\n", "   ")


def downloadbill(request: AdmittedRequest) -> Response:
    if request.text("tar_type") not in ("", "GZIP"):
        return failure("data format error")
    bill_type = request.text("bill_type") or "ALL"
    if bill_type not in BILL_TYPES:
        return failure("invalid bill_type")
    day = _requested_day(request)
    today = statements.day_of(request.now)
    if day is None or day < today - timedelta(days=MAX_AGE_DAYS):
        return failure("invalid bill_date")
    if not statements.is_cut(request.connection, BOOK, day):
        midnight = statements.start_of(day + ONE_DAY)
        if request.now < midnight + CREATED_AT:
            return failure("No Bill Exist", NO_BILL)
        if request.now < midnight + READY_AT:
            return failure("Bill Creating", NO_BILL)
        cut(request.connection, request.registry, day, request.now)
    rows = [row for row in _stored(request, day) if row["Transaction status"] in BILL_TYPES[bill_type][1]]
    if not rows:
        return failure("No Bill Exist", NO_BILL)
    language = bill_headers.language_of(request.connection, *map(wire_number, _accounts(request)))
    return _file(bill_text(bill_type, rows, language), is_packed=request.text("tar_type") == "GZIP")


def cut(connection: sqlite3.Connection, registry: Registry, day: date, now: datetime) -> None:
    """Closes the day for every merchant. A closed day never changes."""
    span = statements.span_of(connection, BOOK, day, now)
    entries = entries_between(connection, registry.merchants_and_twins, span.since, span.until)
    lines = [Line(entry.merchant.number, row_of(entry, registry, now)) for entry in entries]
    statements.store_statement(connection, BOOK, span, lines, now)


def failure(return_msg: str, error_code: int = BAD_REQUEST) -> Response:
    return xml_reply({"return_code": "FAIL", "return_msg": return_msg, "error_code": str(error_code)})


def rejection(return_msg: str) -> Response:
    """The error for a rejection that all calls share, with this call's own texts."""
    if return_msg.startswith(MISSING):
        return failure(f"missing parameter {return_msg.removeprefix(MISSING)}")
    other = "data format error" if return_msg.endswith(BAD_FORM) else return_msg
    return failure(_REJECTION_TEXTS.get(return_msg, other))


def system_error() -> Response:
    return failure("SYSTEMERROR", SYSTEM_FAILURE)


def row_of(entry: Entry, registry: Registry, now: datetime) -> dict[str, str]:
    """Every column. `Payment time` is for the bill of refunds, where it replaces the transaction time."""
    trade = entry.trade
    assert trade.payer is not None
    return {
        "Transaction time": numbering.readable_time(from_stamp(entry.at)),
        "Payment time": numbering.readable_time(from_stamp(trade.paid_at or 0)),
        "Official account ID": trade.appid,
        "Vendor ID": wire_number(trade.mch_id),
        "Sub vendor ID": wire_number(trade.sub_mch_id) or "0",
        "Device ID": trade.device_info,
        "Wechat order number": trade.transaction_id,
        "Vendor order number": trade.out_trade_no,
        "User tag": registry.openid(trade.payer, trade.appid),
        "Transaction type": trade.trade_type,
        "Transaction status": entry.kind,
        "Payment bank": trade.bank_type,
        "Currency type": trade.fee_type,
        "Coupon amount": "0",
        "Coupon refund amount": "0",
        "Product name": trade.body,
        "Vendor's data package": trade.attach,
        "Fee": f"{entry.fee:f}",
        "Rate": rates.percentage(entry.merchant.contract.fee_rate_ppm),
        "Payment currency type": trade.cash_fee_type,
        "Settlement currency type": entry.settlement_currency,
        "Exchange rate": trade.rate or "0",
        **(_paid_cells(entry) if entry.is_payment else _returned_cells(entry, now)),
    }


def _paid_cells(entry: Entry) -> dict[str, str]:
    trade = entry.trade
    numbers = (
        *("Wechat refund number", "Vendor refund number", "Refund amount", "Refund exchange rate"),
        *("Payer's refund amount", "Refund settlement amount"),
    )
    return dict.fromkeys(numbers, "0") | {
        "Total amount": rates.in_units(trade.total_fee, trade.fee_type),
        "Cash payment amount": rates.in_units(trade.cash_fee, trade.cash_fee_type),
        "Settlement currency amount": rates.in_units(entry.settled, entry.settlement_currency),
    }


def _returned_cells(entry: Entry, now: datetime) -> dict[str, str]:
    trade, refund = entry.trade, entry.refund
    cash = refund.cash_refund_fee if refund is not None else trade.cash_fee
    done_at = refund.success_at if refund is not None else entry.at
    is_done = done_at is not None and done_at <= now.timestamp()
    return {
        "Total amount": "0",
        "Cash payment amount": "0",
        "Settlement currency amount": "0",
        "Refund application time": numbering.readable_time(from_stamp(entry.at)),
        "Refund success time": numbering.readable_time(from_stamp(done_at)) if done_at and is_done else "",
        "Wechat refund number": refund.refund_id if refund is not None else "0",
        "Vendor refund number": refund.out_refund_no if refund is not None else "0",
        "Refund amount": rates.in_units(entry.amount, trade.fee_type),
        "Refund type": "ORIGINAL",
        "Refund status": "SUCCESS" if is_done else "PROCESSING",
        "Refund exchange rate": trade.rate or "0",
        "Payer's refund amount": rates.in_units(cash, trade.cash_fee_type),
        "Payer's refund currency type": trade.cash_fee_type,
        "Refund currency type": trade.fee_type,
        "Refund settlement currency type": entry.settlement_currency,
        "Refund settlement amount": rates.in_units(entry.settled, entry.settlement_currency),
    }


def bill_text(bill_type: str, rows: Sequence[Mapping[str, str]], language: str) -> str:
    """The text of the bill. In the bill of refunds the first column is the time of the payment."""
    excluded, _kinds = BILL_TYPES[bill_type]
    columns = [column for column in COLUMNS if column not in excluded]
    if bill_type == "REFUND":
        rows = [{**row, "Transaction time": row["Payment time"]} for row in rows]
    table = [[row.get(column, "") for column in columns] for row in rows]
    return "".join(
        [
            "\ufeff",
            _line(bill_headers.headings(columns, language)),
            *(_line(_marked(cells)) for cells in table),
            *(_line(bill_headers.headings(SUMMARY, language)), _line(_marked(_summary(rows)))),
        ]
    )


def _summary(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Sums amounts of all currencies, as the wallet does."""
    sums = [
        sum((Decimal(row[column]) for row in rows), Decimal(0))
        for column in ("Total amount", "Refund amount", "Coupon refund amount", "Fee")
    ]
    return [str(len(rows)), *(f"{total:f}" for total in sums)]


def _marked(cells: Sequence[str]) -> list[str]:
    """Prefixes cells with a backquote. Nothing is quoted: a cell ends before the next comma and backquote."""
    return ["`" + cell.translate(_BREAKS) for cell in cells]


def _line(cells: Sequence[str]) -> str:
    return ",".join(cells) + "\r\n"


def _file(text: str, *, is_packed: bool) -> Response:
    content = text.encode()
    if is_packed:  # without a time in the header, so that the same bill is the same file
        return Response(gzip.compress(content, mtime=0), media_type="application/x-gzip")
    return Response(content, media_type="text/plain")


def _stored(request: AdmittedRequest, day: date) -> list[dict[str, str]]:
    rows = statements.stored_rows(request.connection, BOOK, day, _accounts(request))
    device = request.text("device_info")
    return [row for row in rows if device in ("", row["Device ID"])]


def _accounts(request: AdmittedRequest) -> list[str]:
    return [merchant.number for merchant in request.merchants]


def _requested_day(request: AdmittedRequest) -> date | None:
    try:
        return numbering.read_wire_day(request.text("bill_date"))
    except ValueError:
        return None
