"""Finds the queues with due rows: one statement for those of a home, so that an idle worker sends two and not ten."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from tael.db.database import Database
from tael.db.due_queue import DueQueue
from tael.db.tables import Home


class DueWork:
    """All queues, by name."""

    def __init__(self, database: Database, queues: Mapping[str, DueQueue[Any]]) -> None:
        self._database = database
        self.names: Final = frozenset(queues)
        self._has_due_rows = list(_statements(queues, lambda queue: queue.has_due_rows()))
        self._oldest_due = list(_statements(queues, lambda queue: queue.oldest_due()))

    async def queues(self, now: datetime, real_now: datetime) -> set[str]:
        """The names of the queues with a due row; nothing is claimed. Raises StoreUnavailable.

        A row that is leased to another worker is not due; one that waits behind another row counts.
        """
        found = await self._read(self._has_due_rows, now, real_now)
        return {name for name, is_due in found.items() if is_due}

    async def oldest_due(self, now: datetime, real_now: datetime) -> Mapping[str, datetime | None]:
        """For each queue, since when its oldest due row has been due; None if none is due. Raises StoreUnavailable."""
        return await self._read(self._oldest_due, now, real_now)

    async def _read(self, statements: Sequence[str], now: datetime, real_now: datetime) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for statement in statements:
            (row,) = await self._database.fetch(statement, now, real_now)
            values |= row
        return values


def _statements(
    queues: Mapping[str, DueQueue[Any]], expression_of: Callable[[DueQueue[Any]], str]
) -> Iterator[str]:
    """One for each home, whose columns are the expressions of its queues."""
    for home in Home:
        of_home = {name: queue for name, queue in queues.items() if queue.home is home}
        columns = ", ".join(f"{expression_of(queue)} AS {name}" for name, queue in of_home.items())
        if columns:
            yield f"SELECT {columns}"
