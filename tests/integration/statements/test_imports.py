"""Imported statements on a database: all lines or none, each content once, one current statement a day."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from io import BytesIO
from typing import Final

import pytest

from tael.channels.alipay_mapi.statements import STATEMENTS
from tael.channels.registry import installed_protocols
from tael.channels.statements import (
    StatementContent,
    StatementFormat,
    StatementKind,
    StatementLine,
    StatementRefused,
)
from tael.operations.store import Store
from tael.statements import imports
from tael.statements.domain.statement import CurrencyTotal, Statement
from tael.statements.files import original_of, read_file
from tael.statements.imports import AnotherIsCurrent, Imported, ImportOptions, account_of, import_statement
from tael.statements.store.statements import StatementExists
from tests.support.store import count_of
from tests.support.values import NOW, ORIGIN, an_alipay_account

ACCOUNT: Final = an_alipay_account("alipay-online", scene="online", pid="2088000000000001")
DAY: Final = date(2026, 1, 2)
NAME: Final = "2088000000000001_fptrade_20260102.csv"
NOTHING_SAID: Final = ImportOptions()
REPLACING: Final = ImportOptions(is_replacing=True)


def text_of(count: int) -> str:
    return "".join(f"{number}|10.00|HKD|20260102110405||P|0.12|P|\n" for number in range(count))


async def imported(
    store: Store,
    text: str,
    options: ImportOptions = NOTHING_SAID,
    form: StatementFormat = STATEMENTS,
    name: str = "",
) -> Imported:
    file = read_file(BytesIO(text.encode()))
    return await import_statement(
        store.statements, ACCOUNT, form, file, name, options, ORIGIN, lambda lines: None
    )


async def current(store: Store) -> Statement | None:
    return await store.statements.current(ACCOUNT.mchid, ACCOUNT.account_id, StatementKind.TRANSACTIONS, DAY)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "BATCH", 2)


@pytest.mark.usefixtures("small_batches")
async def test_a_statement_is_stored_with_its_lines_totals_and_file(store: Store) -> None:
    batches: list[int] = []
    file = read_file(BytesIO(text_of(5).encode()))
    done = await import_statement(
        store.statements, ACCOUNT, STATEMENTS, file, NAME, ImportOptions(), ORIGIN, batches.append
    )

    stored = done.statement
    assert (done.is_new, stored.day, stored.lines, stored.stored_at) == (True, DAY, 5, NOW)
    assert stored.totals == (CurrencyTotal("HKD", 5, 5000, 0, 0, 600_000),)
    assert batches == [2, 2, 1]
    assert await store.statements.by_id(stored.statement_id) == stored == await current(store)
    assert await store.statements.list(None, with_superseded=False) == [stored]
    lines = await store.statements.lines(stored, after=0, limit=9)
    assert lines == list(STATEMENTS.read(file.lines()).lines)
    assert await store.statements.lines(stored, after=2, limit=2) == lines[2:4]
    packed, is_packed = await store.statements.file(stored)
    assert original_of(packed, is_packed=is_packed).decode() == text_of(5)


@pytest.mark.usefixtures("small_batches")
async def test_a_file_that_is_refused_at_its_end_leaves_nothing(store: Store) -> None:
    with pytest.raises(StatementRefused, match=r"^line 6: "):
        await imported(store, text_of(5) + "5|10.00")
    assert await count_of(store, "statement_line") == 0
    assert await count_of(store, "statement") == 0


class Crash(BaseException):
    """The end of the process."""


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("batches", [1, 2, 3])
async def test_a_crash_at_any_batch_leaves_nothing_and_the_import_can_be_repeated(
    store: Store, batches: int
) -> None:
    written: list[int] = []

    def crash(lines: int) -> None:
        written.append(lines)
        if len(written) == batches:
            raise Crash

    file = read_file(BytesIO(text_of(5).encode()))
    with pytest.raises(Crash):
        await import_statement(store.statements, ACCOUNT, STATEMENTS, file, NAME, NOTHING_SAID, ORIGIN, crash)
    assert await count_of(store, "statement_line") == 0
    assert (await imported(store, text_of(5))).is_new


async def test_the_same_file_again_changes_nothing(store: Store) -> None:
    first = await imported(store, text_of(1))
    assert await imported(store, text_of(1), REPLACING) == Imported(first.statement, is_new=False)
    assert await count_of(store, "statement_line") == 1


async def test_another_file_is_refused_or_replaces_the_current_one(store: Store) -> None:
    first = (await imported(store, text_of(1))).statement
    with pytest.raises(AnotherIsCurrent):
        await imported(store, text_of(2))
    assert await current(store) == first

    second = (await imported(store, text_of(2), REPLACING)).statement
    superseded = replace(first, superseded_at=NOW)
    assert await current(store) == second
    assert await store.statements.list(None, with_superseded=True) in (
        [second, superseded],
        [superseded, second],
    )
    assert len(await store.statements.lines(superseded, after=0, limit=9)) == 1

    with pytest.raises(AnotherIsCurrent):
        await imported(store, text_of(1))
    assert await imported(store, text_of(1), REPLACING) == Imported(first, is_new=True)
    assert await current(store) == first
    assert await store.statements.by_id(second.statement_id) == replace(second, superseded_at=NOW)


async def test_days_and_kinds_without_lines_have_statements_of_their_own(store: Store) -> None:
    nothing = "No balance account data in the period"
    with pytest.raises(StatementRefused, match="the day must be given"):
        await imported(store, nothing)
    for kind in StatementKind:
        for day in (DAY, date(2026, 1, 3)):
            done = await imported(store, nothing, ImportOptions(kind, day))
            assert (done.is_new, done.statement.kind, done.statement.day) == (True, kind, day)


def gated(gate: asyncio.Barrier, loop: asyncio.AbstractEventLoop) -> StatementFormat:
    """Lines that end when two imports have read theirs, so that neither has stored anything before."""

    def read(lines: Iterable[str]) -> StatementContent:
        content = STATEMENTS.read(lines)

        def until_both() -> Iterator[StatementLine]:
            yield from content.lines
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(timeout=20)

        return replace(content, lines=until_both())

    return replace(STATEMENTS, read=read)


@pytest.mark.parametrize("is_same", [True, False], ids=["the same file", "different files"])
@pytest.mark.parametrize("options", [ImportOptions(), REPLACING], ids=["not replacing", "replacing"])
async def test_of_two_imports_at_once_one_is_current(
    store: Store, is_same: bool, options: ImportOptions
) -> None:
    form = gated(asyncio.Barrier(2), asyncio.get_running_loop())
    texts = [text_of(1), text_of(1 if is_same else 2)]

    results = await asyncio.gather(
        *(imported(store, text, options, form) for text in texts), return_exceptions=True
    )

    stored = [result for result in results if isinstance(result, Imported)]
    new = [result for result in stored if result.is_new]
    refused = [result for result in results if isinstance(result, AnotherIsCurrent)]
    assert len(stored) + len(refused) == 2
    assert len(await store.statements.list(None, with_superseded=False)) == 1
    assert await count_of(store, "statement") == len(new)
    if is_same:
        assert (len(new), refused) == (1, [])
    if not options.is_replacing:
        assert len(new) == 1


async def test_a_statement_that_does_not_exist_supersedes_nothing(store: Store) -> None:
    first = (await imported(store, text_of(1))).statement
    with pytest.raises(StatementExists):
        await store.statements.restore(replace(first, statement_id="unknown"), ORIGIN)
    assert await current(store) == first


async def test_the_account_is_found_by_its_number(store: Store) -> None:
    accounts, protocols = await store.accounts.all(), installed_protocols()
    file = read_file(BytesIO(text_of(1).encode()))
    assert account_of(file, NAME, accounts, protocols).account_id == ACCOUNT.account_id
    with pytest.raises(StatementRefused, match="name the account"):
        account_of(file, "bill.txt", accounts, protocols)
    with pytest.raises(StatementRefused, match="there is no account 2088000000000009"):
        account_of(file, NAME.replace("0001_", "0009_"), accounts, protocols)
    with pytest.raises(StatementRefused, match="not a statement of a known form"):
        account_of(read_file(BytesIO(b"hello\n")), "bill.txt", accounts, protocols)
    with pytest.raises(StatementRefused, match="of another account: 2088000000000009"):
        await imported(store, text_of(1), name=NAME.replace("0001_", "0009_"))
