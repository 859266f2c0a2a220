"""The table `statement_due`: the statements that are to be fetched."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tael.audit_log.domain.entry import Origin
from tael.audit_log.store.entries import write_change
from tael.db.database import Database
from tael.db.due_queue import AccountQueue
from tael.db.tables import Home, Table
from tael.statements.domain.due import StatementDue

DUE: Final = Table(
    "statement_due",
    Home.CELL,
    StatementDue,
    ("mchid", "account_id", "kind", "day"),
    internal={"lease_until": "timestamptz"},
)
#: An account and kind with any row has its next day.
SCHEDULE: Final = f"""
INSERT INTO statement_due ({DUE.select})
SELECT {DUE.select_from("w")} FROM {DUE.unnest(DUE.columns)} CROSS JOIN cell
WHERE NOT EXISTS (
    SELECT FROM statement_due AS d WHERE d.mchid = w.mchid AND d.account_id = w.account_id AND d.kind = w.kind
)
ON CONFLICT DO NOTHING RETURNING 1
"""
UNSCHEDULE: Final = f"DELETE FROM statement_due WHERE mchid = $1 AND account_id = $2 RETURNING {DUE.select}"
ADD: Final = f"{DUE.insert()} ON CONFLICT DO NOTHING"
#: Only on the time at which the row was claimed: another worker may have changed it since.
RESCHEDULE: Final = """
UPDATE statement_due SET check_at = $6, attempts = attempts + 1, lease_until = NULL
WHERE mchid = $1 AND account_id = $2 AND kind = $3 AND day = $4 AND check_at = $5
"""
REMOVE: Final = "DELETE FROM statement_due WHERE mchid = $1 AND account_id = $2 AND kind = $3 AND day = $4"
#: The row of the next day is added only while this one is there, so that an account stays unscheduled.
EXISTS: Final = """
SELECT 1 FROM statement_due WHERE mchid = $1 AND account_id = $2 AND kind = $3 AND day = $4 FOR UPDATE
"""
LIST: Final = (
    f"SELECT {DUE.select} FROM statement_due WHERE mchid = $1 AND account_id = $2 ORDER BY day, kind"
)


class StatementsDue:
    """The schedule of all accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.due: Final = AccountQueue(database, DUE)

    async def schedule(self, first: Sequence[StatementDue], origin: Origin) -> None:
        """Add the first row of each account and kind that has none."""
        async with self._database.transaction() as connection:
            for row in first:
                if await connection.fetch(SCHEDULE, *DUE.arrays([row], DUE.columns)):
                    await write_change(connection, origin, DUE, _name(row), None, row)

    async def unschedule(self, mchid: str, account_id: str, origin: Origin) -> bool:
        """Remove all rows of an account; whether there were any."""
        async with self._database.transaction() as connection:
            removed = [DUE.read(row) for row in await connection.fetch(UNSCHEDULE, mchid, account_id)]
            for row in removed:
                await write_change(connection, origin, DUE, _name(row), row, None)
        return bool(removed)

    async def of_account(self, mchid: str, account_id: str) -> list[StatementDue]:
        return [DUE.read(row) for row in await self._database.fetch(LIST, mchid, account_id)]

    async def add_next(self, row: StatementDue, following: StatementDue) -> None:
        """Add the row of the day after `row`, unless it is there."""
        async with self._database.transaction() as connection:
            if await connection.fetch(EXISTS, *_key(row)):
                await connection.execute(ADD, *DUE.arrays([following], DUE.columns))

    async def reschedule(self, row: StatementDue, at: datetime) -> None:
        await self._database.execute(RESCHEDULE, *_key(row), row.check_at, at)

    async def remove(self, row: StatementDue) -> None:
        await self._database.execute(REMOVE, *_key(row))


def _key(row: StatementDue) -> tuple[object, ...]:
    return row.mchid, row.account_id, row.kind, row.day


def _name(row: StatementDue) -> str:
    return f"{row.account_id}/{row.kind}/{row.day}"
