"""Incidents: written in the commit of the outcome that caused them, or alone; listed and resolved by operators.

`unmatched/store/unmatched.py` handles the unmatched payments in them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tael.base.money import Money
from tael.db.database import Database
from tael.incidents.domain.incident import Incident, IncidentKind, UnmatchedState

if TYPE_CHECKING:
    import asyncpg

    from tael.db.database import Connection

INCIDENT_COLUMNS: Final = (
    "mchid, subject_id, kind, incident_id, account_id, detail, at, amount_minor, currency, wallet_ref, payer_ref, "
    "unmatched_state, unmatched_syssn, asked_at, wallet_code, return_ref, returned_at, check_at, checks, resolved_at, "
    "resolution, version"
)
#: Repeats change nothing, except that a resolved incident about an account is reopened.
WRITE: Final = """
INSERT INTO incident AS i (mchid, subject_id, kind, incident_id, account_id, detail, at, amount_minor, currency,
    wallet_ref, payer_ref, unmatched_state,
    check_at, unmatched_syssn, wallet_code, return_ref, checks, resolution, version)
SELECT w.*, '', '', '', 0, '', 1 FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::bigint[],
    $9::text[], $10::text[], $11::text[], $12::text[], $13::timestamptz[]) AS w
ON CONFLICT (mchid, subject_id, kind, incident_id) DO UPDATE SET resolved_at = NULL, resolution = '', at = excluded.at
WHERE i.kind IN ('our_identity_refused', 'answers_unverified') AND i.resolved_at IS NOT NULL
"""
LIST: Final = f"""
SELECT {INCIDENT_COLUMNS} FROM incident
WHERE ($1::text IS NULL OR mchid = $1) AND ($2 OR resolved_at IS NULL)
ORDER BY at DESC, mchid, subject_id, kind, incident_id LIMIT $3
"""
BY_ID: Final = f"SELECT {INCIDENT_COLUMNS} FROM incident WHERE incident_id = $1 ORDER BY at LIMIT 1"
OF_SUBJECTS: Final = f"""
SELECT {INCIDENT_COLUMNS} FROM incident WHERE mchid = $1 AND subject_id = ANY($2)
ORDER BY at, subject_id, kind, incident_id
"""
EXPEDITE_RETURN: Final = """
UPDATE incident SET check_at = CASE WHEN unmatched_state = 'RETURNING' THEN least(check_at, $4) ELSE check_at END
WHERE mchid = $1 AND subject_id = $2 AND unmatched_syssn = $3 RETURNING 1
"""
RESOLVE: Final = """
UPDATE incident SET resolved_at = $2, resolution = $3 WHERE incident_id = $1 AND resolved_at IS NULL RETURNING 1
"""
COUNTS: Final = """
SELECT kind, count(*) AS seen, count(*) FILTER (WHERE resolved_at IS NULL) AS open FROM incident GROUP BY kind
"""


async def write_incidents(connection: "Connection", incidents: Sequence[Incident]) -> None:
    """Write `incidents` in the caller's transaction; existing ones stay unchanged."""
    # ON CONFLICT DO UPDATE cannot affect a row twice, and rows must be locked in one order.
    unique = {(i.mchid, i.subject_id, i.kind.value, i.incident_id): i for i in incidents}
    rows = [unique[key] for key in sorted(unique)]
    if not rows:
        return
    await connection.execute(
        WRITE,
        [i.mchid for i in rows],
        [i.subject_id for i in rows],
        [i.kind.value for i in rows],
        [i.incident_id for i in rows],
        [i.account_id for i in rows],
        [i.detail for i in rows],
        [i.at for i in rows],
        [i.amount.amount_minor if i.amount else None for i in rows],
        [i.amount.currency if i.amount else None for i in rows],
        [i.wallet_ref for i in rows],
        [i.payer_ref for i in rows],
        [i.unmatched_state.value for i in rows],
        [i.check_at for i in rows],
    )


class Incidents:
    """The table `incident`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, incidents: Sequence[Incident]) -> None:
        """Commit incidents whose outcome changes nothing else. Raises StoreUnavailable."""
        async with self._database.transaction() as connection:
            await write_incidents(connection, incidents)

    async def newest(self, mchid: str | None, *, with_resolved: bool, limit: int) -> list[Incident]:
        """Newest first."""
        return [incident_of(row) for row in await self._database.fetch(LIST, mchid, with_resolved, limit)]

    async def by_id(self, incident_id: str) -> Incident | None:
        """The incident with this id, of any merchant."""
        rows = await self._database.fetch(BY_ID, incident_id)
        return incident_of(rows[0]) if rows else None

    async def of_subjects(self, mchid: str, subject_ids: Sequence[str]) -> list[Incident]:
        """The incidents about these numbers, oldest first."""
        return [incident_of(row) for row in await self._database.fetch(OF_SUBJECTS, mchid, list(subject_ids))]

    async def expedite_return(self, mchid: str, subject_id: str, unmatched_syssn: str, now: datetime) -> bool:
        """Make a return that is under way due now. False if there is none of this number. Raises StoreUnavailable."""
        return bool(await self._database.fetch(EXPEDITE_RETURN, mchid, subject_id, unmatched_syssn, now))

    async def resolve(self, incident_id: str, note: str, at: datetime) -> bool:
        """Whether it was open. The return of its unmatched payment continues regardless."""
        return bool(await self._database.fetch(RESOLVE, incident_id, at, note))

    async def counts(self) -> Mapping[IncidentKind, tuple[int, int]]:
        """By kind: the number of incidents in total, and of open ones."""
        rows = await self._database.fetch(COUNTS)
        return {IncidentKind(row["kind"]): (row["seen"], row["open"]) for row in rows}


def incident_of(row: "asyncpg.Record") -> Incident:
    """A row with INCIDENT_COLUMNS."""
    has_amount = row["amount_minor"] is not None
    return Incident(
        mchid=row["mchid"],
        subject_id=row["subject_id"],
        kind=IncidentKind(row["kind"]),
        incident_id=row["incident_id"],
        account_id=row["account_id"],
        detail=row["detail"],
        at=row["at"],
        amount=Money(row["amount_minor"], row["currency"]) if has_amount else None,
        wallet_ref=row["wallet_ref"],
        payer_ref=row["payer_ref"],
        unmatched_state=UnmatchedState(row["unmatched_state"]),
        unmatched_syssn=row["unmatched_syssn"],
        asked_at=row["asked_at"],
        wallet_code=row["wallet_code"],
        return_ref=row["return_ref"],
        returned_at=row["returned_at"],
        check_at=row["check_at"],
        checks=row["checks"],
        resolved_at=row["resolved_at"],
        resolution=row["resolution"],
        version=row["version"],
    )
