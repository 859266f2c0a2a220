"""The tables `audit_entry` and `cell_audit_entry`: one for each part of the database, with the same columns.

An entry is written in the transaction of its change. The grants of the schema permit neither update nor delete.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tael.audit_log.domain.entry import AuditEntry, Origin, Values, entry_of
from tael.db.database import Database
from tael.db.tables import Codec, Home, Table

if TYPE_CHECKING:
    from tael.db.database import Connection


def _encoded(values: Values | None) -> tuple[str | None]:
    return (None if values is None else msgspec.json.encode(values).decode(),)


def _decoded(text: str | None) -> Values | None:
    return None if text is None else msgspec.json.decode(text)


def _table(home: Home, name: str) -> Table[AuditEntry]:
    return Table(
        name,
        home,
        AuditEntry,
        ("number",),
        codecs={field: Codec({field: "jsonb"}, _encoded, _decoded) for field in ("before", "after")},
        internal={"number": "bigint"},
    )


IN_DIRECTORY: Final = _table(Home.DIRECTORY, "audit_entry")
IN_CELL: Final = _table(Home.CELL, "cell_audit_entry")
TABLES: Final = {table.home: table for table in (IN_DIRECTORY, IN_CELL)}
LIST: Final = """
SELECT {select} FROM {name}
WHERE ($1::text IS NULL OR actor = $1) AND ($2::text IS NULL OR subject_kind = $2)
  AND ($3::text IS NULL OR subject_id = $3) AND ($4::timestamptz IS NULL OR at >= $4)
ORDER BY at DESC, number DESC LIMIT $5
"""


async def write_change(
    connection: "Connection",
    origin: Origin,
    table: Table[Any],
    subject_id: str,
    before: object | None,
    after: object | None,
) -> None:
    """Write the change of one row of `table` in the caller's transaction; nothing if the values are equal."""
    entry = entry_of(origin, table.name, subject_id, before, after)
    if entry is not None:
        await write_audit_entries(connection, table.home, [entry])


async def write_audit_entries(connection: "Connection", home: Home, entries: Sequence[AuditEntry]) -> None:
    """Write `entries` in the caller's transaction, which changes rows of this part of the database."""
    table = TABLES[home]
    # Citus refuses an INSERT ... SELECT of parameters into a table with generated numbers.
    if entries:
        rows = [table.values(entry, table.columns) for entry in entries]
        await connection.executemany(table.insert_one(), rows)


class AuditLog:
    """Reads the table of the directory and that of one cell."""

    def __init__(self, directory: Database, database: Database) -> None:
        self._databases: Final = {Home.DIRECTORY: directory, Home.CELL: database}

    async def newest(
        self,
        *,
        actor: str | None = None,
        subject_kind: str | None = None,
        subject_id: str | None = None,
        since: datetime | None = None,
        limit: int,
        homes: Iterable[Home] = tuple(Home),
    ) -> list[AuditEntry]:
        """Newest first, of both parts of the database or of one."""
        found: list[AuditEntry] = []
        for table in map(TABLES.__getitem__, homes):
            statement = LIST.format(select=table.select, name=table.name)
            rows = await self._databases[table.home].fetch(
                statement, actor, subject_kind, subject_id, since, limit
            )
            found += map(table.read, rows)
        return _newest(found, limit)


def _newest(entries: Iterable[AuditEntry], limit: int) -> list[AuditEntry]:
    return sorted(entries, key=lambda entry: entry.at, reverse=True)[:limit]
