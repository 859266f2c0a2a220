"""`tael doctor`: checks a deployment, and names what is wrong with it and what to do."""

import asyncio
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import parse_qs, urlsplit

import typer

from tael.base.cipher import DecryptionFailed
from tael.base.clock import RealClock
from tael.cli.check_results import Result, has_failed, result_of, results_of, skipped
from tael.cli.deployment import refuse_demo_settings
from tael.cli.finding import why_unavailable
from tael.cli.showing import IMPOSSIBLE, JsonOption, show_json, show_rows
from tael.config import BadSettings, Settings, read_settings
from tael.db.cells import FIRST, CellLocation, Cells
from tael.db.database import Database, StoreUnavailable
from tael.db.server import Server, read_server
from tael.operations.problem import Problem
from tael.operations.row_checks import CELL_ROW_CHECKS, ROW_CHECKS, RowCheck
from tael.operations.server_checks import NEEDED_FOR_ROWS, PART_CHECKS, SERVER_CHECKS, Expected
from tael.operations.store import Store
from tael.services import clock_of
from tael.stores import Stores, open_stores

COLUMNS: Final = ("check", "state", "problem", "remedy")
#: Files with secrets, unless the variable itself is set.
SECRET_FILES: Final = ("TAEL_DATABASE_URL", "TAEL_ENCRYPTION_KEY")
#: Everything but the owner's rights, and the group's to read.
TOO_OPEN: Final = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO

AFTER_DATABASE: Final = (*SERVER_CHECKS, *PART_CHECKS, *ROW_CHECKS)
#: Checks that need valid settings.
AFTER_SETTINGS: Final = ("database", *AFTER_DATABASE)


def doctor_command(
    processes: Annotated[
        int,
        typer.Option(
            min=1, max=1_000, help="Number of API processes and workers of the deployment, on all hosts."
        ),
    ] = 2,
    as_json: JsonOption = False,
) -> None:
    """Check settings, database and stored state of a deployment, and print what is wrong and what to do.

    Changes nothing. The exit status is 1 if a check has failed.
    """
    results = asyncio.run(_results(processes))
    rows = [row for result in results for row in result.rows()]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, COLUMNS)
    if has_failed(results):
        raise typer.Exit(IMPOSSIBLE)


async def _results(processes: int) -> list[Result]:
    secret_files = result_of("secret-files", check_secret_files(os.environ))
    try:
        settings = read_settings()
    except BadSettings as error:
        return [result_of("settings", [_bad_settings(error)]), secret_files, *skipped(AFTER_SETTINGS)]
    return [
        result_of("settings", check_settings(settings)),
        secret_files,
        *await _results_of_database(settings, processes),
    ]


def check_settings(settings: Settings) -> Iterator[Problem]:
    """What `serve` and `work` refuse to start with."""
    try:
        refuse_demo_settings(settings, allow_http=False)
    except BadSettings as error:
        yield _bad_settings(error)


def check_secret_files(environment: Mapping[str, str]) -> Iterator[Problem]:
    """A file that is missing is the subject of the settings' check."""
    for name in SECRET_FILES:
        path = Path(environment.get(f"{name}_FILE") or os.devnull)
        if not environment.get(name) and path.is_file() and path.stat().st_mode & TOO_OPEN:
            yield Problem(
                f"other users of this machine can read or replace {path}, which {name}_FILE names",
                f"chmod 600 {path}, or 640 for a group of the gateway's own",
            )


@dataclass(frozen=True, slots=True)
class _Part:
    """The directory or a cell, and the server as one session there sees it."""

    name: str  #: of a cell, if there are several
    place: str  #: its node or servers; "" for the servers of the directory
    has_directory: bool  #: the directory is there too
    store: Store
    server: Server

    def named(self, problems: Iterable[Problem]) -> list[Problem]:
        return [replace(each, problem=f"{self.name}{each.problem}") for each in problems]


