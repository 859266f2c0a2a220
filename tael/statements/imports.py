"""Imports the file of a statement: finds its account, checks every line, and stores all or nothing.

The same file again changes nothing. A different file of the same account, kind and day replaces the current one only
if that is requested. Lines are read in batches, outside the event loop.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from itertools import islice
from typing import Final, TypeVar

from tael.audit_log.domain.entry import Origin
from tael.base import ids
from tael.channels.registry import InstalledProtocols
from tael.channels.statements import (
    FileName,
    RemittedBatch,
    StatementContent,
    StatementFormat,
    StatementKind,
    StatementLine,
    StatementRefused,
)
from tael.merchants.domain.account import Account
from tael.statements.domain.conversion import Conversion, ConversionBuilder, ConvertedSums
from tael.statements.domain.remittance import Remittance, RemittanceBuilder, batches_of
from tael.statements.domain.statement import Source, Statement, SummaryBuilder
from tael.statements.files import StatementFile
from tael.statements.store.statements import BatchExists, CompleteStatement, StatementExists, Statements

BATCH: Final = 5_000
Said = TypeVar("Said", StatementKind, date)


class AnotherIsCurrent(Exception):
    """A different file of the same account, kind and day is stored, and was not to be replaced."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What an operator says about a file. None is read from the file."""

    kind: StatementKind | None = None
    day: date | None = None
    is_replacing: bool = False
    source: Source = Source.IMPORTED


@dataclass(frozen=True, slots=True)
class Imported:
    """`is_new` is false if the same file was there."""

    statement: Statement
    is_new: bool


def account_of(
    file: StatementFile, name: str, accounts: Sequence[Account], protocols: InstalledProtocols
) -> Account:
    """The account whose number at the wallet is in the file or in its `name`. Raises StatementRefused."""
    found = _format_of(file, protocols)
    if found is None:
        raise StatementRefused(
            "not a statement of a known form; if the day has no transactions, name the account"
        )
    protocol, form = found
    identity = form.read_name(name).identity or _first_identity(content_of(form, file))
    if not identity:
        raise StatementRefused("neither file nor name has the account's number; name the account")
    for account in accounts:
        if (account.protocol, account.identity) == (protocol, identity):
            return account
    raise StatementRefused(f"there is no account {identity}")


def content_of(form: StatementFormat, file: StatementFile) -> StatementContent:
    """Raises StatementRefused, also for a zip of a wallet that has none."""
    if not file.members:
        return form.read(file.lines())
    if form.read_bundle is None:
        raise StatementRefused("a zip file, which this wallet has none of")
    return form.read_bundle(file.members)


async def import_statement(
    statements: Statements,
    account: Account,
    form: StatementFormat,
    file: StatementFile,
    name: str,
    options: ImportOptions,
    origin: Origin,
    on_lines: Callable[[int], None],
) -> Imported:
    """Store the file of `account`. `on_lines` is called with the number of lines of each batch.

    Raises StatementRefused if the file is not a complete statement of the account, and AnotherIsCurrent.
    """
    said = form.read_name(name)
    _check_name(said, account)
    kind = options.kind or said.kind
    same = await statements.with_content(account.mchid, account.account_id, file.sha256, kind, options.day)
    if same is not None:
        return await _again(statements, same, options, origin)
    content = await asyncio.to_thread(content_of, form, file)
    same = await _with_batches(statements, account, content, options.day)
    if same is not None:
        return Imported(same, is_new=False)
    try:
        stored = await _store(
            statements,
            account,
            content,
            file,
            kind,
            options,
            origin,
            on_lines,
        )
    except StatementExists:
        same = await statements.with_content(
            account.mchid, account.account_id, file.sha256, kind, options.day
        )
        if same is not None:
            return await _again(statements, same, options, origin)
        raise AnotherIsCurrent from None
    except BatchExists:
        raise _batch_exists() from None
    return Imported(stored, is_new=True)


async def _with_batches(
    statements: Statements, account: Account, content: StatementContent, day: date | None
) -> Statement | None:
    """The current statement that says the same in other bytes: each signed response has a nonce of its own."""
    day = content.day or day
    if content.kind is not StatementKind.SETTLEMENT or content.identity != account.identity or day is None:
        return None
    current = await statements.current(account.mchid, account.account_id, content.kind, day)
    if current is None or current.lines:
        return None
    known = {_batch_of(each) for each in await statements.remittances_of(current)}
    return current if known == set(content.remittances) else None


