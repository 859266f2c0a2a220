"""Reads Alipay's statements: `forex_compare_file`, `forex_liquidation_file`, and the files of the portal. Pure.

The two services return nine fields without a heading. Files of the portal have a heading, and fields separated by `|`
or commas. None of them has totals: a file is complete if its last line has all fields and a line end.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Final

from tael.base.moments import UTC8
from tael.channels.statements import (
    MAX_SHOWN,
    Cells,
    FileName,
    LineType,
    StatementContent,
    StatementFormat,
    StatementKind,
    StatementLine,
    StatementRefused,
)

#: The fields of a file without a heading.
NINE: Final = (
    *("number", "amount", "currency", "paid_at", "settled_at"),
    *("type", "fee", "status", "remarks"),
)
#: The headings of the fields that are read, in the online file of 13 columns and the offline file of 22.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "number": ("Partner_transaction_id",),
    "original": ("Original_partner_transaction_ID",),
    "transaction_id": ("Transaction_ID",),
    "amount": ("Amount", "Gross_amount"),
    "currency": ("Currency",),
    "fee": ("Fee", "Service_charge"),
    "settlement": ("Settlement",),
    "rate": ("Rate",),
    "paid_at": ("Payment_time", "Time"),
    "settled_at": ("Settlement_time",),
    "type": ("Type",),
    "status": ("Status",),
}
#: Headings of documented columns that are not read.
UNREAD: Final = (
    *(
        "Rmb_amount",
        "Rmb_settlement",
        "Remarks",
        "Rmb_Gross_amount",
        "Distribute_amount",
        "Rmb_Distribute_amount",
    ),
    *(
        "Distribute_rmb_amount",
        "Rmb_fee",
        "M_Discount_amount",
        "M_Discount_RMB_amount",
        "Goods_title",
        "Product",
    ),
    *("Liquidation", "Issue"),
)
REQUIRED: Final = ("number", "amount", "currency", "paid_at", "type", "status")
TYPES: Final[Mapping[str, LineType]] = {
    "p": LineType.PAYMENT,
    "payment": LineType.PAYMENT,
    "r": LineType.REFUND,
    "refund": LineType.REFUND,
    "reversal": LineType.REVERSAL,
    "cancel": LineType.REVERSAL,
}
NOTHING: Final = "No balance account data in the period"
#: What the services return in place of a file.
ERRORS: Final = (
    "Over 10 days to Date period",
    "Over limit balance amount record",
    "System exception",
    "Finish date not ahead of today",
    "Finish date ahead of begin date",
    "Illegal Date period!",
    "Date format incorrect YYYYMMDD",
    "Internet connected exception",
)
COMPACT: Final = re.compile(r"\d{14}", re.ASCII)
SPACED: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
NAME: Final = re.compile(r"(2088\d{12})_(fptrade|transaction|settle)_\d{8}.*\.(?:csv|txt)(?:\.gz)?", re.ASCII)
BOM: Final = "\ufeff"

_FIELDS: Final = {heading.casefold(): field for field, names in COLUMNS.items() for heading in names}
_KNOWN: Final = _FIELDS.keys() | {heading.casefold() for heading in UNREAD}


def recognizes(first_line: str) -> bool:
    return _has_heading(first_line) or len(first_line.split("|", len(NINE) - 1)) == len(NINE)


def read(lines: Iterable[str]) -> StatementContent:
    """The content of a file. Raises StatementRefused."""
    numbered = enumerate(lines, 1)
    _, first = next(numbered, (0, ""))
    first = first.removeprefix(BOM)
    if NOTHING in first:
        return StatementContent(iter(()))
    _check_is_no_error(first, numbered)
    if not _has_heading(first):
        return StatementContent(_without_heading(chain([(1, first)], numbered)))
    separator = "|" if "|" in first else ","
    headings = [heading.strip() for heading in first.split(separator)]
    unknown = sum(heading.casefold() not in _KNOWN for heading in headings)
    return StatementContent(_under(headings, separator, numbered), unknown)


def _without_heading(numbered: Iterable[tuple[int, str]]) -> Iterator[StatementLine]:
    places = {field: place for place, field in enumerate(NINE)}
    for number, line in numbered:
        yield _line(Cells(number, _nine(number, line), places, {}))


def _under(
    headings: Sequence[str], separator: str, numbered: Iterable[tuple[int, str]]
) -> Iterator[StatementLine]:
    places = _places(headings)
    names = {field: headings[place] for field, place in places.items()}
    for number, line in numbered:
        yield _line(Cells(number, _cells(number, line, separator, len(headings)), places, names))


def read_name(name: str) -> FileName:
    """Of a file of the portal: `2088…_fptrade_20260102.csv`, `2088…_settle_20260102_….csv`."""
    match = NAME.fullmatch(name)
    if match is None:
        return FileName()
    kind = StatementKind.SETTLEMENT if match.group(2) == "settle" else StatementKind.TRANSACTIONS
    return FileName(match.group(1), kind)


def _line(cells: Cells) -> StatementLine:
    kind = TYPES.get(cells.required("type").casefold())
    if kind is None:
        raise cells.refused("type", f"not documented: {cells.text('type')[:MAX_SHOWN]!r}")
    number, currency = cells.required("number"), cells.currency("currency")
    has_settlement = bool(cells.text("settlement"))
    return StatementLine(
        number=cells.number,
        type=kind,
        syssn=number,
        payment_syssn=cells.text("original") if kind is LineType.REFUND else number,
        wallet_ref=cells.text("transaction_id"),
        wallet_refund_ref="",
        at=_instant(cells, "paid_at"),
        amount=cells.amount("amount", currency),
        fee_micros=cells.micros("fee"),
        settlement=cells.amount("settlement", currency) if has_settlement else None,
        rate_e8=cells.rate("rate"),
        settled_at=_instant(cells, "settled_at") if cells.text("settled_at") else None,
        state=cells.required("status"),
        identity="",
    )


def _instant(cells: Cells, field: str) -> datetime:
    """`yyyyMMddHHmmss`, or with spaces, in Beijing."""
    text = cells.required(field)
    try:
        if COMPACT.fullmatch(text):
            local = datetime.fromisoformat(f"{text[:8]}T{text[8:]}")
        elif SPACED.fullmatch(text):
            local = datetime.fromisoformat(text)
        else:
            raise ValueError
    except ValueError:
        raise cells.refused(field, f"not a time: {text[:MAX_SHOWN]!r}") from None
    return local.replace(tzinfo=UTC8).astimezone(UTC)


def _check_is_no_error(first: str, rest: Iterator[tuple[int, str]]) -> None:
    text = first.strip()
    for error in ERRORS:
        if text.startswith(error):
            raise StatementRefused(f"an error of Alipay: {error!r}")
    if text.startswith("<"):
        body = text + "".join(line for _, line in islice(rest, 20))
        code = re.search(r"<error>([A-Z_]{1,64})</error>", body)
        raise StatementRefused(f"an error of Alipay: {code.group(1)!r}" if code else "not a statement")


def _has_heading(line: str) -> bool:
    return COLUMNS["number"][0].casefold() in line.casefold()


def _places(headings: Sequence[str]) -> dict[str, int]:
    """The place of each field. Raises StatementRefused."""
    places: dict[str, int] = {}
    for place, heading in enumerate(headings):
        field = _FIELDS.get(heading.casefold())
        if field in places:
            raise StatementRefused("the column is there twice", 1, heading)
        if field is not None:
            places[field] = place
    missing = [COLUMNS[field][0] for field in REQUIRED if field not in places]
    if missing:
        raise StatementRefused(f"no heading of a statement: without {', '.join(missing)}", 1)
    return places


def _nine(number: int, line: str) -> list[str]:
    """Remarks come last, and may contain the separator."""
    cells = _complete(number, line).split("|", len(NINE) - 1)
    if len(cells) != len(NINE):
        raise StatementRefused(f"{len(cells)} fields, not {len(NINE)}: the file is incomplete", number)
    return cells


def _cells(number: int, line: str, separator: str, count: int) -> list[str]:
    """A portal's file quotes cells with commas."""
    text = _complete(number, line)
    try:
        cells = text.split(separator) if separator == "|" else next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise StatementRefused(f"not a line of a CSV file: {error}", number) from None
    if len(cells) != count:
        raise StatementRefused(f"{len(cells)} cells under {count} headings: the file is incomplete", number)
    return cells


def _complete(number: int, line: str) -> str:
    """The line without its end, which must be there: nothing else shows that a file was not cut."""
    if not line.endswith("\n"):
        raise StatementRefused("the line has no end: the file is incomplete", number)
    return line.rstrip("\r\n")


STATEMENTS: Final = StatementFormat(recognizes, read, read_name)
