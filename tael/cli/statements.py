"""`tael statement`: the wallets' statements, fetched from the wallets or imported from files."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Final, assert_never

import typer

from tael.audit_log.domain.entry import Origin
from tael.channels.base import Channel, note_nothing
from tael.channels.registry import installed_protocols
from tael.channels.statements import (
    DownloadFailed,
    DownloadRefused,
    NotReady,
    StatementFormat,
    StatementKind,
    StatementLine,
    StatementRefused,
)
from tael.cli.cell_answers import (
    in_cell_of_account,
    in_cell_of_number,
    in_cells_of_account,
    newest_first,
)
from tael.cli.exports import export_statement
from tael.cli.finding import DataOption, change_stores, with_channels, with_stores
from tael.cli.origin import origin_of_command
from tael.cli.showing import UNUSABLE, JsonOption, refused, show_json, show_members, show_rows
from tael.cli.statement_rows import (
    conversion_row,
    due_row,
    line_of,
    remittance_row,
    row_of,
    shown_conversion,
    shown_line,
    shown_remittance,
    shown_row,
)
from tael.merchants.domain.account import Account
from tael.operations.store import Store
from tael.statements.domain.conversion import Conversion
from tael.statements.domain.due import StatementDue
from tael.statements.domain.remittance import Remittance
from tael.statements.domain.statement import Statement
from tael.statements.downloads import fetch_statement
from tael.statements.files import StatementFile, is_stored_content, original_of, read_file
from tael.statements.imports import AnotherIsCurrent, Imported, ImportOptions, account_of, import_statement
from tael.statements.schedule import schedule_account
from tael.statements.store.statements import MAX_LISTED
from tael.stores import Stores

statements: Final = typer.Typer(help="Import and inspect the wallets' statements.", no_args_is_help=True)

LISTED: Final = ("statement_id", "day", "account_id", "kind", "lines", "totals", "source", "sha256")
LINES: Final = ("number", "type", "syssn", "payment_syssn", "at", "amount", "fee", "settlement", "state")
REMITTED: Final = ("batch_no", "settled_on", "trades_from", "trades_to", "paid", "refunded", "fee", "net")
CONVERTED: Final = ("price", "settlement")
MAX_LINES: Final = 1000
StatementArgument = Annotated[
    str, typer.Argument(metavar="STATEMENT", help="The id, as shown by `tael statement list`.")
]
AccountArgument = Annotated[
    str, typer.Argument(metavar="ACCOUNT", help="The account id, as shown by `tael account list`.")
]
DUE: Final = ("account_id", "kind", "day", "check_at", "attempts")
#: What comes of a download.
_Fetched = Imported | NotReady | DownloadRefused | DownloadFailed


@statements.callback()
def group() -> None:
    """Import and inspect the wallets' statements."""


