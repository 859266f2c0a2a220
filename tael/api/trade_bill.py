"""GET /download/v1/trade_bill: the transactions of a day that is over, a CSV and a JSON file per merchant in a zip.

Rows are read a page at a time and written to a temporary file, so that memory does not depend on their number.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import IO, BinaryIO, Final, cast
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from tael.api.downloads import Download, DownloadSlots
from tael.api.exchange import Endpoint
from tael.api.pipeline import APP_QUERY
from tael.base.clock import Clock
from tael.db.cells import PerCell
from tael.db.database import Database, budget
from tael.ledger.domain.digest import beginning_of
from tael.ledger.store.entries import entries_of
from tael.merchants.credential_cache import AppContext
from tael.operations.store import Store
from tael.payments.store.transactions import Filter, RefundTransaction, Transaction, Transactions
from tael.qfpay.errors import BadField
from tael.qfpay.requests import AppRequest
from tael.qfpay.settlements import executed_trades, settlement_members
from tael.qfpay.trade_bills import COLUMNS, BillRow, TradeBill, bill_rows, read_trade_bill
from tael.settlement.exports import Format, Head, Writer, writer_of
from tael.statements.store.settlements import Settlements

MAX_ROWS: Final = 50_000
#: Reading them takes about 20 ms, in which this process serves no other request.
PAGE_ROWS: Final = 500
TOO_MANY_ROWS: Final = f"has more than {MAX_ROWS} transactions: give one mchid, or use /trade/v1/query"
#: For all statements of one bill.
MAX_DATABASE_S: Final = 30.0
#: Of a file in memory, before it is written to disk.
MAX_SPOOLED_BYTES: Final = 1024 * 1024
#: ZIP has no earlier ones.
FIRST_ZIP_DAY: Final = date(1980, 1, 1)
ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class BillTables:
    """What a bill is made of, in the cell of a merchant."""

    database: Database
    transactions: Transactions
    settlements: Settlements


@dataclass(frozen=True, slots=True)
class BillContext:
    """Created once per process."""

    cells: PerCell[BillTables]
    clock: Clock
    slots: DownloadSlots = field(default_factory=DownloadSlots)


def tables_of(store: Store) -> BillTables:
    return BillTables(store.database, store.transactions, store.settlements)


async def trade_bill(request: AppRequest, context: BillContext) -> Download:
    asked = read_trade_bill(request.params, request.context, context.clock.now())
    slot = context.slots.take(request.context.app.appcode)
    try:
        with budget(MAX_DATABASE_S):
            file = await _build(asked, request.context, context)
    except BaseException:
        slot.give_back()
        raise
    return Download(f"trade_bill_{asked.day}.zip", "application/zip", file, slot)


async def _build(asked: TradeBill, app: AppContext, context: BillContext) -> BinaryIO:
    """The zip. Raises BadField for a bill with too many rows, StoreUnavailable."""
    remaining = MAX_ROWS
    with ExitStack() as unless_complete:
        file = cast(BinaryIO, unless_complete.enter_context(TemporaryFile()))
        with ZipFile(file, "w", ZIP_DEFLATED) as archive:
            for merchant in asked.merchants:
                tables = await context.cells.of(merchant.cell)
                remaining -= await _add_files(archive, merchant.mchid, asked.day, remaining, app, tables)
        unless_complete.pop_all()
    return file


async def _add_files(
    archive: ZipFile, mchid: str, day: date, limit: int, app: AppContext, tables: BillTables
) -> int:
    """Add a merchant's two files; how many rows each has. A zip takes one file at a time, so JSON waits on disk."""
    head = Head("", {}, (), {"mchid": mchid, "trade_date": day.isoformat()})
    writers = [writer_of(form, COLUMNS, head) for form in (Format.CSV, Format.JSON)]
    count = 0
    with SpooledTemporaryFile(MAX_SPOOLED_BYTES) as json_file:
        with archive.open(_entry(mchid, day, "csv"), "w") as csv_file:
            files = [csv_file, cast(IO[bytes], json_file)]
            await asyncio.to_thread(_write, files, [writer.begin() for writer in writers])
            async for page in _pages(mchid, day, app, tables):
                count += len(page)
                if count > limit:
                    raise BadField.malformed("trade_date", TOO_MANY_ROWS)
                await asyncio.to_thread(_write_page, files, writers, page)
            await asyncio.to_thread(_write, files, [writer.end() for writer in writers])
        json_file.seek(0)
        with archive.open(_entry(mchid, day, "json"), "w") as target:
            await asyncio.to_thread(shutil.copyfileobj, json_file, target)
    return count


def _entry(mchid: str, day: date, suffix: str) -> ZipInfo:
    """The same day is the same bytes: the file is dated by the day."""
    dated = max(day, FIRST_ZIP_DAY)
    entry = ZipInfo(f"{mchid}_{day}.{suffix}", (dated.year, dated.month, dated.day, 0, 0, 0))
    entry.compress_type = ZIP_DEFLATED
    return entry


def _write(files: Sequence[IO[bytes]], texts: Sequence[bytes]) -> None:
    for file, text in zip(files, texts, strict=True):
        file.write(text)


def _write_page(files: Sequence[IO[bytes]], writers: Sequence[Writer], page: Sequence[BillRow]) -> None:
    _write(files, [writer.page(page) for writer in writers])


async def _pages(mchid: str, day: date, app: AppContext, tables: BillTables) -> AsyncIterator[list[BillRow]]:
    """The merchant's rows, newest first, as in a query. No row is added to a day that is over."""
    number, is_last = 1, False
    while not is_last:
        transactions = await tables.transactions.list(_filter(mchid, day, number))
        is_last = len(transactions) < PAGE_ROWS
        number += 1
        yield await _rows(mchid, transactions, app, tables)


def _filter(mchid: str, day: date, page: int) -> Filter:
    start, end = beginning_of(day), beginning_of(day + ONE_DAY)
    return Filter(mchid, start, end, None, None, None, None, page, PAGE_ROWS)


async def _rows(
    mchid: str, transactions: Sequence[Transaction], app: AppContext, tables: BillTables
) -> list[BillRow]:
    if not transactions:
        return []
    syssns = [
        each.refund.syssn if isinstance(each, RefundTransaction) else each.syssn for each in transactions
    ]
    entries = await entries_of(tables.database, mchid, syssns)
    days = await tables.settlements.days(mchid, executed_trades(transactions))
    more = settlement_members(transactions, days, app.accounts)
    return await asyncio.to_thread(bill_rows, transactions, app.app, more, entries)


def calls(context: BillContext) -> tuple[Endpoint[AppRequest], ...]:
    handler = partial(trade_bill, context=context)
    return (Endpoint("/download/v1/trade_bill", ("GET",), "trade_bill", "trade_bill", handler, APP_QUERY),)
