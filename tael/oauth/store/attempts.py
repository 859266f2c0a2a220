"""The table `sign_in_attempt`: how often a username was tried, and from which address, in the current window.

An attempt is counted before the password is checked, so that concurrent ones cannot exceed the limit.
"""

from datetime import datetime, timedelta
from typing import Final

from tael.db.database import Database

WINDOW: Final = timedelta(minutes=15)
#: $1 the subject, $2 now, $3 the end of a window that begins now. One at a time: Citus refuses to insert rows of
#: parameters into a reference table with ON CONFLICT.
COUNT: Final = """
INSERT INTO sign_in_attempt AS a (subject, attempts, ends_at) VALUES ($1, 1, $3)
ON CONFLICT (subject) DO UPDATE SET
    attempts = CASE WHEN a.ends_at <= $2 THEN 1 ELSE a.attempts + 1 END,
    ends_at = CASE WHEN a.ends_at <= $2 THEN $3 ELSE a.ends_at END
RETURNING attempts
"""
FORGET: Final = "DELETE FROM sign_in_attempt WHERE subject = $1"
#: The first attempt starts the removal of what has expired.
START_REMOVAL: Final = """
INSERT INTO oauth_removal (name, remove_at) VALUES ('expired', $1) ON CONFLICT (name) DO NOTHING
"""


class Attempts:
    """Counters of attempts to sign in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, subjects: list[str], now: datetime) -> dict[str, int]:
        """Count an attempt of each subject; how many each has made in its window."""
        async with self._database.connection() as connection:
            counts = {
                subject: await connection.fetchval(COUNT, subject, now, now + WINDOW) for subject in subjects
            }
            await connection.execute(START_REMOVAL, now + WINDOW)
        return counts

    async def forget(self, subject: str) -> None:
        """After a success."""
        await self._database.execute(FORGET, subject)
