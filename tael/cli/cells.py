"""`tael cell`: the cells, each a schema with the money of a group of merchants, on these servers or on others."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import psycopg
import typer

from tael.base.clock import RealClock
from tael.cli.cell_answers import MAX_RESPONSE_S, unavailability
from tael.cli.check_results import Result, has_failed, result_of, results_of, skipped
from tael.cli.command_order import group_in_order
from tael.cli.databases import UNUSABLE_DATABASE
from tael.cli.finding import OUTDATED, DataOption, why_unavailable, with_stores
from tael.cli.migration import FAILED, migrate_new_cell, why_failed
from tael.cli.origin import origin_of_command
from tael.cli.showing import IMPOSSIBLE, UNUSABLE, JsonOption, refused, show_json, show_members, show_rows
from tael.config import BadSettings, read_database_url
from tael.db.cells import MAX_CELL, SERVERS, CellLocation, Cells, NumberTaken
from tael.db.citus import CannotMove, move_cell, node_of_cell
from tael.db.database import PATIENT, StoreUnavailable, budget
from tael.db.migrate import locations_in
from tael.db.server import read_server
from tael.operations.cells import CELL_CHECKS, WrongServers, add_cell, change_cell, note_move
from tael.operations.problem import Problem
from tael.operations.server_checks import NEEDED_FOR_ROWS, PART_CHECKS
from tael.operations.store import Store
from tael.stores import Stores

cells: Final = typer.Typer(
    cls=group_in_order("add", "set", "move", "list", "check"),
    help="Manage cells: the databases of groups of merchants.",
    no_args_is_help=True,
)

LISTED: Final = ("number", "servers", "node", "schema", "merchants", "state", "reason")
CHECKED: Final = ("cell", "check", "state", "problem", "remedy")
MAX_PORT: Final = 65_535

NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", help="Of the cell.")]


@cells.callback()
def group() -> None:
    """Manage cells: the databases of groups of merchants."""


@cells.command("add")
def add(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="From 1 to 99, for good.")],
    servers: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT,…",
            help="The primary and its standbys, with the database, login and parameters of TAEL_DATABASE_URL. "
            "Default: the servers of the directory.",
            show_default=False,
        ),
    ] = "",
    grant_to: Annotated[
        str | None,
        typer.Option(metavar="ROLE", help="Grant this role what it needs, as `tael migrate --grant-to` did."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Create a cell, and add it to the directory. New merchants are then added to it.

    Log in as for `tael migrate`. It can be interrupted and repeated.
    """
    location = _checked_location(number, servers)
    try:
        _add(_url(), location, grant_to)
    except NumberTaken as error:
        raise refused(str(error)) from error
    _show({"number": number, "servers": servers, "schema": location.schema}, as_json)