@statements.command("import")
def import_command(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A bill or statement of a wallet; may be gzip, or Alipay's zip."),
    ],
    account: Annotated[
        str | None, typer.Option(help="The account's id. Default: the account whose number is in the file.")
    ] = None,
    day: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="The day, UTC+8. Default: that of the lines. Required for a file without lines.",
        ),
    ] = None,
    kind: Annotated[
        StatementKind | None,
        typer.Option(help="Default: settlement if each line has a time of settlement, else transactions."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a different file of the same account, kind and day.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import a statement: all of its lines, or none. The same file again changes nothing."""
    options = ImportOptions(kind, day.date() if day else None, replace)
    with _refusals_of(str(file), is_replacing=replace):
        content = _content(file)
        with _progress(content.line_count) as on_lines:
            imported = _import(content, file.name, account, options, data, on_lines)
    row = row_of(imported.statement) | {"is_new": imported.is_new}
    if as_json:
        show_json(row)
    else:
        show_members(shown_row(row), "statement")


def _import(
    content: StatementFile,
    name: str,
    account_id: str | None,
    options: ImportOptions,
    data: Path | None,
    on_lines: Callable[[int], None],
) -> Imported:
    async def work(stores: Stores, origin: Origin) -> Imported:
        account = await _account(stores.first, account_id, content, name)
        form = _format_of(account)

        async def into(store: Store, origin: Origin) -> Imported:
            return await import_statement(
                store.statements, account, form, content, name, options, origin, on_lines
            )

        return await in_cell_of_account(account.account_id, into)(stores, origin)

    return change_stores("statement import", data, work)


@statements.command("fetch")
def fetch_command(
    account: AccountArgument,
    day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The day, UTC+8.")],
    kind: Annotated[StatementKind, typer.Option(help="What to fetch.")] = StatementKind.TRANSACTIONS,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a different file of the same account, kind and day.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a statement from its wallet and import it."""

    async def work(stores: Stores, channels: Mapping[str, Channel], now: datetime) -> _Fetched:
        found = await _by_id(stores.first, account)
        source = channels[found.protocol].statements
        if source is None or kind not in source.kinds:
            raise refused(f"{found.protocol} has no file of kind {kind}")

        async def fetch(store: Store, origin: Origin) -> _Fetched:
            return await fetch_statement(
                store.statements,
                source,
                found,
                _format_of(found),
                kind,
                day.date(),
                is_replacing=replace,
                origin=origin,
            )

        return await in_cell_of_account(account, fetch)(stores, origin_of_command("statement fetch", now))

    with _refusals_of(f"statement of {day:%Y-%m-%d}", is_replacing=replace):
        imported = _fetched(with_channels(data, work, note_nothing))
    row = row_of(imported.statement) | {"is_new": imported.is_new}
    if as_json:
        show_json(row)
    else:
        show_members(shown_row(row), "statement")


@statements.command("schedule")
def schedule_command(account: AccountArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Fetch an account's statements every day, from today's on. `tael work` fetches them."""

    async def work(stores: Stores, channels: Mapping[str, Channel], now: datetime) -> list[StatementDue]:
        found = await _by_id(stores.first, account)
        source = channels[found.protocol].statements
        if source is None:
            raise refused(f"statements of {found.protocol} cannot be fetched")

        async def schedule(store: Store, origin: Origin) -> list[StatementDue]:
            return await schedule_account(store.statements_due, found, source, origin)

        origin = origin_of_command("statement schedule", now)
        return await in_cell_of_account(account, schedule)(stores, origin)

    rows = [due_row(each) for each in with_channels(data, work, note_nothing)]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, DUE)


@statements.command("unschedule")
def unschedule_command(account: AccountArgument, data: DataOption = None) -> None:
    """Stop fetching an account's statements."""

    async def work(store: Store, origin: Origin) -> bool:
        found = await _by_id(store, account)
        return await store.statements_due.unschedule(found.mchid, found.account_id, origin)

    if not change_stores("statement unschedule", data, in_cell_of_account(account, work)):
        raise refused(f"account {account} is not scheduled")


def _fetched(outcome: _Fetched) -> Imported:
    match outcome:
        case Imported():
            return outcome
        case NotReady():
            raise refused("the wallet has not made the file yet")
        case DownloadRefused(reason):
            raise refused(f"the wallet refuses: {reason}")
        case DownloadFailed(reason):
            raise refused(f"no file was received: {reason}")
        case _:
            assert_never(outcome)


@statements.command("list")
def list_command(
    account: Annotated[str | None, typer.Option(help="List only those of this account.")] = None,
    kind: Annotated[StatementKind | None, typer.Option(help="List only those of this kind.")] = None,
    with_superseded: Annotated[bool, typer.Option("--all", help="Include those that were replaced.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List statements, the newest days first, at most 1000."""

    async def work(store: Store, now: datetime) -> list[Statement]:
        return await store.statements.list(account, with_superseded=with_superseded, kind=kind)

    listed = with_stores(data, in_cells_of_account(account, work))
    rows = [row_of(each) for each in newest_first(listed, attrgetter("day"), MAX_LISTED)]
    if as_json:
        show_json(rows)
    else:
        show_rows([shown_row(row) for row in rows], LISTED)
    listed.finish()


@statements.command("show")
def show(
    statement_id: StatementArgument,
    after: Annotated[int, typer.Option(min=0, help="Show lines after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=0, max=MAX_LINES, help="Show at most this many lines.")] = 100,
    original: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the file as it arrived to this new file.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a statement with its lines, remittances and conversions."""

    async def work(store: Store, now: datetime) -> _Found | None:
        return await _find(store, statement_id, after, limit, original is not None)

    found = with_stores(data, in_cell_of_number(statement_id, work))
    if found is None:
        raise refused(f"no statement {statement_id}")
    if original is not None:
        _write(found, original)
    row, lines = row_of(found.statement), [line_of(each) for each in found.lines]
    if as_json:
        show_json(
            row
            | {
                "remittances": [remittance_row(each) for each in found.remittances],
                "conversions": [conversion_row(each) for each in found.conversions],
                "content": lines,
            }
        )
        return
    show_members(shown_row(row), "statement")
    if found.remittances:
        show_rows([shown_remittance(each) for each in found.remittances], REMITTED, "remittances")
    if found.conversions:
        show_rows([shown_conversion(each) for each in found.conversions], CONVERTED, "conversions")
    if lines:
        show_rows([shown_line(each) for each in found.lines], LINES, "lines")


statements.command("export")(export_statement)


@dataclass(frozen=True, slots=True)
class _Found:
    statement: Statement
    lines: Sequence[StatementLine]
    remittances: Sequence[Remittance]
    conversions: Sequence[Conversion]
    packed: bytes  #: empty unless it was requested
    is_packed: bool


async def _find(store: Store, statement_id: str, after: int, limit: int, with_file: bool) -> _Found | None:
    statement = await store.statements.by_id(statement_id)
    if statement is None:
        return None
    lines = await store.statements.lines(statement, after=after, limit=limit)
    remittances = await store.remittances.of_statement(statement)
    conversions = await store.conversions.of_statement(statement)
    packed, is_packed = await store.statements.file(statement) if with_file else (b"", False)
    return _Found(statement, lines, remittances, conversions, packed, is_packed)


def _write(found: _Found, path: Path) -> None:
    if not found.packed:
        raise refused("the file was purged; only its lines are left")
    if not is_stored_content(found.packed, found.statement.sha256):
        raise refused("the stored file does not have its SHA-256: the database was changed")
    try:
        with path.open("xb") as target:
            target.write(original_of(found.packed, is_packed=found.is_packed))
    except OSError as error:
        raise refused(f"--original: {path} cannot be written: {error.strerror}", UNUSABLE) from error


async def _account(store: Store, account_id: str | None, content: StatementFile, name: str) -> Account:
    if account_id is None:
        return account_of(content, name, await store.accounts.all(), installed_protocols())
    return await _by_id(store, account_id)


async def _by_id(store: Store, account_id: str) -> Account:
    account = await store.accounts.by_id(account_id)
    if account is None:
        raise refused(f"no account {account_id}")
    return account


def _format_of(account: Account) -> StatementFormat:
    form = installed_protocols().named(account.protocol).statements
    if form is None:
        raise refused(f"statements of {account.protocol} cannot be imported")
    return form


def _content(path: Path) -> StatementFile:
    try:
        with path.open("rb") as file:
            return read_file(file)
    except OSError as error:
        raise refused(f"{path} cannot be read: {error.strerror}", UNUSABLE) from error


@contextmanager
def _refusals_of(name: str, *, is_replacing: bool) -> Iterator[None]:
    """A refusal of the file with this name ends the command with one line."""
    try:
        yield
    except StatementRefused as error:
        raise refused(f"{name}: {error}") from error
    except AnotherIsCurrent as error:
        other = "another file of this account, kind and day"
        what = (
            f"{other} was stored meanwhile" if is_replacing else f"{other} is stored; --replace replaces it"
        )
        raise refused(f"{name}: {what}") from error


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; nothing in a file or a pipe."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("lines", total=total)
        yield lambda lines: bar.advance(task, lines)
