"""Unmatched payments: what the wallet's record said of it, and its way back. One at a time, always by version.

A step is written with its ledger entries, and with the payment that it fails, in one commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from tael.db.database import Database
from tael.db.due_queue import EVERYTHING, OF_INCIDENTS, Share, claim, claiming, renew, renewal
from tael.incidents.domain.incident import Incident
from tael.incidents.store.incidents import INCIDENT_COLUMNS, incident_of, write_incidents
from tael.ledger.domain.entries import Entry
from tael.ledger.store.entries import write_entries
from tael.payments.store.payments import Change, lock_payments, write_changes

RECORD: Final = """
UPDATE incident SET detail = $6, amount_minor = $7, currency = $8, unmatched_state = $9, unmatched_syssn = $10,
    asked_at = $11,
    wallet_code = $12, return_ref = $13, returned_at = $14, check_at = $15, checks = $16, lease_until = NULL,
    version = version + 1
WHERE mchid = $1 AND subject_id = $2 AND kind = $3 AND incident_id = $4 AND version = $5 RETURNING 1
"""
#: Another incident may speak of the same trade of the wallet's; whoever numbered it first deals with it.
OF_SAME_TRADE: Final = f"""
SELECT {INCIDENT_COLUMNS} FROM incident
WHERE mchid = $1 AND subject_id = $2 AND wallet_ref = $3 AND unmatched_syssn <> '' AND unmatched_state <> 'VOIDED'
"""
BY_UNMATCHED_SYSSN: Final = (
    f"SELECT {INCIDENT_COLUMNS} FROM incident WHERE mchid = $1 AND unmatched_syssn = $2"
)
CLAIM: Final = claiming("incident", OF_INCIDENTS, INCIDENT_COLUMNS)

RENEW: Final = renewal("incident", OF_INCIDENTS)


@dataclass(frozen=True, slots=True)
class UnmatchedChange:
    """An incident as it shall be, decided on `after.version`, with what follows from it in the same commit."""

    after: Incident
    entries: Sequence[Entry] = ()
    incidents: Sequence[Incident] = ()
    payment: Change | None = None


class _Lost(Exception):
    """Somebody else wrote the payment first; nothing of this change is kept."""


class UnmatchedPayments:
    """The rows of `incident` that hold unmatched payments."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, change: UnmatchedChange) -> bool:
        """Commit a step; False if somebody else was faster, or deals with this money. Raises StoreUnavailable."""
        try:
            async with self._database.transaction() as connection:
                if change.payment is not None:
                    after = change.payment.after
                    await lock_payments(connection, [(after.mchid, after.syssn)])
                if not await connection.fetch(RECORD, *_columns(change.after)):
                    return False
                if change.payment is not None and not await write_changes(connection, [change.payment]):
                    raise _Lost
                await write_entries(connection, change.entries)
                await write_incidents(connection, change.incidents)
        except (_Lost, asyncpg.UniqueViolationError):
            return False
        return True

    async def of_same_trade(self, incident: Incident) -> Incident | None:
        """The incident that has numbered the money of `incident` already, under another kind of news."""
        rows = await self._database.fetch(
            OF_SAME_TRADE, incident.mchid, incident.subject_id, incident.wallet_ref
        )
        return incident_of(rows[0]) if rows else None

    async def by_syssn(self, mchid: str, unmatched_syssn: str) -> Incident | None:
        """The incident whose money has this number of ours."""
        rows = await self._database.fetch(BY_UNMATCHED_SYSSN, mchid, unmatched_syssn)
        return incident_of(rows[0]) if rows else None

    async def claim_due(
        self,
        now: datetime,
        real_now: datetime,
        lease_until: datetime,
        limit: int,
        share: Share = EVERYTHING,
    ) -> list[Incident]:
        """Unmatched payments to go on with, leased to the caller until `lease_until` (real time)."""
        rows = await claim(self._database, CLAIM, now, real_now, lease_until, limit, share)
        return [incident_of(row) for row in rows]

    async def renew(
        self, incidents: Sequence[Incident], held: Sequence[datetime], until: datetime
    ) -> list[bool]:
        """Extend the leases that are still the caller's; which ones were."""
        keys = [(i.mchid, i.subject_id, i.kind.value, i.incident_id) for i in incidents]
        return await renew(self._database, RENEW, keys, held, until)


def _columns(incident: Incident) -> tuple[object, ...]:
    return (
        incident.mchid,
        incident.subject_id,
        incident.kind.value,
        incident.incident_id,
        incident.version,
        incident.detail,
        incident.amount.amount_minor if incident.amount else None,
        incident.amount.currency if incident.amount else None,
        incident.unmatched_state.value,
        incident.unmatched_syssn,
        incident.asked_at,
        incident.wallet_code,
        incident.return_ref,
        incident.returned_at,
        incident.check_at,
        incident.checks,
    )
