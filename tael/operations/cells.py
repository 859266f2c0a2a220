"""Cells for the operator: where they are, and checks of the rows of each. `server_checks.py` has the rest."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final

from tael.audit_log.domain.entry import Origin, entry_of
from tael.audit_log.store.entries import write_audit_entries
from tael.db.cells import FIRST, CellLocation, Cells, number_in
from tael.db.database import SchemaOutdated, StoreUnavailable
from tael.db.tables import Home
from tael.operations.problem import Problem
from tael.operations.store import Store

if TYPE_CHECKING:
    from tael.db.database import Connection

KIND: Final = "cell_location"
#: Merchants that a problem names.
MAX_NAMED: Final = 3


class WrongServers(Exception):
    """The cell is not on these servers. The text is a sentence for operators."""


async def add_cell(cells: Cells, location: CellLocation, origin: Origin) -> None:
    """Name a migrated cell in the directory: from then on merchants are added to it. Raises NumberTaken."""
    await cells.add(location, _note(origin, location, None, location))


async def change_cell(cells: Cells, location: CellLocation, origin: Origin) -> None:
    """Name the new servers of a cell, which must be there. Raises NoSuchCell, WrongServers, StoreUnavailable."""
    if location.number == FIRST:
        raise WrongServers("cell 0 is on the servers of the directory: change TAEL_DATABASE_URL")
    before = await cells.location(location.number)
    if node := cells.node_of(before):
        raise WrongServers(f"Citus has cell {location.number} on {node}: use `tael cell move`")
    await _check_servers(cells, location)
    await cells.change(location, _note(origin, location, before, location))


async def _check_servers(cells: Cells, location: CellLocation) -> None:
    """Raises WrongServers."""
    try:
        number = await cells.number_at(location)
    except SchemaOutdated as error:
        raise WrongServers(f"{location.servers} has no schema {location.schema}") from error
    except StoreUnavailable as error:
        raise WrongServers(f"{location.servers} cannot be reached ({error})") from error
    if number != location.number:
        raise WrongServers(f"the schema {location.schema} on {location.servers} has the number {number}")


async def note_move(cells: Cells, location: CellLocation, before: str, after: str, origin: Origin) -> None:
    """Write to the audit log that a cell has moved from one node to another."""
    async with cells.directory.transaction() as connection:
        await _note(origin, location, {"node": before}, {"node": after})(connection)


def _note(
    origin: Origin, location: CellLocation, before: object | None, after: object
) -> "Callable[[Connection], Awaitable[None]]":
    entry = entry_of(origin, KIND, str(location.number), before, after)

    async def write(connection: "Connection") -> None:
        await write_audit_entries(connection, Home.DIRECTORY, [entry] if entry else [])

    return write


async def check_number(store: Store, _: Collection[str]) -> AsyncIterator[Problem]:
    number = await number_in(store.database)
    if number != store.cell:
        yield Problem(
            f"its table `cell` has the number {number}",
            "restore this cell's own schema: this one may have the rows of another cell",
        )


async def check_merchants(store: Store, mchids: Collection[str]) -> AsyncIterator[Problem]:
    """`mchids` are the cell's merchants in the directory."""
    missing = await store.ledger_digests.without_close(sorted(mchids))
    if missing:
        named = ", ".join(missing[:MAX_NAMED])
        others = f" and {len(missing) - MAX_NAMED} others" if len(missing) > MAX_NAMED else ""
        yield Problem(
            f"these merchants of the directory have no daily close here: {named}{others}",
            "restore this cell and the directory to times at which both have these merchants",
        )


#: By the rows of a cell and its merchants in the directory.
CELL_CHECKS: Final[Mapping[str, Callable[[Store, Collection[str]], AsyncIterator[Problem]]]] = {
    "number": check_number,
    "merchants": check_merchants,
}
