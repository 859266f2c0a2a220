"""Reads WeChat Pay's statements: bills, the files of `/pay/downloadbill`, and responses of settlementquery. Pure.

Columns are found by their headings, English or Chinese. Cells of data begin with a back-quote, the first one may lack
it, and a cell ends at the next comma with a back-quote, so that a product's name may have commas. A bill ends with its
totals, which must agree with its lines.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import chain, islice
from typing import Final

from tael.base.moments import UTC8
from tael.base.money import Money
from tael.channels.statements import (
    MAX_SHOWN,
    Cells,
    FeeRule,
    FileName,
    LineType,
    StatementContent,
    StatementFormat,
    StatementLine,
    StatementRefused,
)
from tael.channels.wechat_v2 import settlement_records
from tael.channels.wechat_v2.bill_columns import (
    COLUMNS,
    FIELDS,
    KNOWN,
    REQUIRED,
    REQUIRED_TOTALS,
    TOTAL_FIELDS,
)

SUMS: Final = ("total", "refund", "coupon_refund", "fee")
NO_BILL: Final = "No Bill Exist"
RETURN_MSG: Final = re.compile(r"<return_msg>\s*(?:<!\[CDATA\[)?(.*?)(?:\]\]>)?\s*</return_msg>", re.DOTALL)
XML: Final = "<xml"
MAX_XML_LINES: Final = 50_000
TIME: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
RATE: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
BOM: Final = "\ufeff"


def recognizes(first_line: str) -> bool:
    if first_line.lstrip(BOM).startswith(XML):
        return True
    found = {FIELDS.get(heading.casefold()) for heading in _headings(first_line)}
    return {"time", "mch_id", "out_trade_no"} <= found


def read(lines: Iterable[str]) -> StatementContent:
    """The content of a bill, or of a settlement. Raises StatementRefused."""
    numbered = enumerate(lines, 1)
    _, first = next(numbered, (0, ""))
    if first.lstrip(BOM).startswith("<"):
        return _of_xml(chain([first.lstrip(BOM)], (line for _, line in numbered)))
    headings = _headings(first)
    places, names = _places(headings)
    unknown = sum(heading.casefold() not in KNOWN for heading in headings)
    return StatementContent(_lines(numbered, len(headings), places, names), unknown)


def _lines(
    numbered: Iterator[tuple[int, str]], columns: int, places: dict[str, int], names: dict[str, str]
) -> Iterator[StatementLine]:
    sums = dict.fromkeys(SUMS, Decimal(0))
    count = 0
    for number, line in numbered:
        if _is_heading_of_totals(line):
            _check_totals(number, line, numbered, sums, count)
            return
        cells = Cells(number, _cells(line, columns, number), places, names)
        for field in SUMS:
            sums[field] += cells.decimal(field)
        count += 1
        yield _line(cells)
    raise StatementRefused("the totals are missing: the file is incomplete", count + 2)


def read_name(name: str) -> FileName:
    return FileName()


def _line(cells: Cells) -> StatementLine:
    status, currency = cells.required("status"), cells.currency("currency")
    match status:
        case "SUCCESS":
            return _payment(cells, currency)
        case "REFUND":
            return _returned(cells, currency, LineType.REFUND)
        case "REVOKED":
            return _returned(cells, currency, LineType.REVERSAL)
        case other:
            raise cells.refused("status", f"not documented: {other[:MAX_SHOWN]!r}")


def _payment(cells: Cells, currency: str) -> StatementLine:
    order = cells.required("out_trade_no")
    return StatementLine(
        number=cells.number,
        type=LineType.PAYMENT,
        syssn=order,
        payment_syssn=order,
        wallet_ref=cells.text("transaction_id"),
        wallet_refund_ref="",
        at=_instant(cells, "time"),
        amount=cells.amount("total", currency),
        fee_micros=cells.micros("fee"),
        settlement=_settlement(cells, "settlement", "settlement_currency"),
        rate_e8=_rate(cells, "rate"),
        settled_at=None,
        state=cells.required("status"),
        identity=_identity(cells),
    )


def _returned(cells: Cells, currency: str, kind: LineType) -> StatementLine:
    order = cells.required("out_trade_no")
    refund = _number(cells, "out_refund_no")
    if kind is LineType.REFUND and not refund:
        raise cells.refused("out_refund_no", "the cell is empty")
    # The bill of refunds has the time of the payment in the first column, and that of the refund in its own.
    at = "refund_requested_at" if cells.text("refund_requested_at") else "time"
    returned_in = cells.currency("refund_currency") if cells.text("refund_currency") else currency
    return StatementLine(
        number=cells.number,
        type=kind,
        syssn=refund if kind is LineType.REFUND else order,
        payment_syssn=order,
        wallet_ref=cells.text("transaction_id"),
        wallet_refund_ref=_number(cells, "refund_id"),
        at=_instant(cells, at),
        amount=cells.amount("refund", returned_in),
        fee_micros=cells.micros("fee"),
        settlement=_settlement(cells, "refund_settlement", "refund_settlement_currency"),
        rate_e8=_rate(cells, "refund_rate"),
        settled_at=None,
        state=cells.text("refund_status") or cells.required("status"),
        identity=_identity(cells),
    )


def _identity(cells: Cells) -> str:
    """As `WeChatAccount.identity`. A direct merchant's bill has 0 as the sub-merchant."""
    return f"{cells.required('mch_id')}/{_number(cells, 'sub_mch_id')}"