@cells.command("set")
def set_command(
    number: NumberArgument,
    servers: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT,…",
            help="The primary and its standbys. The cell must be there.",
            show_default=False,
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Change the servers of a cell: one was replaced, or the cell was restored on others.

    Log in as for `tael migrate`. Running processes connect to the new servers within 10 seconds.
    """
    location, url = _checked_location(number, servers), _url()
    _found(url, number)
    origin = origin_of_command("cell set", RealClock().now())
    try:
        _with_cells(url, lambda databases: change_cell(databases, location, origin))
    except WrongServers as error:
        raise refused(str(error)) from None
    _show({"number": number, "servers": servers, "schema": location.schema}, as_json)


@cells.command("move")
def move(
    number: NumberArgument,
    to: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="A node, as Citus names it.", show_default=False)
    ],
    as_json: JsonOption = False,
) -> None:
    """Move a cell to another node of Citus while its merchants pay.

    Log in as for `tael migrate`, to the coordinator. If interrupted, repeat it; `tael cell list` has the cell's node.
    """
    url, began = _url(), time.monotonic()
    location = _found(url, number)
    try:
        before = node_of_cell(location.url(url), location.schema)
        if before != to:
            _move(url, location, before, to)
    except CannotMove as error:
        raise refused(str(error)) from None
    except UNUSABLE_DATABASE as error:
        raise refused(f"cell {number} has not moved: {why_failed(error)}", UNUSABLE) from None
    seconds = round(time.monotonic() - began, 1)
    _show(
        {"number": number, "schema": location.schema, "from": before, "node": to, "seconds": seconds}, as_json
    )


def _move(url: str, location: CellLocation, before: str, to: str) -> None:
    """Move a cell. It is noted where it is then, also after an interrupt, which may have come too late."""
    try:
        move_cell(location.url(url), location.schema, to)
    finally:
        after = node_of_cell(location.url(url), location.schema)
        origin = origin_of_command("cell move", RealClock().now())
        _with_cells(url, lambda databases: note_move(databases, location, before, after, origin))


def _url() -> str:
    try:
        return read_database_url().reveal()
    except BadSettings as error:
        raise refused(str(error), UNUSABLE) from error


def _found(url: str, number: int) -> CellLocation:
    """The cell in the directory."""
    for location in _locations(url):
        if location.number == number:
            return location
    raise refused(f"there is no cell {number}")


def _locations(url: str) -> Sequence[CellLocation]:
    try:
        return locations_in(url)
    except psycopg.errors.UndefinedTable:
        raise refused(OUTDATED, UNUSABLE) from None
    except UNUSABLE_DATABASE as error:
        raise refused(f"the directory: {why_failed(error)}", UNUSABLE) from None


def _with_cells(url: str, work: Callable[[Cells], Awaitable[None]]) -> None:
    async def working() -> None:
        async with Cells(url, PATIENT) as databases:
            await work(databases)

    try:
        asyncio.run(working())
    except StoreUnavailable as error:
        raise refused(f"the directory: {why_unavailable(error)}", UNUSABLE) from error


def _show(row: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(row)
    else:
        show_members(row, "cell")


def _checked_location(number: int, servers: str) -> CellLocation:
    if not 0 <= number <= MAX_CELL:
        raise refused(f"NUMBER: must be from 0 to {MAX_CELL}", UNUSABLE)
    if servers and not _are_servers(servers):
        raise refused(
            "--servers: must be hosts with ports, such as db-3.example:5432,db-4.example:5432", UNUSABLE
        )
    return CellLocation(number, servers)


def _are_servers(text: str) -> bool:
    if not SERVERS.fullmatch(text):
        return False
    return all(0 < int(server.rpartition(":")[2]) <= MAX_PORT for server in text.split(","))


def _add(url: str, location: CellLocation, grant_to: str | None) -> None:
    if location.number in {each.number for each in _locations(url)}:
        raise NumberTaken(location.number)
    try:
        migrate_new_cell(url, location, grant_to)
    except FAILED as error:
        raise refused(f"{location.servers or 'the directory'}: {why_failed(error)}", UNUSABLE) from None
    origin = origin_of_command("cell add", RealClock().now())
    _with_cells(url, lambda databases: add_cell(databases, location, origin))


@cells.command("list")
def list_command(data: DataOption = None, as_json: JsonOption = False) -> None:
    """List cells with their servers, and whether they can be reached."""
    rows = with_stores(data, _listed)
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, LISTED)


async def _listed(stores: Stores, now: datetime) -> list[dict[str, Any]]:
    merchants = Counter((await stores.first.merchants.cells()).values())
    locations = await stores.cells.locations()
    errors = await asyncio.gather(*(unavailability(stores, each.number) for each in locations))
    return [
        {
            "number": location.number,
            "servers": location.servers,
            "node": stores.cells.node_of(location),
            "schema": location.schema,
            "merchants": merchants[location.number],
            "state": "down" if error else "up",
            "reason": str(error or ""),
        }
        for location, error in zip(locations, errors, strict=True)
    ]


@cells.command("check")
def check(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Check each cell: connection, migrations, privileges, number, and the merchants of the directory.

    Changes nothing. The exit status is 1 if a check has failed.
    """
    results = with_stores(data, _check)
    rows = [{"cell": cell} | row for cell, result in results for row in result.rows()]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, CHECKED)
    if has_failed(result for _, result in results):
        raise typer.Exit(IMPOSSIBLE)


async def _check(stores: Stores, now: datetime) -> list[tuple[int, Result]]:
    cell_of = await stores.first.merchants.cells()
    return [
        (number, result)
        for number, store in (await stores.of_cell.all()).items()
        for result in await _results(store, [mchid for mchid, cell in cell_of.items() if cell == number])
    ]


async def _results(store: Store, mchids: Sequence[str]) -> list[Result]:
    try:
        with budget(MAX_RESPONSE_S):
            server = await read_server(store.database, RealClock().now)
    except StoreUnavailable as error:
        failed = Problem(f"it cannot be reached ({error})", "check its servers, and whether PostgreSQL runs")
        return [result_of("database", [failed]), *skipped((*PART_CHECKS, *CELL_CHECKS))]
    of_part = results_of({name: check(server) for name, check in PART_CHECKS.items()})
    if has_failed(result for result in of_part if result.check in NEEDED_FOR_ROWS):
        return [result_of("database", []), *of_part, *skipped(CELL_CHECKS)]
    of_rows = {
        name: [problem async for problem in check(store, mchids)] for name, check in CELL_CHECKS.items()
    }
    return [result_of("database", []), *of_part, *results_of(of_rows)]
