"""Whether the database takes this version's writes, found out by writing; once a second for a whole process.

The row alone would not find a full disk: it is rewritten inside its page, and the log goes on in files that exist. So
the probe also spills a little to a temporary file, in the place where tables grow. No lock outlives the message that
asks for it: a process that is frozen while it probes holds up no other.
"""

import asyncio
from pathlib import Path
from typing import Final

import structlog

from tael.db.database import Database, SchemaOutdated, StoreUnavailable, as_probe, within
from tael.db.migrate import MIGRATIONS

log = structlog.get_logger()

PROBE_INTERVAL_S: Final = 1.0
APPLIED: Final = "SELECT count(*) AS applied FROM _yoyo_migration WHERE migration_id = ANY($1::text[])"
#: As one message of several statements this is one transaction, which the server ends whatever becomes of us.
WRITE: Final = """
SET LOCAL work_mem = '64kB';
SELECT count(*) FROM generate_series(1, 10000);
INSERT INTO readiness AS r (probes) VALUES (1) ON CONFLICT (is_only) DO UPDATE SET probes = r.probes + 1
"""


class Readiness:
    """What the newest probe found. Calls during a probe wait for its result."""

    def __init__(
        self, database: Database, interval_s: float = PROBE_INTERVAL_S, migrations: Path = MIGRATIONS
    ) -> None:
        self._database = database
        self._interval_s = interval_s
        self._needed = [path.stem for path in migrations.rglob("*.sql")]
        self._probe: asyncio.Task[str] | None = None
        self._began = 0.0
        self._reason = ""

    async def reason(self) -> str:
        """Why this process cannot serve, in a word; "" if it can. Answers within `probe_s`."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._probe is None or (self._probe.done() and now - self._began >= self._interval_s):
            self._began = now
            self._probe = loop.create_task(self._look())
        return await asyncio.shield(self._probe)

    async def _look(self) -> str:
        reason = ""
        try:
            with as_probe():
                async with within(self._database.limits.probe_s):
                    await self._write()
        except StoreUnavailable as error:
            reason = str(error)
        except Exception as error:
            log.exception("readiness.failed")
            reason = type(error).__name__
        if reason and reason != self._reason:
            log.warning("store.unavailable", reason=reason, probe="readyz")
        self._reason = reason
        return reason

    async def _write(self) -> None:
        (row,) = await self._database.fetch(APPLIED, self._needed)
        if row["applied"] < len(self._needed):
            raise SchemaOutdated("MigrationMissing")
        await self._database.execute(WRITE)
