"""The table `maintenance_window`: it has one row during a maintenance window."""

from datetime import datetime
from typing import Final

from tael.db.database import Database
from tael.merchants.domain.maintenance import MaintenanceWindow

BEGIN: Final = """
INSERT INTO maintenance_window (is_on, reason, since) VALUES (true, $1, $2)
ON CONFLICT (is_on) DO UPDATE SET reason = excluded.reason
"""


class MaintenanceWindows:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def now(self) -> MaintenanceWindow | None:
        rows = await self._database.fetch("SELECT reason, since FROM maintenance_window")
        return MaintenanceWindow(rows[0]["reason"], rows[0]["since"]) if rows else None

    async def begin(self, reason: str, at: datetime) -> None:
        """Open a maintenance window, or change the reason of the current one."""
        await self._database.execute(BEGIN, reason, at)

    async def end(self) -> None:
        await self._database.execute("DELETE FROM maintenance_window")
