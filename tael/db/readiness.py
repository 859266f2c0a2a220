"""Readiness: probes whether the database accepts this version's writes, by writing; once a second per process.

The row alone would not detect a full disk: it is rewritten within its page, and WAL files are recycled. So the probe
also spills a little to a temporary file, on the same disk as the tables. Each probe is one message and holds no lock
beyond it, so a process that is frozen while probing does not block others.
"""

import asyncio
from pathlib import Path
from typing import Final

import structlog

from tael.db.database import MIGRATIONS, Database, SchemaOutdated, StoreUnavailable, as_probe, within

log = structlog.get_logger()

PROBE_INTERVAL_S: Final = 1.0
APPLIED: Final = "SELECT count(*) AS applied FROM _yoyo_migration WHERE migration_id = ANY($1::text[])"
#: Several statements in one message are one transaction, which the server ends even if this process is frozen.
WRITE: Final = """
SET LOCAL work_mem = '64kB';
SELECT count(*) FROM generate_series(1, 10000);
INSERT INTO readiness AS r (probes) VALUES (1) ON CONFLICT (is_only) DO UPDATE SET probes = r.probes + 1
"""


class Readiness:
    """The result of the newest probe. Calls during a probe wait for its result."""

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
        """Why this process cannot serve, in one word; "" if it can. Returns within `probe_s`."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._probe is None or (self._probe.done() and now - self._began >= self._interval_s):
            self._began = now
            self._probe = loop.create_task(self._run_probe())
        return await asyncio.shield(self._probe)

    async def _run_probe(self) -> str:
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