def _number(cells: Cells, field: str) -> str:
    """Unused cells of numbers have 0."""
    text = cells.text(field)
    return "" if text == "0" else text


def _settlement(cells: Cells, amount: str, currency: str) -> Money | None:
    if not cells.text(currency) or not cells.text(amount):
        return None
    return cells.amount(amount, cells.currency(currency))


def _rate(cells: Cells, field: str) -> int | None:
    """An integer: the rate times 10^8. 0 if there is none."""
    text = _number(cells, field)
    if text and RATE.fullmatch(text) is None:
        raise cells.refused(field, f"not a rate: {text[:MAX_SHOWN]!r}")
    return int(text) if text else None


def _instant(cells: Cells, field: str) -> datetime:
    text = cells.required(field)
    try:
        if TIME.fullmatch(text) is None:
            raise ValueError
        return datetime.fromisoformat(text).replace(tzinfo=UTC8).astimezone(UTC)
    except ValueError:
        raise cells.refused(field, f"not a time: {text[:MAX_SHOWN]!r}") from None


def _of_xml(lines: Iterator[str]) -> StatementContent:
    text = "".join(islice(lines, MAX_XML_LINES))
    if next(lines, ""):
        raise StatementRefused(f"more than {MAX_XML_LINES} lines")
    if settlement_records.is_settlement(text):
        return settlement_records.read(text)
    _check_is_empty_day(text)
    return StatementContent(iter(()))


def _check_is_empty_day(text: str) -> None:
    """An error of WeChat Pay. Raises StatementRefused, unless it means that the day has no transactions."""
    if NO_BILL in text:
        return
    message = RETURN_MSG.search(text)
    raise StatementRefused(
        f"an error of WeChat Pay: {message.group(1)[:MAX_SHOWN]!r}" if message else "not a bill"
    )


def _headings(line: str) -> list[str]:
    return [heading.strip().strip("`") for heading in line.lstrip(BOM).split(",")]


def _places(headings: Sequence[str]) -> tuple[dict[str, int], dict[str, str]]:
    """The place and the heading of each field. Raises StatementRefused."""
    places: dict[str, int] = {}
    for place, heading in enumerate(headings):
        field = FIELDS.get(heading.casefold())
        if field in places:
            raise StatementRefused("the column is there twice", 1, heading)
        if field is not None:
            places[field] = place
    missing = [COLUMNS[field][0] for field in REQUIRED if field not in places]
    if missing:
        raise StatementRefused(f"no heading of a bill: without {', '.join(missing)}", 1)
    return places, {field: headings[place] for field, place in places.items()}


def _cells(line: str, count: int, number: int) -> list[str]:
    cells = line.rstrip("\r\n").removeprefix("`").split(",`")
    if len(cells) != count:
        raise StatementRefused(f"{len(cells)} cells under {count} headings: the file is incomplete", number)
    return cells


def _is_heading_of_totals(line: str) -> bool:
    return not line.startswith("`") and TOTAL_FIELDS.get(_headings(line)[0].casefold()) is not None


def _check_totals(
    number: int,
    heading: str,
    rest: Iterator[tuple[int, str]],
    sums: Mapping[str, Decimal],
    count: int,
) -> None:
    """Raises StatementRefused if they are missing, incomplete, or differ from the lines."""
    last, line = next(rest, (number, ""))
    headings = _headings(heading)
    fields = {TOTAL_FIELDS.get(name.casefold()): place for place, name in enumerate(headings)}
    if not line or not fields.keys() >= set(REQUIRED_TOTALS):
        raise StatementRefused("the totals are missing: the file is incomplete", number)
    cells = _cells(line, len(headings), last)
    expected = {"count": Decimal(count), **sums}
    for field, place in fields.items():
        if field is not None and _decimal(cells[place]) != expected[field]:
            found = f"the total is {cells[place][:MAX_SHOWN]}, that of the lines {expected[field]:f}"
            raise StatementRefused(found, last, headings[place])
    for after, more in rest:
        if more.strip():
            raise StatementRefused("text after the totals", after)


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


STATEMENTS: Final = StatementFormat(
    recognizes,
    read,
    read_name,
    fees=FeeRule(decimals=5, is_returned_with_refunds=True),
    pending_states=frozenset({"PROCESSING"}),
    # Those of bills, and of refund queries.
    failed_states=frozenset({"FAIL", "REFUNDCLOSE", "CHANGE"}),
)
