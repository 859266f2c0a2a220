"""Unmatched payments: their confirmation and return. Written one at a time, if the version is unchanged.

A step is written in one commit with its ledger entries and with the payment that it fails, if any.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncpg

from tael.db.database import Database
from tael.db.due_queue import AccountQueue
from tael.db.tables import assignments
from tael.incidents.domain.incident import Incident
from tael.incidents.store.incidents import INCIDENT, write_incidents
from tael.ledger.domain.entries import Entry
from tael.ledger.store.entries import write_entries
from tael.payments.store.payments import Change, lock_payments, write_changes

if TYPE_CHECKING:
    from tael.db.database import Connection

STEP: Final = (
    *("detail", "amount_minor", "currency", "unmatched_state", "unmatched_syssn", "asked_at", "wallet_code"),
    *("return_ref", "returned_at", "check_at", "checks"),
)
RECORD: Final = f"""
UPDATE incident AS i SET {assignments(STEP)}, lease_until = NULL, version = i.version + 1
FROM {INCIDENT.unnest((*INCIDENT.key, "version", *STEP))}
WHERE {" AND ".join(f"i.{column} = w.{column}" for column in (*INCIDENT.key, "version"))} RETURNING 1
"""
#: Another incident may be about the same trade at the wallet; the first one to be numbered handles its money.
OF_SAME_TRADE: Final = f"""
SELECT {INCIDENT.select} FROM incident
WHERE mchid = $1 AND subject_id = $2 AND wallet_ref = $3 AND unmatched_syssn <> '' AND unmatched_state <> 'VOIDED'
"""
BY_UNMATCHED_SYSSN: Final = (
    f"SELECT {INCIDENT.select} FROM incident WHERE mchid = $1 AND unmatched_syssn = $2"
)


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
        self.due: Final = AccountQueue(database, INCIDENT)

    async def record(self, change: UnmatchedChange) -> bool:
        """Commit a step; False if a row has changed, or another incident has this money. Raises StoreUnavailable."""
        try:
            async with self._database.transaction() as connection:
                if change.payment is not None:
                    after = change.payment.after
                    await lock_payments(connection, [(after.mchid, after.syssn)])
                if not await _write_step(connection, change.after):
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
        return INCIDENT.read(rows[0]) if rows else None

    async def by_syssn(self, mchid: str, unmatched_syssn: str) -> Incident | None:
        """The incident whose money has this number."""
        rows = await self._database.fetch(BY_UNMATCHED_SYSSN, mchid, unmatched_syssn)
        return INCIDENT.read(rows[0]) if rows else None


async def _write_step(connection: "Connection", incident: Incident) -> bool:
    """Whether the version was still the expected one."""
    parameters = INCIDENT.arrays([incident], (*INCIDENT.key, "version", *STEP))
    return bool(await connection.fetch(RECORD, *parameters))
