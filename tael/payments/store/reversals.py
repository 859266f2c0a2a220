"""Reversals. They are rare, so they are written one at a time, always under the lock of their payment."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tael.db.database import Database
from tael.db.due_queue import OF_ORDERS, UNLIMITED, AccountLimits, claim, claiming, renew, renewal
from tael.payments.domain.payment import Payment
from tael.payments.domain.reversal import Reversal
from tael.payments.store.payments import Change, lock_payments, write_changes
from tael.payments.store.rows import REVERSAL_COLUMNS, reversal_of

if TYPE_CHECKING:
    from tael.db.database import Connection

INSERT: Final = f"""
INSERT INTO reversal ({REVERSAL_COLUMNS})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
"""
UPDATE: Final = """
UPDATE reversal SET state = $3, respcd = $4, wallet_code = $5, action = $6, changed_at = $7, check_at = $8,
    checks = $9, amount_minor = $10, lease_until = NULL, version = version + 1
WHERE mchid = $1 AND syssn = $2
"""
#: Columns of a payment that only reversals write; a payment's own outcomes never change them.
MARK_PAYMENT: Final = """
UPDATE payment SET reserved_minor = $3, refunded_minor = $4, reversal_syssn = $5, is_reversed = $6
WHERE mchid = $1 AND syssn = $2
"""
LOCK: Final = f"SELECT {REVERSAL_COLUMNS} FROM reversal WHERE mchid = $1 AND syssn = $2 FOR UPDATE"
BY_SYSSN: Final = f"SELECT {REVERSAL_COLUMNS} FROM reversal WHERE mchid = $1 AND syssn = $2"
OF_PAYMENT: Final = f"""
SELECT {REVERSAL_COLUMNS} FROM reversal WHERE mchid = $1 AND payment_syssn = $2 ORDER BY created_at, syssn
"""
CLAIM: Final = claiming("reversal", OF_ORDERS, REVERSAL_COLUMNS)
RENEW: Final = renewal("reversal", OF_ORDERS)


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

    async def by_syssn(self, mchid: str, syssn: str) -> Reversal | None:
        rows = await self._database.fetch(BY_SYSSN, mchid, syssn)
        return reversal_of(rows[0]) if rows else None

    async def of_payment(self, mchid: str, payment_syssn: str) -> list[Reversal]:
        """All reversals of a payment, including failed ones, oldest first."""
        rows = await self._database.fetch(OF_PAYMENT, mchid, payment_syssn)
        return [reversal_of(row) for row in rows]

    async def insert(self, connection: "Connection", reversal: Reversal, change: Change) -> None:
        """Write the intent in the caller's transaction, which must hold the payment's lock."""
        await connection.execute(
            INSERT,
            reversal.mchid,
            reversal.syssn,
            reversal.payment_syssn,
            reversal.amount_minor,
            reversal.client_time,
            reversal.fails_with,
            reversal.created_at,
            reversal.changed_at,
            reversal.check_at,
            reversal.state.value,
            reversal.respcd,
            reversal.wallet_code,
            reversal.action.value if reversal.action else None,
            reversal.checks,
            reversal.version,
            reversal.account_id,
        )
        await _write_payment(connection, change)

    @asynccontextmanager
    async def locked(self, mchid: str, payment_syssn: str, syssn: str) -> AsyncIterator[LockedReversal]:
        """Both rows, locked in the order that all transactions use."""
        async with self._database.transaction() as connection:
            payments = await lock_payments(connection, [(mchid, payment_syssn)])
            rows = await connection.fetch(LOCK, mchid, syssn)
            yield LockedReversal(connection, reversal_of(rows[0]), payments[payment_syssn])

    async def write(self, connection: "Connection", reversal: Reversal, change: Change) -> None:
        """Write both rows in the caller's transaction."""
        await connection.execute(
            UPDATE,
            reversal.mchid,
            reversal.syssn,
            reversal.state.value,
            reversal.respcd,
            reversal.wallet_code,
            reversal.action.value if reversal.action else None,
            reversal.changed_at,
            reversal.check_at,
            reversal.checks,
            reversal.amount_minor,
        )
        await _write_payment(connection, change)

    async def claim_due(
        self,
        now: datetime,
        real_now: datetime,
        lease_until: datetime,
        limit: int,
        accounts: AccountLimits = UNLIMITED,
    ) -> list[Reversal]:
        """Reversals to continue, leased to the caller until `lease_until` (real time)."""
        rows = await claim(self._database, CLAIM, now, real_now, lease_until, limit, accounts)
        return [reversal_of(row) for row in rows]

    async def renew(
        self, reversals: Sequence[Reversal], held: Sequence[datetime], until: datetime
    ) -> list[bool]:
        """Extend the leases that are still the caller's; for each, whether it was."""
        return await renew(self._database, RENEW, [(r.mchid, r.syssn) for r in reversals], held, until)


async def _write_payment(connection: "Connection", change: Change) -> None:
    """Write the state first: a CHECK allows sums above zero on a paid payment only."""
    after = change.after
    await write_changes(connection, [change])
    await connection.execute(
        MARK_PAYMENT,
        after.mchid,
        after.syssn,
        after.reserved_minor,
        after.refunded_minor,
        after.reversal_syssn,
        after.is_reversed,
    )
