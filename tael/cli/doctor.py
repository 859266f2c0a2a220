"""`tael doctor`: checks a deployment, and names what is wrong with it and what to do."""

import asyncio
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import parse_qs, urlsplit

import typer

from tael.base.cipher import DecryptionFailed
from tael.base.clock import RealClock
from tael.cli.deployment import refuse_demo_settings
from tael.cli.finding import why_unavailable
from tael.cli.showing import IMPOSSIBLE, JsonOption, show_json, show_rows
from tael.config import BadSettings, Settings, read_settings
from tael.db.database import StoreUnavailable
from tael.db.server import read_server
from tael.main import clock_of, open_store
from tael.operations.problem import Problem
from tael.operations.row_checks import ROW_CHECKS
from tael.operations.server_checks import NEEDED_FOR_ROWS, SERVER_CHECKS, Expected
from tael.operations.store import Store

COLUMNS: Final = ("check", "state", "problem", "remedy")
#: Files with secrets, unless the variable itself is set.
SECRET_FILES: Final = ("TAEL_DATABASE_URL", "TAEL_ENCRYPTION_KEY")
#: Everything but the owner's rights, and the group's to read.
TOO_OPEN: Final = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO

#: Checks that need valid settings.
AFTER_SETTINGS: Final = ("database", *SERVER_CHECKS, *ROW_CHECKS)


class State(StrEnum):
    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"  #: another check has failed on which it depends


@dataclass(frozen=True, slots=True)
class Result:
    """What one check has found; `problems` are empty unless it failed."""

    check: str
    state: State
    problems: Sequence[Problem] = ()


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
    rows = [row for result in results for row in _rows(result)]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, COLUMNS)
    if any(result.state is State.FAILED for result in results):
        raise typer.Exit(IMPOSSIBLE)


async def _results(processes: int) -> list[Result]:
    secret_files = _result("secret-files", check_secret_files(os.environ))
    try:
        settings = read_settings()
    except BadSettings as error:
        return [_result("settings", [_bad_settings(error)]), secret_files, *_skipped(AFTER_SETTINGS)]
    return [
        _result("settings", check_settings(settings)),
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


async def _results_of_database(settings: Settings, processes: int) -> list[Result]:
    expected = Expected(processes, settings.database_connections, _ssl_mode(settings))
    async with open_store(settings) as store:
        try:
            server = await read_server(store.database, RealClock().now)
        except StoreUnavailable as error:
            failed = Problem(why_unavailable(error), "check TAEL_DATABASE_URL, and whether PostgreSQL runs")
            return [_result("database", [failed]), *_skipped((*SERVER_CHECKS, *ROW_CHECKS))]
        results = [_result(name, check(server, expected)) for name, check in SERVER_CHECKS.items()]
        unusable = {result.check for result in results if result.problems} & {*NEEDED_FOR_ROWS}
        of_rows = (
            _skipped(ROW_CHECKS) if unusable else await _results_of_rows(store, clock_of(settings).now())
        )
        return [_result("database", []), *results, *of_rows]


async def _results_of_rows(store: Store, now: datetime) -> list[Result]:
    results = []
    for name, check in ROW_CHECKS.items():
        try:
            problems = [problem async for problem in check(store, now)]
        except StoreUnavailable as error:
            problems = [Problem(why_unavailable(error), "look for the error in PostgreSQL's log")]
        except DecryptionFailed as error:
            problems = [Problem(str(error), "add the missing key to the encryption keys")]
        results.append(_result(name, problems))
    return results


def _ssl_mode(settings: Settings) -> str:
    """As both drivers read it."""
    given = parse_qs(urlsplit(settings.database_url.reveal()).query).get("sslmode", [])
    return given[-1] if given else os.environ.get("PGSSLMODE", "prefer")


def _bad_settings(error: BadSettings) -> Problem:
    return Problem(str(error), "correct the environment of `serve` and `work`")


def _result(check: str, problems: Iterable[Problem]) -> Result:
    found = tuple(problems)
    return Result(check, State.FAILED if found else State.OK, found)


def _skipped(checks: Iterable[str]) -> list[Result]:
    return [Result(check, State.SKIPPED) for check in checks]


def _rows(result: Result) -> list[dict[str, Any]]:
    """One for each problem."""
    return [
        {"check": result.check, "state": result.state, "problem": each.problem, "remedy": each.remedy}
        for each in result.problems or (Problem("", ""),)
    ]
