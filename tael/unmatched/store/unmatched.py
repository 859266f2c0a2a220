"""The table `unmatched_payment`: its rows are written one at a time, if the version is unchanged.

A step is written in one commit with its ledger entries and with the payment that it fails, if any. The first row is
written by `incidents/store/evidence.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import asyncpg

from tael.audit_log.domain.entry import AuditEntry
from tael.audit_log.store.entries import write_audit_entries
from tael.db.database import Database
from tael.db.due_queue import AccountQueue
from tael.db.tables import MONEY, Home, Table, assignments
from tael.incidents.domain.evidence import Evidence
from tael.incidents.domain.incident import Incident
from tael.incidents.store.incidents import resolve_incidents_of, write_incidents
from tael.ledger.domain.entries import Entry
from tael.ledger.store.entries import write_entries
from tael.payments.store.payments import Change, lock_payments, write_changes
from tael.unmatched.domain.unmatched import UnmatchedPayment, UnmatchedState

if TYPE_CHECKING:
    from tael.db.database import Connection

UNMATCHED_PAYMENT: Final = Table(
    "unmatched_payment",
    Home.CELL,
    UnmatchedPayment,
    ("mchid", "unmatched_id"),
    codecs={"amount": MONEY},
    internal={"lease_until": "timestamptz"},
)
#: What a step or a decision can change.
STEP: Final = (
    *("amount_minor", "currency", "state", "syssn", "booked_at", "asked_at", "wallet_code", "return_ref"),
    *("returned_at", "remind_at", "reason", "note", "check_at", "checks"),
)
RECORD: Final = f"""
UPDATE unmatched_payment AS u SET {assignments(STEP)}, lease_until = NULL, version = u.version + 1
FROM {UNMATCHED_PAYMENT.unnest((*UNMATCHED_PAYMENT.key, "version", *STEP))}
WHERE {" AND ".join(f"u.{column} = w.{column}" for column in (*UNMATCHED_PAYMENT.key, "version"))} RETURNING 1
"""
#: Another event may be about the same trade at the wallet; the first one to be numbered handles its money.
OF_SAME_TRADE: Final = f"""
SELECT {UNMATCHED_PAYMENT.select} FROM unmatched_payment
WHERE mchid = $1 AND subject_id = $2 AND wallet_ref = $3 AND syssn <> '' AND state <> 'VOIDED'
"""
BY_SYSSN: Final = f"SELECT {UNMATCHED_PAYMENT.select} FROM unmatched_payment WHERE mchid = $1 AND syssn = $2"
BY_ID: Final = f"""
SELECT {UNMATCHED_PAYMENT.select} FROM unmatched_payment WHERE unmatched_id = $1 ORDER BY at LIMIT 1
"""
LIST: Final = f"""
SELECT {UNMATCHED_PAYMENT.select} FROM unmatched_payment
WHERE ($1::text IS NULL OR mchid = $1) AND state = ANY($2::text[])
ORDER BY at DESC, mchid, unmatched_id LIMIT $3
"""
#: What the wallets hold of booked money about which nothing final is decided.
FIGURES: Final = """
SELECT state, currency, sum(amount_minor)::bigint AS amount_minor, min(booked_at) AS oldest
FROM unmatched_payment WHERE state IN ('HELD', 'APPROVED', 'RETURNING', 'REFUSED')
GROUP BY state, currency ORDER BY state, currency
"""


@dataclass(frozen=True, slots=True)
class UnmatchedChange:
    """The new state, decided on `after.version`, with everything to be written in the same commit."""

    after: UnmatchedPayment
    entries: Sequence[Entry] = ()
    incidents: Sequence[Incident] = ()
    evidence: Sequence[Evidence] = ()
    payment: Change | None = None
    resolved_at: datetime | None = None  #: its open incidents are resolved with the operator's note
    audit: AuditEntry | None = None  #: of an operator's decision


@dataclass(frozen=True, slots=True)
class UnmatchedFigure:
    """What is booked in this state and currency."""

    state: UnmatchedState
    currency: str
    amount_minor: int
    oldest: datetime  #: when the oldest one was booked


class _Conflict(Exception):
    """The payment changed meanwhile; the transaction is rolled back."""


class UnmatchedPayments:
    """The table `unmatched_payment`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.due: Final = AccountQueue(database, UNMATCHED_PAYMENT)

    async def record(self, change: UnmatchedChange) -> bool:
        """Commit a step; False if a row has changed, or another event has this money. Raises StoreUnavailable."""
        try:
            async with self._database.transaction() as connection:
                if change.payment is not None:
                    failed = change.payment.after
                    await lock_payments(connection, [(failed.mchid, failed.syssn)])
                if not await _write_step(connection, change.after):
                    return False
                if change.payment is not None and not await write_changes(connection, [change.payment]):
                    raise _Conflict
                await write_entries(connection, change.entries)
                await write_incidents(connection, change.incidents, change.evidence)
                if change.resolved_at is not None:
                    after = change.after
                    await resolve_incidents_of(
                        connection, after.mchid, after.unmatched_id, after.note, change.resolved_at
                    )
                if change.audit is not None:
                    await write_audit_entries(connection, Home.CELL, [change.audit])
        except (_Conflict, asyncpg.UniqueViolationError):
            return False
        return True

    async def of_same_trade(self, unmatched: UnmatchedPayment) -> UnmatchedPayment | None:
        """The one that already handles the money of `unmatched`."""
        rows = await self._database.fetch(
            OF_SAME_TRADE, unmatched.mchid, unmatched.subject_id, unmatched.wallet_ref
        )
        return UNMATCHED_PAYMENT.read(rows[0]) if rows else None

    async def by_syssn(self, mchid: str, syssn: str) -> UnmatchedPayment | None:
        """The one that is booked under this number."""
        rows = await self._database.fetch(BY_SYSSN, mchid, syssn)
        return UNMATCHED_PAYMENT.read(rows[0]) if rows else None

    async def by_id(self, unmatched_id: str) -> UnmatchedPayment | None:
        """The one with this id, of any merchant."""
        rows = await self._database.fetch(BY_ID, unmatched_id)
        return UNMATCHED_PAYMENT.read(rows[0]) if rows else None

    async def newest(
        self, mchid: str | None, states: Sequence[UnmatchedState], limit: int
    ) -> list[UnmatchedPayment]:
        """Newest first."""
        rows = await self._database.fetch(LIST, mchid, [state.value for state in states], limit)
        return [UNMATCHED_PAYMENT.read(row) for row in rows]

    async def figures(self) -> list[UnmatchedFigure]:
        """Raises StoreUnavailable."""
        return [
            UnmatchedFigure(UnmatchedState(row["state"]), row["currency"], row["amount_minor"], row["oldest"])
            for row in await self._database.fetch(FIGURES)
        ]


async def _write_step(connection: "Connection", unmatched: UnmatchedPayment) -> bool:
    """Whether the version was still the expected one."""
    columns = (*UNMATCHED_PAYMENT.key, "version", *STEP)
    return bool(await connection.fetch(RECORD, *UNMATCHED_PAYMENT.arrays([unmatched], columns)))
