"""Unmatched payments: their confirmation and return. Written one at a time, if the version is unchanged.

A step is written in one commit with its ledger entries and with the payment that it fails, if any.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from tael.db.database import Database
from tael.db.due_queue import OF_INCIDENTS, UNLIMITED, AccountLimits, claim, claiming, renew, renewal
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
#: Another incident may be about the same trade at the wallet; the first one to be numbered handles its money.
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
    """An incident's new state, decided on `after.version`, with everything to be written in the same commit."""

    after: Incident
    entries: Sequence[Entry] = ()
    incidents: Sequence[Incident] = ()
    payment: Change | None = None


class _Conflict(Exception):
    """The payment changed meanwhile; the transaction is rolled back."""


class UnmatchedPayments:
    """The rows of `incident` with an unmatched payment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, change: UnmatchedChange) -> bool:
        """Commit a step; False if a row has changed, or another incident has this money. Raises StoreUnavailable."""
        try:
            async with self._database.transaction() as connection:
                if change.payment is not None:
                    after = change.payment.after
                    await lock_payments(connection, [(after.mchid, after.syssn)])
                if not await connection.fetch(RECORD, *_columns(change.after)):
                    return False
                if change.payment is not None and not await write_changes(connection, [change.payment]):
                    raise _Conflict
                await write_entries(connection, change.entries)
                await write_incidents(connection, change.incidents)
        except (_Conflict, asyncpg.UniqueViolationError):
            return False
        return True

    async def of_same_trade(self, incident: Incident) -> Incident | None:
        """The incident of another kind that already handles the money of `incident`."""
        rows = await self._database.fetch(
            OF_SAME_TRADE, incident.mchid, incident.subject_id, incident.wallet_ref
        )
        return incident_of(rows[0]) if rows else None

    async def by_syssn(self, mchid: str, unmatched_syssn: str) -> Incident | None:
        """The incident whose money has this number."""
        rows = await self._database.fetch(BY_UNMATCHED_SYSSN, mchid, unmatched_syssn)
        return incident_of(rows[0]) if rows else None

    async def claim_due(
        self,
        now: datetime,
        real_now: datetime,
        lease_until: datetime,
        limit: int,
        accounts: AccountLimits = UNLIMITED,
    ) -> list[Incident]:
        """Unmatched payments to advance, leased to the caller until `lease_until` (real time)."""
        rows = await claim(self._database, CLAIM, now, real_now, lease_until, limit, accounts)
        return [incident_of(row) for row in rows]

    async def renew(
        self, incidents: Sequence[Incident], held: Sequence[datetime], until: datetime
    ) -> list[bool]:
        """Extend the leases that are still the caller's; for each, whether it was."""
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
