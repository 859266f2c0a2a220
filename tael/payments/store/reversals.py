"""Reversals. They are rare, so they are written one at a time, always under the lock of their payment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tael.db.database import Database
from tael.db.due_queue import AccountQueue
from tael.db.tables import assignments, write_rows
from tael.payments.domain.payment import Payment
from tael.payments.domain.reversal import Reversal
from tael.payments.store.payments import Change, lock_payments, write_changes
from tael.payments.store.rows import PAYMENT, REVERSAL

if TYPE_CHECKING:
    from tael.db.database import Connection

INSERT: Final = REVERSAL.insert()
OUTCOME: Final = (
    "state",
    "reason",
    "wallet_code",
    "action",
    "changed_at",
    "check_at",
    "checks",
    "amount_minor",
)
UPDATE: Final = f"""
UPDATE reversal AS r SET {assignments(OUTCOME)}, lease_until = NULL, version = r.version + 1
FROM {REVERSAL.unnest(REVERSAL.key + OUTCOME)} WHERE r.mchid = w.mchid AND r.syssn = w.syssn
"""
#: Columns of a payment that only reversals write; a payment's own outcomes never change them.
SUMS: Final = ("reserved_minor", "refunded_minor", "reversal_syssn", "is_reversed")
MARK_PAYMENT: Final = f"""
UPDATE payment AS p SET {assignments(SUMS)}
FROM {PAYMENT.unnest(PAYMENT.key + SUMS)} WHERE p.mchid = w.mchid AND p.syssn = w.syssn
"""
LOCK: Final = f"SELECT {REVERSAL.select} FROM reversal WHERE mchid = $1 AND syssn = $2 FOR UPDATE"
BY_SYSSN: Final = f"SELECT {REVERSAL.select} FROM reversal WHERE mchid = $1 AND syssn = $2"
OF_PAYMENT: Final = f"""
SELECT {REVERSAL.select} FROM reversal WHERE mchid = $1 AND payment_syssn = $2 ORDER BY created_at, syssn
"""


@dataclass(frozen=True, slots=True)
class LockedReversal:
    """A reversal and its payment, locked until the transaction ends."""

    connection: "Connection"
    reversal: Reversal
    payment: Payment


class Reversals:
    """The table `reversal`, and the columns of reversals in `payment`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.due: Final = AccountQueue(database, REVERSAL)

    async def by_syssn(self, mchid: str, syssn: str) -> Reversal | None:
        rows = await self._database.fetch(BY_SYSSN, mchid, syssn)
        return REVERSAL.read(rows[0]) if rows else None

    async def of_payment(self, mchid: str, payment_syssn: str) -> list[Reversal]:
        """All reversals of a payment, including failed ones, oldest first."""
        rows = await self._database.fetch(OF_PAYMENT, mchid, payment_syssn)
        return [REVERSAL.read(row) for row in rows]

    async def insert(self, connection: "Connection", reversal: Reversal, change: Change) -> None:
        """Write the intent in the caller's transaction, which must hold the payment's lock."""
        await write_rows(connection, INSERT, 1, *REVERSAL.arrays([reversal], REVERSAL.columns))
        await _write_payment(connection, change)

    @asynccontextmanager
    async def locked(self, mchid: str, payment_syssn: str, syssn: str) -> AsyncIterator[LockedReversal]:
        """Both rows, locked in the order that all transactions use."""
        async with self._database.transaction() as connection:
            payments = await lock_payments(connection, [(mchid, payment_syssn)])
            rows = await connection.fetch(LOCK, mchid, syssn)
            yield LockedReversal(connection, REVERSAL.read(rows[0]), payments[payment_syssn])

    async def write(self, connection: "Connection", reversal: Reversal, change: Change) -> None:
        """Write both rows in the caller's transaction."""
        await connection.execute(UPDATE, *REVERSAL.arrays([reversal], REVERSAL.key + OUTCOME))
        await _write_payment(connection, change)


async def _write_payment(connection: "Connection", change: Change) -> None:
    """Write the state first: a CHECK allows sums above zero on a paid payment only."""
    await write_changes(connection, [change])
    await connection.execute(MARK_PAYMENT, *PAYMENT.arrays([change.after], PAYMENT.key + SUMS))
