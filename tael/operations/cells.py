"""Cells for the operator: name a new one, and check the rows of each. `server_checks.py` has the rest."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final

from tael.audit_log.domain.entry import Origin, entry_of
from tael.audit_log.store.entries import write_audit_entries
from tael.db.cells import CellLocation, Cells, number_in
from tael.db.tables import Home
from tael.operations.problem import Problem
from tael.operations.store import Store

if TYPE_CHECKING:
    from tael.db.database import Connection

KIND: Final = "cell_location"
#: Merchants that a problem names.
MAX_NAMED: Final = 3


async def add_cell(cells: Cells, location: CellLocation, origin: Origin) -> None:
    """Name a migrated cell in the directory: from then on merchants are added to it. Raises NumberTaken."""
    entry = entry_of(origin, KIND, str(location.number), None, location)

    async def note(connection: "Connection") -> None:
        await write_audit_entries(connection, Home.DIRECTORY, [entry] if entry else [])

    await cells.add(location, note)


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
