"""How a command finds its database: `--data DIR` names a running demo, otherwise the environment decides.

A database that cannot be found, reached or decrypted ends the command with one line, never with a traceback.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import asyncpg
import typer

from tael.audit_log.domain.entry import Origin
from tael.base.cipher import DecryptionFailed
from tael.base.key_file import KeySource
from tael.cli.demo_folder import NoDemo, environment_in
from tael.cli.isolation import isolated
from tael.cli.origin import origin_of_command
from tael.cli.showing import UNUSABLE, refused
from tael.config import BadSettings, Settings, read_settings
from tael.db.database import SchemaOutdated, StoreUnavailable
from tael.operations.store import Store
from tael.services import clock_of, open_channels
from tael.stores import Stores, open_stores

if TYPE_CHECKING:
    from tael.channels.base import Channel, NoteAnswer

Answer = TypeVar("Answer")

OUTDATED: Final = "the database schema is older than this version; run `tael migrate`"

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder of a running demo. Default: the database of TAEL_DATABASE_URL and TAEL_ENCRYPTION_KEY.",
    ),
]


def with_store(folder: Path | None, work: Callable[[Store, datetime], Awaitable[Answer]]) -> Answer:
    """As `with_stores`, for what is in the directory: `work` gets the store of the first cell."""
    return with_stores(folder, lambda stores, now: work(stores.first, now))


def with_stores(folder: Path | None, work: Callable[[Stores, datetime], Awaitable[Answer]]) -> Answer:
    """Call `work` with the stores of all cells and the time of their gateway, and return its result."""
    try:
        with isolated() if folder else nullcontext():
            return asyncio.run(_work(found_settings(folder), work))
    except (BadSettings, NoDemo, DecryptionFailed) as error:
        raise refused(str(error), UNUSABLE) from error
    except SchemaOutdated as error:
        raise refused(OUTDATED, UNUSABLE) from error
    except StoreUnavailable as error:
        raise refused(why_unavailable(error), UNUSABLE) from error
    except asyncpg.PostgresError as error:
        raise refused(_refusal(error), UNUSABLE) from None


def change_store(
    command: str, folder: Path | None, work: Callable[[Store, Origin], Awaitable[Answer]]
) -> Answer:
    """As `with_store`, for a command that changes something: `work` gets its origin, for the audit log."""
    return with_store(folder, lambda store, now: work(store, origin_of_command(command, now)))


def change_stores(
    command: str, folder: Path | None, work: Callable[[Stores, Origin], Awaitable[Answer]]
) -> Answer:
    """As `with_stores`, for a command that changes something."""
    return with_stores(folder, lambda stores, now: work(stores, origin_of_command(command, now)))


def with_keys(folder: Path | None, work: Callable[[KeySource], Answer]) -> Answer:
    """Call `work` with the encryption keys, without a database, and return its result."""
    try:
        return work(found_settings(folder).key_source())
    except (BadSettings, NoDemo) as error:
        raise refused(str(error), UNUSABLE) from error


def with_channels(
    folder: Path | None,
    work: "Callable[[Stores, Mapping[str, Channel], datetime], Awaitable[Answer]]",
    note_answer: "NoteAnswer",
) -> Answer:
    """As `with_stores`, with the wallets' channels. A response that fails verification is no incident."""

    async def with_both(stores: Stores, now: datetime) -> Answer:
        settings = found_settings(folder)
        async with open_channels(settings, clock_of(settings), note_answer) as channels:
            return await work(stores, channels, now)

    return with_stores(folder, with_both)


def why_unavailable(error: StoreUnavailable) -> str:
    """One sentence. A server that can be reached gives its own reason."""
    cause = error.__cause__
    if isinstance(cause, asyncpg.PostgresError) and not isinstance(cause, asyncpg.PostgresConnectionError):
        return _refusal(cause)
    return f"the database cannot be reached ({error})"


def why_down(cell: int, error: StoreUnavailable) -> str:
    """The same of a cell, when the others are used without it."""
    cause = error.__cause__
    if isinstance(error, SchemaOutdated):
        return f"cell {cell} cannot be used: {OUTDATED}"
    if isinstance(cause, asyncpg.PostgresError) and not isinstance(cause, asyncpg.PostgresConnectionError):
        return f"cell {cell} cannot be used: {_refusal(cause)}"
    return f"cell {cell} cannot be reached: {error}"


def _refusal(error: asyncpg.PostgresError) -> str:
    """Without the details, which would show the row including encrypted keys."""
    return f"the database refused it: {error.args[0]}"


def found_settings(folder: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings of the environment, or of the demo in `folder` only. Raises BadSettings, NoDemo."""
    return read_settings(environment if folder is None else environment_in(folder))


async def _work(settings: Settings, work: Callable[[Stores, datetime], Awaitable[Answer]]) -> Answer:
    async with open_stores(settings) as stores:
        return await work(stores, clock_of(settings).now())
