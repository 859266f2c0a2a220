"""Removes what has expired: sessions, attempts to sign in, and grants with their codes and tokens.

The table `oauth_removal` has one row, which is due again and again. Each statement removes a limited number of rows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tael.db.database import Database
from tael.db.due_queue import DueQueue
from tael.db.tables import Home, Table

MAX_ROWS: Final = 1_000
#: A code that was not used, and a grant that has ended or whose tokens have expired, are kept for so long.
KEPT: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Removal:
    """The row."""

    name: str


REMOVAL: Final = Table(
    "oauth_removal",
    Home.DIRECTORY,
    Removal,
    ("name",),
    internal={"remove_at": "timestamptz", "lease_until": "timestamptz"},
)
CLAIM: Final = f"""
UPDATE oauth_removal AS r SET lease_until = $3
FROM (
    SELECT name FROM oauth_removal
    WHERE remove_at <= $1 AND (lease_until IS NULL OR lease_until < $2) LIMIT $4 FOR UPDATE SKIP LOCKED
) AS due
WHERE r.name = due.name RETURNING {REMOVAL.select_from("r")}
"""
RESCHEDULE: Final = "UPDATE oauth_removal SET remove_at = $2, lease_until = NULL WHERE name = $1"
SESSIONS: Final = """
DELETE FROM user_session WHERE session_digest IN (
    SELECT session_digest FROM user_session WHERE expires_at <= $1 LIMIT $2
)
"""
ATTEMPTS: Final = """
DELETE FROM sign_in_attempt WHERE subject IN (
    SELECT subject FROM sign_in_attempt WHERE ends_at <= $1 LIMIT $2
) AND ends_at <= $1
"""
#: A grant's tokens go with it. $1 is long enough ago; a grant of then without a usable token has none any more.
GRANTS: Final = """
DELETE FROM oauth_grant WHERE grant_id IN (
    SELECT g.grant_id FROM oauth_grant AS g
    WHERE g.created_at <= $1 AND (
        g.ended_at <= $1
        OR NOT EXISTS (SELECT FROM oauth_token AS t WHERE t.grant_id = g.grant_id AND t.refresh_expires_at > $1)
    )
    LIMIT $2
)
"""


class RemovalQueue(DueQueue[Removal]):
    """The row, when it is due."""

    due_column = "remove_at"

    async def claim(
        self, now: datetime, real_now: datetime, lease_until: datetime, limit: int
    ) -> list[Removal]:
        return await self._claim(CLAIM, now, real_now, lease_until, limit)


class Removals:
    """What has expired."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.due: Final = RemovalQueue(database, REMOVAL)

    async def remove_expired(self, now: datetime) -> bool:
        """Remove up to `MAX_ROWS` of each kind; whether there may be more."""
        async with self._database.connection() as connection:
            statuses = [
                await connection.execute(SESSIONS, now, MAX_ROWS),
                await connection.execute(ATTEMPTS, now, MAX_ROWS),
                await connection.execute(GRANTS, now - KEPT, MAX_ROWS),
            ]
        return f"DELETE {MAX_ROWS}" in statuses

    async def reschedule(self, removal: Removal, at: datetime) -> None:
        await self._database.execute(RESCHEDULE, removal.name, at)
