"""Incidents: written in the commit of the outcome that caused them, or alone; listed and resolved by operators.

An incident about an unmatched payment is written with the evidence of it; `tael/unmatched/` continues from there.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tael.audit_log.domain.entry import Origin
from tael.audit_log.store.entries import write_change
from tael.db.database import Database
from tael.db.tables import Home, Table
from tael.incidents.domain.evidence import Evidence
from tael.incidents.domain.incident import Incident, IncidentKind
from tael.incidents.store.evidence import write_evidence

if TYPE_CHECKING:
    from tael.db.database import Connection

INCIDENT: Final = Table(
    "incident",
    Home.CELL,
    Incident,
    ("mchid", "subject_id", "kind", "incident_id"),
)
#: Repeats change nothing, except that a resolved incident about an account is reopened.
WRITE: Final = f"""
INSERT INTO incident AS i ({INCIDENT.select})
SELECT {INCIDENT.select_from("w")} FROM {INCIDENT.unnest(INCIDENT.columns)} CROSS JOIN cell
ON CONFLICT (mchid, subject_id, kind, incident_id) DO UPDATE SET resolved_at = NULL, resolution = '', at = excluded.at
WHERE i.kind IN ('our_identity_refused', 'answers_unverified') AND i.resolved_at IS NOT NULL
"""
LIST: Final = f"""
SELECT {INCIDENT.select} FROM incident
WHERE ($1::text IS NULL OR mchid = $1) AND ($2 OR resolved_at IS NULL)
ORDER BY at DESC, mchid, subject_id, kind, incident_id LIMIT $3
"""
BY_ID: Final = f"SELECT {INCIDENT.select} FROM incident WHERE incident_id = $1 ORDER BY at LIMIT 1"
OF_SUBJECTS: Final = f"""
SELECT {INCIDENT.select} FROM incident WHERE mchid = $1 AND subject_id = ANY($2)
ORDER BY at, subject_id, kind, incident_id
"""
EXPEDITE_RETURN: Final = """
UPDATE unmatched_payment SET check_at = CASE WHEN state = 'RETURNING' THEN least(check_at, $4) ELSE check_at END
WHERE mchid = $1 AND subject_id = $2 AND syssn = $3 RETURNING 1
"""
RESOLVE: Final = f"""
UPDATE incident SET resolved_at = $2, resolution = $3 WHERE incident_id = $1 AND resolved_at IS NULL
RETURNING {INCIDENT.select}
"""
#: The decision about an unmatched payment is the review of its incidents.
RESOLVE_OF_UNMATCHED: Final = """
UPDATE incident SET resolved_at = $3, resolution = $4
WHERE mchid = $1 AND unmatched_id = $2 AND unmatched_id <> '' AND resolved_at IS NULL
"""
RESOLVE_ABOUT: Final = """
UPDATE incident SET resolved_at = $4, resolution = $5
WHERE mchid = $1 AND subject_id = $2 AND kind = $3 AND resolved_at IS NULL
"""
COUNTS: Final = """
SELECT kind, count(*) AS seen, count(*) FILTER (WHERE resolved_at IS NULL) AS open FROM incident GROUP BY kind
"""


async def write_incidents(
    connection: "Connection", incidents: Sequence[Incident], evidence: Sequence[Evidence] = ()
) -> None:
    """Write `incidents`, with the evidence that they refer to, in the caller's transaction.

    Existing ones stay unchanged.
    """
    await write_evidence(connection, evidence)
    # ON CONFLICT DO UPDATE cannot affect a row twice, and rows must be locked in one order.
    unique = {(i.mchid, i.subject_id, i.kind.value, i.incident_id): i for i in incidents}
    rows = [unique[key] for key in sorted(unique)]
    if not rows:
        return
    await connection.execute(WRITE, *INCIDENT.arrays(rows, INCIDENT.columns))


async def resolve_incidents_of(
    connection: "Connection", mchid: str, unmatched_id: str, note: str, at: datetime
) -> None:
    """Resolve the open incidents about an unmatched payment in the caller's transaction."""
    await connection.execute(RESOLVE_OF_UNMATCHED, mchid, unmatched_id, at, note)


async def resolve_incidents_about(
    connection: "Connection", mchid: str, subject_id: str, kind: IncidentKind, note: str, at: datetime
) -> None:
    """Resolve the open incidents of this kind and subject in the caller's transaction."""
    await connection.execute(RESOLVE_ABOUT, mchid, subject_id, kind, at, note)


#: The table in the cell of a merchant, by mchid. Raises StoreUnavailable.
IncidentsOf = Callable[[str], Awaitable["Incidents"]]


class Incidents:
    """The table `incident`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, incidents: Sequence[Incident], evidence: Sequence[Evidence] = ()) -> None:
        """Commit incidents whose outcome changes nothing else. Raises StoreUnavailable."""
        async with self._database.transaction() as connection:
            await write_incidents(connection, incidents, evidence)

    async def newest(self, mchid: str | None, *, with_resolved: bool, limit: int) -> list[Incident]:
        """Newest first."""
        return [INCIDENT.read(row) for row in await self._database.fetch(LIST, mchid, with_resolved, limit)]

    async def by_id(self, incident_id: str) -> Incident | None:
        """The incident with this id, of any merchant."""
        rows = await self._database.fetch(BY_ID, incident_id)
        return INCIDENT.read(rows[0]) if rows else None

    async def of_subjects(self, mchid: str, subject_ids: Sequence[str]) -> list[Incident]:
        """The incidents about these numbers, oldest first."""
        return [
            INCIDENT.read(row) for row in await self._database.fetch(OF_SUBJECTS, mchid, list(subject_ids))
        ]

    async def expedite_return(self, mchid: str, subject_id: str, syssn: str, now: datetime) -> bool:
        """Make a return that is under way due now. False if there is none of this number. Raises StoreUnavailable."""
        return bool(await self._database.fetch(EXPEDITE_RETURN, mchid, subject_id, syssn, now))

    async def resolve(self, incident_id: str, note: str, origin: Origin) -> bool:
        """Whether it was open. The return of its unmatched payment continues regardless."""
        async with self._database.transaction() as connection:
            resolved = [
                INCIDENT.read(row) for row in await connection.fetch(RESOLVE, incident_id, origin.at, note)
            ]
            for incident in resolved:
                before = replace(incident, resolved_at=None, resolution="")
                await write_change(connection, origin, INCIDENT, incident_id, before, incident)
        return bool(resolved)

    async def counts(self) -> Mapping[IncidentKind, tuple[int, int]]:
        """By kind: the number of incidents in total, and of open ones."""
        rows = await self._database.fetch(COUNTS)
        return {IncidentKind(row["kind"]): (row["seen"], row["open"]) for row in rows}
