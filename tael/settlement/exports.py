"""Writes rows as CSV, JSON or HTML, page by page. Knows neither terminal nor database.

Texts come from merchants and payers. In CSV a text that a spreadsheet would run as a formula begins with an apostrophe
(OWASP, "CSV Injection"); HTML is escaped. Numbers are numbers: a negative amount is no text, and stays as it is.
"""

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

#: A text, a number, or nothing.
Cell = str | int | Decimal | None
Row_contra = TypeVar("Row_contra", contravariant=True)
Row = TypeVar("Row")

#: What begins a formula, also with the full-width characters of a Chinese keyboard, or hides one that follows.
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
#: Excel reads UTF-8 only after it.
BOM: Final = "\ufeff".encode()
PAGE: Final = 1_000
TEMPLATES: Final = Environment(
    loader=PackageLoader("tael.settlement"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Format(StrEnum):
    CSV = "csv"
    JSON = "json"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class Grid:
    """A small table: of totals, for instance."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def is_number(self, column: int) -> bool:
        return any(is_number(row[column]) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Head:
    """What precedes the rows: shown facts and tables in HTML, members in JSON. CSV has rows only."""

    title: str
    facts: Mapping[str, str]
    grids: Sequence[Grid]
    members: Mapping[str, Any]


class Writer(Protocol):
    """Rows as bytes: `begin`, then pages of rows, then `end`."""

    def begin(self) -> bytes: ...

    def page(self, rows: Sequence[Any]) -> bytes: ...

    def end(self) -> bytes: ...


class Columns(Protocol[Row_contra]):
    """How rows of one kind are written."""

    name: str  #: of the list in JSON
    headings: Sequence[str]
    numbers: Collection[str]  #: the headings of columns with numbers
    printed: Sequence[str]  #: the headings of the columns that fit on a page: those of HTML

    def cells(self, row: Row_contra) -> Sequence[Cell]: ...

    def members(self, row: Row_contra) -> Mapping[str, Any]: ...


def writer_of(form: Format, columns: Columns[Any], head: Head) -> Writer:
    match form:
        case Format.CSV:
            return CsvWriter(columns)
        case Format.JSON:
            return JsonWriter(columns, head)
        case Format.HTML:
            return HtmlWriter(columns, head)


def csv_of(columns: Columns[Row], rows: Iterable[Row]) -> Iterator[bytes]:
    """The whole file, piece by piece; `rows` are read a page at a time."""
    writer = CsvWriter(columns)
    yield writer.begin()
    every = iter(rows)
    while page := list(islice(every, PAGE)):
        yield writer.page(page)
    yield writer.end()


class CsvWriter:
    """RFC 4180 in UTF-8 with a byte order mark: a line of headings, then a line for each row."""

    def __init__(self, columns: Columns[Any]) -> None:
        self._columns = columns

    def begin(self) -> bytes:
        return BOM + _csv_lines([self._columns.headings])

    def page(self, rows: Sequence[Any]) -> bytes:
        return _csv_lines(map(self._columns.cells, rows))

    def end(self) -> bytes:
        return b""


class JsonWriter:
    """One object: the members of the head, and a list with an object for each row, a line each."""

    def __init__(self, columns: Columns[Any], head: Head) -> None:
        self._columns = columns
        self._head = head
        self._is_first = True

    def begin(self) -> bytes:
        members = [_json(name) + b":" + _json(value) for name, value in self._head.members.items()]
        return b"{" + b",\n".join([*members, _json(self._columns.name) + b":["])

    def page(self, rows: Sequence[Any]) -> bytes:
        lines = b",\n".join(_json(self._columns.members(row)) for row in rows)
        separator = b"\n" if self._is_first else b",\n"
        self._is_first = self._is_first and not rows
        return separator + lines if rows else b""

    def end(self) -> bytes:
        return b"\n]}\n"


class HtmlWriter:
    """One page with its style and without scripts, to be printed on A4."""

    def __init__(self, columns: Columns[Any], head: Head) -> None:
        self._columns = columns
        self._head = head
        self._places = [columns.headings.index(heading) for heading in columns.printed]

    def begin(self) -> bytes:
        return self._part(
            "export_head.html",
            head=self._head,
            rows_title=self._columns.name.capitalize(),
            headings=self._columns.printed,
            numbers=self._columns.numbers,
        )

    def page(self, rows: Sequence[Any]) -> bytes:
        return self._part("export_rows.html", rows=map(self._printed, rows))

    def end(self) -> bytes:
        return self._part("export_end.html")

    def _printed(self, row: Any) -> list[Cell]:
        cells = self._columns.cells(row)
        return [cells[place] for place in self._places]

    @staticmethod
    def _part(template: str, **values: object) -> bytes:
        return TEMPLATES.get_template(template).render(is_number=is_number, **values).encode()


def is_number(cell: Cell) -> bool:
    return isinstance(cell, (int, Decimal))


def without_formula(text: str) -> str:
    """`text` as a spreadsheet shows it and never runs it."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _csv_lines(rows: Iterable[Sequence[Cell]]) -> bytes:
    target = io.StringIO(newline="")
    csv.writer(target, lineterminator="\r\n").writerows([_csv_cell(cell) for cell in row] for row in rows)
    return target.getvalue().encode()


def _csv_cell(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case str():
            return without_formula(cell)
        case _:
            return f"{cell:f}" if isinstance(cell, Decimal) else str(cell)


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)
