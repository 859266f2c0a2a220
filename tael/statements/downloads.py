"""Fetches a statement from its wallet and imports it.

The file goes to a temporary file while it arrives; no transaction is open before it is complete.
"""

import asyncio
from datetime import date
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final, assert_never, cast

from tael.audit_log.domain.entry import Origin
from tael.channels.base import StatementSource
from tael.channels.statements import (
    Downloaded,
    DownloadFailed,
    DownloadRefused,
    EmptyDay,
    NotReady,
    StatementFormat,
    StatementKind,
)
from tael.merchants.domain.account import Account
from tael.statements.domain.statement import Source
from tael.statements.files import read_file
from tael.statements.imports import Imported, ImportOptions, import_statement
from tael.statements.store.statements import Statements

MAX_IN_MEMORY: Final = 1024 * 1024


async def fetch_statement(
    statements: Statements,
    source: StatementSource,
    account: Account,
    form: StatementFormat,
    kind: StatementKind,
    day: date,
    *,
    is_replacing: bool,
    origin: Origin,
) -> Imported | NotReady | DownloadRefused | DownloadFailed:
    """Download the statement of `day` and store it. Raises as `import_statement` does."""
    options = ImportOptions(kind, day, is_replacing, Source.FETCHED)
    with SpooledTemporaryFile(MAX_IN_MEMORY) as spooled:
        target = cast(BinaryIO, spooled)
        outcome = await source.download(account, day, kind, target)
        match outcome:
            case Downloaded() | EmptyDay():
                target.seek(0)
                file = await asyncio.to_thread(read_file, target)
            case NotReady() | DownloadRefused() | DownloadFailed():
                return outcome
            case _:
                assert_never(outcome)
    return await import_statement(statements, account, form, file, "", options, origin, lambda lines: None)
