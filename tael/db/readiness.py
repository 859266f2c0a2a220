"""Readiness: probes whether the directory can be read and a cell accepts this version's writes, once a second.

A cell is probed by writing. The row alone would not detect a full disk: it is rewritten within its page, and WAL files
are recycled. So the probe also spills a little to a temporary file, on the same disk as the tables. Each probe is one
message and holds no lock beyond it, so a process that is frozen while probing does not block others.

A process is ready while one cell is: the merchants of the others would not be served by another process either. While
the directory is down, it is ready as long as it may use what it has read there before.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from tael.db.cells import STALE_S, PerCell
from tael.db.database import MIGRATIONS, Database, SchemaOutdated, StoreUnavailable, as_probe, within
from tael.db.tables import Home

log = structlog.get_logger()

PROBE_INTERVAL_S: Final = 1.0
APPLIED: Final = "SELECT count(*) AS applied FROM _yoyo_migration WHERE migration_id = ANY($1::text[])"
#: Several statements in one message are one transaction, which the server ends even if this process is frozen.
WRITE: Final = """
SET LOCAL work_mem = '64kB';
SELECT count(*) FROM generate_series(1, 10000);
INSERT INTO readiness AS r (probes) VALUES (1) ON CONFLICT (is_only) DO UPDATE SET probes = r.probes + 1
"""


@dataclass(frozen=True, slots=True)
class Probed:
    """`reason` is why this process cannot serve, in one word; "" if it can."""

    reason: str = ""
    down: Mapping[int, str] = field(default_factory=dict)  #: the reason of each cell that cannot be used
    directory: str = ""  #: that of the directory


class Readiness:
    """The result of the newest probe. Calls during a probe wait for its result."""

    def __init__(
        self,
        directory: Database,
        cells: PerCell[Database],
        interval_s: float = PROBE_INTERVAL_S,
        migrations: Path = MIGRATIONS,
    ) -> None:
        self._directory = directory
        self._cells = cells
        self._interval_s = interval_s
        self._needed = {home: [path.stem for path in (migrations / home).glob("*.sql")] for home in Home}
        self._probe: asyncio.Task[Probed] | None = None
        self._began = 0.0
        self._directory_read_at = float("-inf")
        self._logged: dict[str, str] = {}

    async def probed(self) -> Probed:
        """Returns within about `probe_s`."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._probe is None or (self._probe.done() and now - self._began >= self._interval_s):
            self._began = now
            self._probe = loop.create_task(self._run_probe())
        return await asyncio.shield(self._probe)

    async def _run_probe(self) -> Probed:
        cells = self._cells.made()
        probes = [self._reason(self._directory, Home.DIRECTORY)]
        probes += [self._reason(database, Home.CELL) for database in cells.values()]
        _, (directory, *reasons) = await asyncio.gather(self._open_all(), asyncio.gather(*probes))
        down = {number: why for number, why in zip(cells, reasons, strict=True) if why}
        now = asyncio.get_running_loop().time()
        if not directory:
            self._directory_read_at = now
        is_stale = now - self._directory_read_at >= STALE_S
        no_cell = down[min(down)] if len(down) == len(cells) else ""
        reason = directory if is_stale or (directory and no_cell) else no_cell
        return Probed(reason, down, directory)

    async def _open_all(self) -> None:
        """For the next probe: new cells do not delay this one."""
        with suppress(StoreUnavailable), as_probe():  # the directory's own probe has the reason
            async with within(self._directory.limits.probe_s):
                await self._cells.all()

    async def _reason(self, database: Database, home: Home) -> str:
        """Why this part of the database cannot be used; "" if it can."""
        reason = ""
        try:
            with as_probe():
                async with within(database.limits.probe_s):
                    await self._check(database, home)
        except SchemaOutdated as error:
            reason = str(error)
            if home is Home.DIRECTORY:  # nothing that was read there before may be used
                self._directory_read_at = float("-inf")
        except StoreUnavailable as error:
            reason = str(error)
        except Exception as error:
            log.exception("readiness.failed")
            reason = type(error).__name__
        if reason and reason != self._logged.get(database.schema):
            log.warning("store.unavailable", reason=reason, probe="readyz", schema=database.schema)
        self._logged[database.schema] = reason
        return reason

    async def _check(self, database: Database, home: Home) -> None:
        needed = self._needed[home]
        (row,) = await database.fetch(APPLIED, needed)
        if row["applied"] < len(needed):
            raise SchemaOutdated("MigrationMissing")
        if home is Home.CELL:
            await database.execute(WRITE)
