"""Reads Alipay's statements: `forex_compare_file`, `forex_liquidation_file`, and the files of the portal. Pure.

The two services return nine fields without a heading. Files of the portal have a heading, and fields separated by `|`
or commas. Only a shop's file of transactions has a count of its lines. Any other file is complete if its last line has
all fields and a line end; `settle_bundle.py` reads the zip of a day's settlement, whose sums must agree.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice
from typing import Final

from tael.base.moments import UTC8
from tael.channels.alipay_mapi import settle_bundle
from tael.channels.alipay_mapi.statement_columns import (
    BATCH_COLUMNS,
    COLUMNS,
    FIELDS,
    LEADING,
    NINE,
    REQUIRED,
    TYPES,
    WITHOUT_STATUS,
    day_of,
    is_known,
    places_of,
)
from tael.channels.statements import (
    MAX_SHOWN,
    Cells,
    FeeRule,
    FileName,
    LineType,
    StatementContent,
    StatementFormat,
    StatementKind,
    StatementLine,
    StatementRefused,
)

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
BUNDLE_NAME: Final = re.compile(r"(2088\d{12})_\d{8}\.zip", re.ASCII)
BOM: Final = "\ufeff"


def recognizes(first_line: str) -> bool:
    return (
        _has_heading(first_line)
        or _is_leading(first_line)
        or len(first_line.split("|", len(NINE) - 1)) == len(NINE)
    )


def read(lines: Iterable[str]) -> StatementContent:
    """The content of a file. Raises StatementRefused."""
    numbered = enumerate(lines, 1)
    _, first = next(numbered, (0, ""))
    first = first.removeprefix(BOM)
    if NOTHING in first:
        return StatementContent(iter(()))
    _check_is_no_error(first, numbered)
    if _is_leading(first):
        return _counted(first, numbered)
    if first.casefold().startswith(BATCH_COLUMNS["batch_no"].casefold()):
        raise StatementRefused("a list of batches without their lines: import the zip file that has both")
    if not _has_heading(first):
        return StatementContent(_without_heading(chain([(1, first)], numbered)))
    return _under(1, first, numbered)


def _counted(first: str, numbered: Iterator[tuple[int, str]]) -> StatementContent:
    """A shop's file: names and values of its account, day and number of lines, and then its lines under a heading."""
    leading = _leading(first, *next(numbered, (2, "")))
    number, heading = next(numbered, (3, ""))
    content = _under(number, heading, numbered)
    lines = _check_count(content.lines, leading)
    return replace(
        content, lines=lines, day=day_of(leading, "payment_time"), identity=leading.required("partner")
    )


def _leading(first: str, number: int, line: str) -> Cells:
    separator = _separator(first)
    headings = [heading.strip() for heading in first.split(separator)]
    places = {heading.casefold(): place for place, heading in enumerate(headings)}
    names = {heading.casefold(): heading for heading in headings}
    return Cells(number, _cells(number, line, separator, len(headings)), places, names)


def _check_count(lines: Iterator[StatementLine], leading: Cells) -> Iterator[StatementLine]:
    count = 0
    for line in lines:
        count += 1
        yield line
    if leading.required("total_count") != str(count):
        said = leading.required("total_count")[:MAX_SHOWN]
        raise leading.refused("total_count", f"the count is {said}, that of the lines {count}")


def _without_heading(numbered: Iterable[tuple[int, str]]) -> Iterator[StatementLine]:
    places = {field: place for place, field in enumerate(NINE)}
    for number, line in numbered:
        yield _line(Cells(number, _nine(number, line), places, {}))


def _under(number: int, heading: str, numbered: Iterable[tuple[int, str]]) -> StatementContent:
    separator = _separator(heading)
    headings = [each.strip() for each in heading.split(separator)]
    unknown = sum(not is_known(each) for each in headings)
    return StatementContent(_lines(number, headings, separator, numbered), unknown)


def _lines(
    of_heading: int, headings: list[str], separator: str, numbered: Iterable[tuple[int, str]]
) -> Iterator[StatementLine]:
    places = _places(of_heading, headings)
    names = {field: headings[place] for field, place in places.items()}
    for number, line in numbered:
        yield _line(Cells(number, _cells(number, line, separator, len(headings)), places, names))


def _separator(heading: str) -> str:
    return "|" if "|" in heading else ","


def read_name(name: str) -> FileName:
    """Of a file of the portal: `2088…_fptrade_20260102.csv`, `2088…_settle_20260102_….csv`, `2088…_20260102.zip`."""
    bundle = BUNDLE_NAME.fullmatch(name)
    if bundle is not None:
        return FileName(bundle.group(1), StatementKind.SETTLEMENT)
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
        state=cells.required("status" if cells.has("status") else "type"),
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


def _is_leading(line: str) -> bool:
    names = {name.strip().casefold() for name in line.removeprefix(BOM).split(_separator(line))}
    return names >= set(LEADING)


def _places(number: int, headings: list[str]) -> dict[str, int]:
    """The place of each field. Raises StatementRefused."""
    places, twice = places_of(headings, FIELDS)
    if twice:
        raise StatementRefused("the column is there twice", number, twice[0])
    has_status = WITHOUT_STATUS not in {heading.casefold() for heading in headings}
    required = (*REQUIRED, "status") if has_status else REQUIRED
    missing = [COLUMNS[field][0] for field in required if field not in places]
    if missing:
        raise StatementRefused(f"no heading of a statement: without {', '.join(missing)}", number)
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


#: P and L, the documented states, both say that the money moved.
STATEMENTS: Final = StatementFormat(
    recognizes,
    read,
    read_name,
    FeeRule(decimals=None, is_returned_with_refunds=False),
    partial(settle_bundle.read, read),
)
