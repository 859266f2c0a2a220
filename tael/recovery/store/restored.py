"""What a restored database has that needs care, and what is changed in it.

A restore is identified by the server's cluster and its timeline: each recovery begins a new timeline, and so does the
promotion of a standby. The name of the file that is being written has it at once, the control file later. Both are read
on the cell's node.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tael.audit_log.domain.entry import AuditEntry, Origin
from tael.audit_log.store.entries import write_audit_entries
from tael.base.serial import SEQUENCES
from tael.db.database import Database
from tael.db.tables import Home
from tael.recovery.domain.skip import day_begins, skip_at

SERIAL: Final = "serial"
TIMELINE: Final = """
SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' ||
    left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS timeline
FROM cell
"""
IS_APPLIED: Final = """
SELECT EXISTS (
    SELECT FROM cell_audit_entry WHERE subject_kind = 'serial' AND subject_id = $1
) AS it_is
"""
#: Restores of a day on other timelines.
EARLIER: Final = (
    "SELECT count(*) AS restores FROM cell_audit_entry WHERE subject_kind = 'serial' AND at >= $1"
)
#: Also for nodes whose first block was taken after the recovery point. $1 the last node, $2 the skip.
SKIP: Final = """
INSERT INTO serial AS s (node, next_sequence)
SELECT g.node, $2 FROM generate_series(0, $1::integer) AS g (node) CROSS JOIN cell
ON CONFLICT (node) DO UPDATE SET next_sequence = (s.next_sequence + $2) % $3
"""
LAST_NODE: Final = 99
#: Of two commands at once, the second finds what the first has done.
LOCK: Final = "LOCK TABLE serial IN EXCLUSIVE MODE"
#: The wallet is queried about each row that is scheduled.
MAKE_DUE: Final = "UPDATE {table} SET check_at = $1 WHERE check_at > $1"
QUERIED: Final = ("payment", "refund", "reversal", "unmatched_payment")
#: The newest change of each merchant, in the index of its payments.
NEWEST: Final = """
SELECT max(newest.created_at) AS at
FROM daily_close AS m CROSS JOIN LATERAL (
    SELECT p.created_at FROM payment AS p WHERE p.mchid = m.mchid ORDER BY p.created_at DESC, p.syssn DESC LIMIT 1
) AS newest
"""
COUNTS: Final = """
SELECT
    (SELECT count(*) FROM payment WHERE check_at IS NOT NULL) AS payments,
    (SELECT count(*) FROM refund WHERE check_at IS NOT NULL) AS refunds,
    (SELECT count(*) FROM reversal WHERE check_at IS NOT NULL) AS reversals,
    (SELECT count(*) FROM unmatched_payment WHERE check_at IS NOT NULL) AS unmatched_payments,
    (SELECT count(*) FROM webhook WHERE deliver_at IS NOT NULL) AS webhooks,
    (SELECT count(*) FROM statement_due) AS statements,
    (SELECT count(*) FROM payout WHERE state = 'CREATED') AS payouts,
    (SELECT count(*) FROM incident WHERE resolved_at IS NULL) AS incidents
"""
ACCOUNTS: Final = """
SELECT a.account_id FROM wallet_account AS a JOIN merchant AS m ON m.mchid = a.mchid WHERE m.cell = $1
"""
SCHEDULED: Final = "SELECT DISTINCT account_id FROM statement_due"
RETURNING: Final = (
    "SELECT count(*) AS merchants FROM merchant WHERE unmatched_payments = 'return' AND cell = $1"
)


@dataclass(frozen=True, slots=True)
class Restored:
    """Rows that need care. Instants are UTC."""

    timeline: str  #: the cluster's number and its timeline
    is_applied: bool  #: whether numbers have skipped ahead on this timeline
    newest_payment_at: datetime | None  #: of those that were not lost
    payments: int  #: scheduled for a query of the wallet; so are the next three
    refunds: int
    reversals: int
    unmatched_payments: int
    webhooks: int  #: to be delivered; some were
    statements: int  #: scheduled days
    payouts: int  #: not marked as paid; some may be
    incidents: int  #: open
    unscheduled_accounts: int  #: whose statements are not fetched
    returning_merchants: int  #: whose unmatched payments go back to the payer


class RestoredDatabase:
    """A cell's database after a restore, which belongs to the merchants of `directory`."""

    def __init__(self, directory: Database, database: Database, cell: int) -> None:
        self._directory = directory
        self._database = database
        self._cell = cell

    async def look(self) -> Restored:
        """Raises StoreUnavailable."""
        (timeline,) = await self._database.fetch(TIMELINE)
        (applied,) = await self._database.fetch(IS_APPLIED, timeline["timeline"])
        (newest,) = await self._database.fetch(NEWEST)
        (counts,) = await self._database.fetch(COUNTS)
        accounts = {row["account_id"] for row in await self._directory.fetch(ACCOUNTS, self._cell)}
        scheduled = {row["account_id"] for row in await self._database.fetch(SCHEDULED)}
        (returning,) = await self._directory.fetch(RETURNING, self._cell)
        return Restored(
            timeline=timeline["timeline"],
            is_applied=applied["it_is"],
            newest_payment_at=newest["at"],
            unscheduled_accounts=len(accounts - scheduled),
            returning_merchants=returning["merchants"],
            **counts,
        )

    async def apply(self, origin: Origin) -> bool:
        """Skip sequences, and make every scheduled query of a wallet due now, once for a timeline.

        False if that was done. Raises StoreUnavailable.
        """
        async with self._database.transaction() as connection:
            await connection.execute(LOCK)
            (row,) = await connection.fetch(TIMELINE)
            timeline: str = row["timeline"]
            (applied,) = await connection.fetch(IS_APPLIED, timeline)
            if applied["it_is"]:
                return False
            (earlier,) = await connection.fetch(EARLIER, day_begins(origin.at))
            skip = skip_at(origin.at, earlier["restores"])
            await connection.execute(SKIP, LAST_NODE, skip, SEQUENCES)
            for table in QUERIED:
                await connection.execute(MAKE_DUE.format(table=table), origin.at)
            after = {"skipped": skip}
            entry = AuditEntry(
                origin.at, origin.actor, origin.address, origin.action, SERIAL, timeline, None, after
            )
            await write_audit_entries(connection, Home.CELL, [entry])
        return True
