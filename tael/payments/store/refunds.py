"""Refunds: reserved before the wallet is called (`payments/store/reservations.py`), and their outcomes recorded.

An outcome is written if the refund's version is unchanged; the sums on its payment are changed relatively.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from tael.db.batch import Batch
from tael.db.database import Database
from tael.db.due_queue import AccountQueue
from tael.db.tables import assignments
from tael.incidents.domain.incident import Incident
from tael.incidents.store.incidents import write_incidents
from tael.ledger.domain.entries import Entry
from tael.ledger.store.entries import write_entries
from tael.payments.domain.entries import fee_back_entries
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import Refund, RefundState
from tael.payments.store.payments import columns_of, lock_payments
from tael.payments.store.reservations import Reservation, ReservationResult, reserve
from tael.payments.store.rows import REFUND
from tael.webhooks.store.webhooks import NewWebhook, write_webhooks

if TYPE_CHECKING:
    from tael.db.database import Connection

OUTCOME: Final = (
    "state",
    "reason",
    "wallet_code",
    "wallet_ref",
    "done_at",
    "changed_at",
    "check_at",
    "checks",
)
EXPECTED: Final = ("mchid", "syssn", "version")
#: Besides the refund: whether it is decided now, and what of its payment was refunded before.
DECISION: Final = {"is_decided": "boolean", "refunded_before_minor": "bigint"}
RECORD: Final = f"""
WITH changed AS (
    UPDATE refund AS r SET {assignments(OUTCOME)},
        refunded_before_minor = coalesce(w.refunded_before_minor, r.refunded_before_minor),
        lease_until = NULL, version = r.version + 1
    FROM {REFUND.unnest(EXPECTED + OUTCOME, extra=DECISION)}
    WHERE r.mchid = w.mchid AND r.syssn = w.syssn AND r.version = w.version
    RETURNING r.mchid, r.syssn, r.payment_syssn, r.amount_minor, r.state, w.is_decided
), moved AS (
    UPDATE payment AS p SET
        reserved_minor = p.reserved_minor - s.decided,
        refunded_minor = p.refunded_minor + s.done,
        refund_count = p.refund_count - s.failures
    FROM (
        SELECT mchid, payment_syssn, sum(amount_minor)::bigint AS decided,
            coalesce(sum(amount_minor) FILTER (WHERE state = 'DONE'), 0)::bigint AS done,
            (count(*) FILTER (WHERE state = 'FAILED'))::integer AS failures
        FROM changed WHERE is_decided GROUP BY mchid, payment_syssn
    ) AS s
    WHERE p.mchid = s.mchid AND p.syssn = s.payment_syssn
)
SELECT syssn FROM changed
"""
#: Read under the payments' locks, which every writer of a refund holds.
VERSIONS: Final = """
SELECT syssn, version FROM refund WHERE (mchid, syssn) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""
BY_KEYS: Final = f"""
SELECT {REFUND.select} FROM refund WHERE (mchid, syssn) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""
BY_SYSSN: Final = f"SELECT {REFUND.select} FROM refund WHERE mchid = $1 AND syssn = $2"
#: Not ordered: the index on the merchant's newest refunds could be taken for the order.
OF_PAYMENT: Final = f"SELECT {REFUND.select} FROM refund WHERE mchid = $1 AND payment_syssn = $2"


@dataclass(frozen=True, slots=True)
class RefundChange:
    """A refund's new state, decided on `after.version`; `is_decided` if it has just left PROCESSING."""

    after: Refund
    is_decided: bool
    entries: tuple[Entry, ...] = ()
    webhooks: tuple[NewWebhook, ...] = ()
    incidents: tuple[Incident, ...] = ()


