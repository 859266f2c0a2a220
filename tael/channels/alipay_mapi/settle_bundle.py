"""Reads the zip of a day's settlement from Alipay's portal: a list of batches, and a file with the lines of each. Pure.

The list is `<PID>_settlebatch_YYYYMMDD.csv`, the lines are `<PID>_settle_YYYYMMDD_<batch>.csv`. The amounts of each
batch must be the sums of its lines, which also shows that no file was cut. Files are read twice, first for the sums.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Final

from tael.base.money import exponent
from tael.channels.alipay_mapi.statement_columns import BATCH_COLUMNS, day_of, places_of, read_day
from tael.channels.line_sums import LineSums
from tael.channels.statements import (
    MAX_SHOWN,
    MICROS,
    BundleMember,
    Cells,
    RemittedBatch,
    StatementContent,
    StatementKind,
    StatementLine,
    StatementRefused,
)

Read = Callable[[Iterable[str]], StatementContent]
LIST: Final = re.compile(r"(2088\d{12})_settlebatch_(\d{8})\.(?:csv|txt)", re.ASCII)
LINES: Final = re.compile(r"(2088\d{12})_settle_(\d{8})_([0-9A-Za-z-]{1,64})\.(?:csv|txt)", re.ASCII)
BOM: Final = "\ufeff"


Key = tuple[str, str]  #: the number of a batch, and its currency


def read(read_lines: Read, members: Sequence[BundleMember]) -> StatementContent:
    """The content of a zip; `read_lines` reads one of its files. Raises StatementRefused, with the name of the file."""
    listed, files, identity, day = _sorted(members)
    sums: defaultdict[Key, LineSums] = defaultdict(LineSums)
    unknown = 0
    for batch_no, member in files.items():
        content = _of_member(read_lines, member)
        unknown = max(unknown, content.unknown_columns)
        for line in _named(member, content.lines):
            sums[batch_no, line.amount.currency].add(line)
    batches = _batches(listed, sums)
    for batch in batches:
        if batch.settled_on != day:
            raise StatementRefused(
                f"{listed.name}: batch {batch.batch_no} is of {batch.settled_on}, not of {day}"
            )
    return StatementContent(
        _all_lines(read_lines, list(files.values())),
        unknown,
        remittances=tuple(batches),
        kind=StatementKind.SETTLEMENT,
        day=day,
        identity=identity,
    )


def _sorted(
    members: Sequence[BundleMember],
) -> tuple[BundleMember, Mapping[str, BundleMember], str, date]:
    """The list, the files by the number of their batch, and the account and day in all names."""
    lists = [(member, match) for member in members if (match := LIST.fullmatch(member.name))]
    files = [(member, match) for member in members if (match := LINES.fullmatch(member.name))]
    if len(lists) != 1:
        raise StatementRefused(
            "the zip file has no list of batches" if not lists else "several lists of batches"
        )
    if len(lists) + len(files) != len(members):
        known = {member.name for member, _ in (*lists, *files)}
        other = next(member.name for member in members if member.name not in known)
        raise StatementRefused(f"the zip file has an unexpected file: {other[:MAX_SHOWN]!r}")
    if len({match.group(1, 2) for _, match in (*lists, *files)}) > 1:
        raise StatementRefused("the zip file has files of several accounts or days")
    by_batch = {match.group(3): member for member, match in files}
    if len(by_batch) != len(files):
        raise StatementRefused("the zip file has two files of a batch")
    ((listed, name),) = lists
    return listed, by_batch, name.group(1), _day_of_name(name.group(2))


def _all_lines(read_lines: Read, members: Sequence[BundleMember]) -> Iterator[StatementLine]:
    """The lines of all files, numbered through."""
    before = 0
    for member in members:
        number = 0
        for line in _named(member, _of_member(read_lines, member).lines):
            number = line.number
            yield replace(line, number=before + number)
        before += number


def _of_member(read_lines: Read, member: BundleMember) -> StatementContent:
    try:
        return read_lines(member.lines())
    except StatementRefused as error:
        raise StatementRefused(f"{member.name}: {error}") from None


def _named(member: BundleMember, lines: Iterator[StatementLine]) -> Iterator[StatementLine]:
    try:
        yield from lines
    except StatementRefused as error:
        raise StatementRefused(f"{member.name}: {error}") from None


def _batches(listed: BundleMember, sums: Mapping[Key, LineSums]) -> list[RemittedBatch]:
    """The batches of the list, each with the sums of its lines, and no other."""
    found: dict[Key, RemittedBatch] = {}
    try:
        for cells in _rows(listed):
            batch_no, currency = cells.required("batch_no"), cells.currency("currency")
            if (batch_no, currency) in found:
                raise cells.refused("batch_no", "the batch is there twice")
            of_batch = sums.get((batch_no, currency))
            if of_batch is None:
                raise cells.refused("batch_no", f"without lines of {currency}")
            found[batch_no, currency] = _batch(cells, batch_no, currency, of_batch)
    except StatementRefused as error:
        raise StatementRefused(f"{listed.name}: {error}") from None
    for batch_no, currency in sums:
        if (batch_no, currency) not in found:
            raise StatementRefused(f"{listed.name}: without batch {batch_no} of {currency}")
    return list(found.values())


def _batch(cells: Cells, batch_no: str, currency: str, sums: LineSums) -> RemittedBatch:
    fee_minor = cells.signed_minor("fee", currency)
    batch = RemittedBatch(
        batch_no=batch_no,
        settled_on=day_of(cells, "settled_on"),
        trades_from=min(sums.days),
        trades_to=max(sums.days),
        currency=currency,
        paid_minor=sums.paid_minor,
        refunded_minor=sums.refunded_minor,
        fee_minor=fee_minor,
    )
    unit = 10 ** (MICROS - exponent(currency))
    if 2 * abs(fee_minor * unit - sums.fee_micros) > unit:  # the fee is rounded
        raise cells.refused("fee", f"the fee of the lines is {sums.fee_micros} millionths")
    for field, minor in (("amount", sums.paid_minor - sums.refunded_minor), ("settlement", batch.net_minor)):
        found_minor = cells.signed_minor(field, currency)
        if found_minor != minor:
            raise cells.refused(field, f"{found_minor} in minor units, but {minor} by the lines")
    return batch


def _rows(listed: BundleMember) -> Iterator[Cells]:
    lines = listed.lines()
    first = next(lines, "").removeprefix(BOM)
    separator = "|" if "|" in first else ","
    headings = [heading.strip() for heading in first.split(separator)]
    places, twice = places_of(headings, {name.casefold(): field for field, name in BATCH_COLUMNS.items()})
    missing = [name for field, name in BATCH_COLUMNS.items() if field not in places]
    if missing or twice:
        raise StatementRefused(f"no list of batches: {', '.join(missing or twice)}", 1)
    names = {field: headings[place] for field, place in places.items()}
    for number, line in enumerate(lines, 2):
        if not line.endswith("\n"):
            raise StatementRefused("the line has no end: the file is incomplete", number)
        text = line.rstrip("\r\n")
        cells = text.split("|") if separator == "|" else next(csv.reader([text]), [])
        if len(cells) != len(headings):
            raise StatementRefused(f"{len(cells)} cells under {len(headings)} headings", number)
        yield Cells(number, cells, places, names)


def _day_of_name(text: str) -> date:
    day = read_day(text)
    if day is None:
        raise StatementRefused(f"the names of the files have no day: {text}")
    return day
