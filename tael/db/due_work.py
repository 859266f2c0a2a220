"""Finds the queues with due rows: one statement for all, so that an idle worker sends one and not ten."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from tael.db.database import Database
from tael.db.due_queue import DueQueue


class DueWork:
    """All queues, by name."""

    def __init__(self, database: Database, queues: Mapping[str, DueQueue[Any]]) -> None:
        self._database = database
        self.names: Final = frozenset(queues)
        conditions = (f"{queue.has_due_rows()} AS {name}" for name, queue in queues.items())
        self._statement = "SELECT " + ", ".join(conditions)
        instants = (f"{queue.oldest_due()} AS {name}" for name, queue in queues.items())
        self._oldest_due = "SELECT " + ", ".join(instants)

    async def queues(self, now: datetime, real_now: datetime) -> set[str]:
        """The names of the queues with a due row; nothing is claimed. Raises StoreUnavailable.

        A row that is leased to another worker is not due; one that waits behind another row counts.
        """
        (row,) = await self._database.fetch(self._statement, now, real_now)
        return {name for name, is_due in row.items() if is_due}

    async def oldest_due(self, now: datetime, real_now: datetime) -> Mapping[str, datetime | None]:
        """For each queue, since when its oldest due row has been due; None if none is due. Raises StoreUnavailable."""
        (row,) = await self._database.fetch(self._oldest_due, now, real_now)
        return dict(row)