class Refunds:
    """The table `refund`, and its sums in `payment`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.due: Final = AccountQueue(database, REFUND)
        self._reserving: Batch[Reservation, ReservationResult] = Batch(
            "reserve_refund", self._reserve, database.limits.call_s
        )
        self._recording: Batch[RefundChange, bool] = Batch(
            "record_refund", self._record, database.limits.call_s
        )

    async def reserve(self, reservation: Reservation) -> ReservationResult:
        """Commit the refund with its reservation, or return the refusal. Raises StoreUnavailable."""
        return await self._reserving(reservation)

    async def record(self, change: RefundChange) -> bool:
        """Commit a decision; False if the version changed meanwhile. Raises StoreUnavailable."""
        return await self._recording(change)

    async def by_syssn(self, mchid: str, syssn: str) -> Refund | None:
        rows = await self._database.fetch(BY_SYSSN, mchid, syssn)
        return REFUND.read(rows[0]) if rows else None

    async def by_keys(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Refund]:
        """The refunds with these mchids and syssns, by them."""
        rows = await self._database.fetch(BY_KEYS, *columns_of(keys))
        return {(refund.mchid, refund.syssn): refund for refund in map(REFUND.read, rows)}

    async def of_payment(self, mchid: str, payment_syssn: str) -> list[Refund]:
        """All refunds of a payment, including failed ones, oldest first."""
        rows = await self._database.fetch(OF_PAYMENT, mchid, payment_syssn)
        return sorted(map(REFUND.read, rows), key=attrgetter("created_at", "syssn"))

    async def _reserve(self, reservations: Sequence[Reservation]) -> list[ReservationResult]:
        async with self._database.transaction() as connection:
            return await reserve(connection, reservations)

    async def _record(self, changes: Sequence[RefundChange]) -> list[bool]:
        first: dict[tuple[str, str], RefundChange] = {}
        for change in changes:
            first.setdefault((change.after.mchid, change.after.syssn), change)
        after = [change.after for change in first.values()]
        async with self._database.transaction() as connection:
            payments = await lock_payments(connection, sorted({(r.mchid, r.payment_syssn) for r in after}))
            before = await _refunded_before(connection, list(first.values()), payments)
            rows = await connection.fetch(
                RECORD,
                *REFUND.arrays(after, EXPECTED + OUTCOME),
                [change.is_decided for change in first.values()],
                [before.get(r.syssn) for r in after],
            )
            written = {row["syssn"] for row in rows}
            applied = [change for change in first.values() if change.after.syssn in written]
            await write_entries(connection, _entries(applied, before, payments))
            await write_webhooks(connection, [webhook for change in applied for webhook in change.webhooks])
            await write_incidents(
                connection, [incident for change in applied for incident in change.incidents]
            )
        return [
            change.after.syssn in written and first[change.after.mchid, change.after.syssn] is change
            for change in changes
        ]


async def _refunded_before(
    connection: "Connection", changes: Sequence[RefundChange], payments: dict[str, Payment]
) -> dict[str, int]:
    """The amount already refunded before each refund that becomes DONE now, by syssn; the payments are locked.

    Refunds whose version has changed are left out: they will not be written, so they move no money here.
    """
    done = [
        change.after for change in changes if change.is_decided and change.after.state is RefundState.DONE
    ]
    if not done:
        return {}
    rows = await connection.fetch(VERSIONS, [r.mchid for r in done], [r.syssn for r in done])
    current = {row["syssn"]: row["version"] for row in rows}
    totals = {syssn: payment.refunded_minor for syssn, payment in payments.items()}
    before: dict[str, int] = {}
    for refund in done:
        if current.get(refund.syssn) == refund.version:
            before[refund.syssn] = totals[refund.payment_syssn]
            totals[refund.payment_syssn] += refund.amount.amount_minor
    return before


def _entries(
    applied: Sequence[RefundChange], before: dict[str, int], payments: dict[str, Payment]
) -> list[Entry]:
    """The entries of `applied`, and the part of the fee that each refund returns."""
    entries = [entry for change in applied for entry in change.entries]
    for refund in (change.after for change in applied):
        if refund.syssn in before:
            payment = payments[refund.payment_syssn]
            entries += fee_back_entries(
                payment, refund.syssn, before[refund.syssn], refund.amount.amount_minor, refund.changed_at
            )
    return entries
