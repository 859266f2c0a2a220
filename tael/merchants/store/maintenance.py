"""The table `maintenance_window`: it has one row during a maintenance window."""

from typing import TYPE_CHECKING, Final

from tael.audit_log.domain.entry import Origin
from tael.audit_log.store.entries import write_change
from tael.db.database import Database
from tael.db.tables import Home, Table
from tael.merchants.domain.maintenance import MaintenanceWindow

if TYPE_CHECKING:
    from tael.db.database import Connection

WINDOW: Final = Table(
    "maintenance_window", Home.DIRECTORY, MaintenanceWindow, ("is_on",), internal={"is_on": "boolean"}
)
SELECT: Final = f"SELECT {WINDOW.select} FROM maintenance_window"
BEGIN: Final = f"""
INSERT INTO maintenance_window ({WINDOW.select}, is_on) VALUES ($1, $2, true)
ON CONFLICT (is_on) DO UPDATE SET reason = excluded.reason RETURNING {WINDOW.select}
"""
END: Final = f"DELETE FROM maintenance_window RETURNING {WINDOW.select}"
#: In the audit log.
ONLY_ONE: Final = "gateway"


class MaintenanceWindows:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def now(self) -> MaintenanceWindow | None:
        rows = await self._database.fetch(SELECT)
        return WINDOW.read(rows[0]) if rows else None

    async def begin(self, reason: str, origin: Origin) -> None:
        """Open a maintenance window, or change the reason of the current one."""
        async with self._database.transaction() as connection:
            before = await _locked(connection)
            (row,) = await connection.fetch(BEGIN, reason, origin.at)
            await write_change(connection, origin, WINDOW, ONLY_ONE, before, WINDOW.read(row))

    async def end(self, origin: Origin) -> None:
        async with self._database.transaction() as connection:
            for row in await connection.fetch(END):
                await write_change(connection, origin, WINDOW, ONLY_ONE, WINDOW.read(row), None)


async def _locked(connection: "Connection") -> MaintenanceWindow | None:
    rows = await connection.fetch(f"{SELECT} FOR UPDATE")
    return WINDOW.read(rows[0]) if rows else None