async def _results_of_database(settings: Settings, processes: int) -> list[Result]:
    async with open_stores(settings) as stores:
        try:
            directory = _Part("", "", True, stores.first, await _server(stores.cells.directory))
        except StoreUnavailable as error:
            failed = Problem(why_unavailable(error), "check TAEL_DATABASE_URL, and whether PostgreSQL runs")
            return [result_of("database", [failed]), *skipped(AFTER_DATABASE)]
        locations = await _locations(stores.cells)
        cells, down = await _cells(stores, locations)
        parts = [directory, *cells]
        places = [stores.cells.place_of(location) for location in locations]
        of_servers = _of_servers(parts, places, settings, processes)
        of_parts = {
            name: [problem for part in parts for problem in part.named(check(part.server))]
            for name, check in PART_CHECKS.items()
        }
        now = clock_of(settings).now()
        of_rows = (
            skipped(ROW_CHECKS)
            if any(of_parts[name] for name in NEEDED_FOR_ROWS)
            else results_of({name: await _of_rows(name, directory, cells, now) for name in ROW_CHECKS})
        )
        return [result_of("database", down), *results_of(of_servers), *results_of(of_parts), *of_rows]


async def _server(database: Database) -> Server:
    return await read_server(database, RealClock().now)


async def _locations(cells: Cells) -> Sequence[CellLocation]:
    """Of a directory that cannot be read, the one that there always is: other checks find out why."""
    try:
        return await cells.locations()
    except StoreUnavailable:
        return [CellLocation(FIRST)]


async def _cells(stores: Stores, locations: Sequence[CellLocation]) -> tuple[list[_Part], list[Problem]]:
    """The cells that can be reached, and a problem for each of the others."""
    found: list[_Part] = []
    down: list[Problem] = []
    for location in locations:
        name = f"cell {location.number}: " if len(locations) > 1 else ""
        try:
            store = await stores.of_cell.of(location.number)
            place, has_directory = stores.cells.place_of(location), not location.servers
            found.append(_Part(name, place, has_directory, store, await _server(store.database)))
        except StoreUnavailable as error:
            down.append(
                Problem(f"{name}{why_unavailable(error)}", "check its servers, and whether PostgreSQL runs")
            )
    return found, down


def _of_servers(
    parts: Sequence[_Part], places: Sequence[str], settings: Settings, processes: int
) -> dict[str, list[Problem]]:
    """What each server's first part finds; the directory is the first of its own. `places` has one for each cell."""
    found: dict[str, list[Problem]] = {name: [] for name in SERVER_CHECKS}
    first_parts: dict[str, _Part] = {}
    for part in parts:
        first_parts.setdefault(part.place, part)
    for place, part in first_parts.items():
        expected = Expected(
            processes,
            settings.database_connections,
            _ssl_mode(settings),
            cells=places.count(place),
            has_directory=part.has_directory,
        )
        for name, check in SERVER_CHECKS.items():
            found[name] += part.named(check(part.server, expected))
    return found


async def _of_rows(name: str, directory: _Part, cells: Sequence[_Part], now: datetime) -> list[Problem]:
    """What a check finds in the directory, and what the one of this name finds in each cell."""
    problems = await _problems(ROW_CHECKS[name], directory, now)
    if name in CELL_ROW_CHECKS:
        for cell in cells:
            problems += await _problems(CELL_ROW_CHECKS[name], cell, now)
    return problems


async def _problems(check: RowCheck, part: _Part, now: datetime) -> list[Problem]:
    try:
        return part.named([problem async for problem in check(part.store, now)])
    except StoreUnavailable as error:
        return part.named([Problem(why_unavailable(error), "look for the error in PostgreSQL's log")])
    except DecryptionFailed as error:
        return part.named([Problem(str(error), "add the missing key to the encryption keys")])


def _ssl_mode(settings: Settings) -> str:
    """As both drivers read it."""
    given = parse_qs(urlsplit(settings.database_url.reveal()).query).get("sslmode", [])
    return given[-1] if given else os.environ.get("PGSSLMODE", "prefer")


def _bad_settings(error: BadSettings) -> Problem:
    return Problem(str(error), "correct the environment of `serve` and `work`")