def _batch_of(remittance: Remittance) -> RemittedBatch:
    return RemittedBatch(**{each.name: getattr(remittance, each.name) for each in fields(RemittedBatch)})


async def _store(
    statements: Statements,
    account: Account,
    content: StatementContent,
    file: StatementFile,
    kind: StatementKind | None,
    options: ImportOptions,
    origin: Origin,
    on_lines: Callable[[int], None],
) -> Statement:
    statement_id = ids.statement_id()
    if content.identity not in ("", account.identity):
        raise StatementRefused(f"of another account: {content.identity}")
    kind, day = _agreed(kind, content.kind), _agreed(options.day, content.day)
    builder, sums = SummaryBuilder(account.identity, kind, day), RemittanceBuilder()
    converted = ConversionBuilder()

    def complete() -> CompleteStatement:
        summary = builder.finish()
        statement = Statement(
            mchid=account.mchid,
            statement_id=statement_id,
            account_id=account.account_id,
            protocol=account.protocol,
            kind=summary.kind,
            day=summary.day,
            sha256=file.sha256,
            size=file.size,
            source=options.source,
            lines=summary.lines,
            unknown_columns=content.unknown_columns,
            totals=summary.totals,
            stored_at=origin.at,
        )
        is_bill = summary.kind is StatementKind.TRANSACTIONS
        return CompleteStatement(
            statement,
            [_remittance(statement, each) for each in batches_of(content, sums, summary)],
            [_conversion(statement, each) for each in converted.finish()] if is_bill else [],
        )

    return await statements.store(
        account.mchid,
        statement_id,
        _batches(content.lines, (builder, sums, converted), on_lines),
        complete,
        file.packed,
        is_packed=file.is_packed,
        is_replacing=options.is_replacing,
        origin=origin,
    )


def _agreed(given: Said | None, found: Said | None) -> Said | None:
    """What an operator and a file say about it. Raises StatementRefused if they differ."""
    if given is not None and found is not None and given != found:
        raise StatementRefused(f"of {found}, not of {given}")
    return found if given is None else given


def _remittance(statement: Statement, batch: RemittedBatch) -> Remittance:
    return Remittance(
        mchid=statement.mchid,
        remittance_id=ids.remittance_id(),
        statement_id=statement.statement_id,
        account_id=statement.account_id,
        protocol=statement.protocol,
        net_minor=batch.net_minor,
        **asdict(batch),
    )


def _conversion(statement: Statement, sums: ConvertedSums) -> Conversion:
    return Conversion(
        mchid=statement.mchid,
        conversion_id=ids.conversion_id(),
        statement_id=statement.statement_id,
        account_id=statement.account_id,
        **asdict(sums),
    )


async def _batches(
    lines: Iterator[StatementLine],
    builders: tuple[SummaryBuilder, RemittanceBuilder, ConversionBuilder],
    on_lines: Callable[[int], None],
) -> AsyncIterator[Sequence[StatementLine]]:
    def next_batch() -> list[StatementLine]:
        batch = list(islice(lines, BATCH))
        for line in batch:
            for builder in builders:
                builder.add(line)
        return batch

    while batch := await asyncio.to_thread(next_batch):
        yield batch
        on_lines(len(batch))


async def _again(statements: Statements, same: Statement, options: ImportOptions, origin: Origin) -> Imported:
    """The file is stored. If it was superseded, a replacement makes it current again."""
    if same.superseded_at is None:
        return Imported(same, is_new=False)
    if not options.is_replacing:
        raise AnotherIsCurrent
    try:
        return Imported(await statements.restore(same, origin), is_new=True)
    except StatementExists:
        raise AnotherIsCurrent from None
    except BatchExists:
        raise _batch_exists() from None


def _batch_exists() -> StatementRefused:
    return StatementRefused("the statement of another day has the same batch")


def _check_name(said: FileName, account: Account) -> None:
    if said.identity not in ("", account.identity):
        raise StatementRefused(f"the name says that it is of another account: {said.identity}")


def _format_of(file: StatementFile, protocols: InstalledProtocols) -> tuple[str, StatementFormat] | None:
    first = "" if file.members else next(file.lines(), "")
    for name, protocol in protocols.by_name.items():
        form = protocol.statements
        if form is not None and (form.read_bundle is not None if file.members else form.recognizes(first)):
            return name, form
    return None


def _first_identity(content: StatementContent) -> str:
    if content.identity:
        return content.identity
    line = next(content.lines, None)
    return line.identity if line else ""
