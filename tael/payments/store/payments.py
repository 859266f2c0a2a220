"""Payments: opening, recording outcomes, claiming due rows.

New payments and outcomes are written together, in one transaction for the lists that `Batch` collects. Its statements
are sent at once; if a row does not go as planned, all are written step by step. A decision is written only if the row's
`version` is unchanged, so no lock is held while deciding.
"""

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from tael.base.admission import without_place
from tael.base.errors import AmountRefused
from tael.db.batch import Batch, KeyedBatches
from tael.db.database import Database
from tael.db.due_queue import AccountQueue
from tael.db.pipeline import Statement, counted
from tael.db.tables import assignments, write_rows
from tael.incidents.domain.evidence import Evidence
from tael.incidents.domain.incident import Incident
from tael.incidents.store.incidents import write_incidents
from tael.ledger.domain.entries import Entry
from tael.ledger.store.entries import entries_to_write, write_entries
from tael.merchants.domain.merchant import VolumeLimits
from tael.payments.domain.notified import NotifiedPayment
from tael.payments.domain.payment import Payment
from tael.payments.domain.volume import NewPayment, Volume, VolumePeriod, refusals
from tael.payments.store.rows import NOTIFIED_PAYMENT, PAYMENT
from tael.payments.store.volumes import locked_volumes, volume_of
from tael.webhooks.store.webhooks import NewWebhook, webhooks_to_write, write_webhooks

if TYPE_CHECKING:
    from tael.db.database import Connection

NAME: Final = """
INSERT INTO reference (mchid, reference, payment_syssn)
SELECT w.mchid, w.reference, w.syssn
FROM unnest($1::text[], $2::text[], $3::text[]) AS w (mchid, reference, syssn) CROSS JOIN cell
ORDER BY w.mchid, w.reference
ON CONFLICT DO NOTHING
RETURNING payment_syssn
"""
REFERENCE: Final = ("mchid", "reference", "syssn")
#: Of payments that are not opened after all.
UNNAME: Final = """
DELETE FROM reference AS r USING unnest($1::text[], $2::text[], $3::text[]) AS w (mchid, reference, syssn)
WHERE r.mchid = w.mchid AND r.reference = w.reference AND r.payment_syssn = w.syssn
"""
INSERT: Final = PAYMENT.insert()
#: The payments that have got their references.
INSERT_NAMED: Final = f"""{INSERT}
WHERE EXISTS (
    SELECT FROM reference AS r WHERE r.mchid = w.mchid AND r.reference = w.reference AND r.payment_syssn = w.syssn
)
"""
#: Their number must be 0: Citus has executed an INSERT without its rows, and without an error.
NOT_INSERTED: Final = counted(
    """
    SELECT FROM unnest($1::text[], $2::text[], $3::text[]) AS w (mchid, reference, syssn)
    JOIN reference AS r ON r.mchid = w.mchid AND r.reference = w.reference AND r.payment_syssn = w.syssn
    WHERE NOT EXISTS (SELECT FROM payment AS p WHERE p.mchid = w.mchid AND p.syssn = w.syssn)
    """,
    len(REFERENCE),
)

#: For a new attempt under a reference whose last attempt failed: the first to release the reference may use it.
RELEASE_REFERENCE: Final = """
DELETE FROM reference WHERE mchid = $1 AND reference = $2 AND payment_syssn = $3 AND refund_syssn IS NULL RETURNING 1
"""

OF_KEYS: Final = "FROM payment WHERE (mchid, syssn) IN (SELECT * FROM unnest($1::text[], $2::text[]))"
LOCK: Final = f"SELECT {PAYMENT.select} {OF_KEYS} ORDER BY mchid, syssn FOR NO KEY UPDATE"
LOCK_UNREAD: Final = f"SELECT {OF_KEYS} ORDER BY mchid, syssn FOR NO KEY UPDATE"

#: What an outcome can change. Sums and reversals are written by `refunds.py` and `reversals.py`, closes below.
OUTCOME: Final = (
    *("state", "reason", "wallet_code", "pay", "has_initial_response", "wallet_ref", "payer_ref", "paid_at"),
    *("check_at", "checks", "checked_at", "changed_at"),
)
EXPECTED: Final = ("mchid", "syssn", "version")
RECORD: Final = f"""
UPDATE payment AS p SET {assignments(OUTCOME)}, lease_until = NULL, version = p.version + 1
FROM {PAYMENT.unnest(EXPECTED + OUTCOME)}
WHERE p.mchid = w.mchid AND p.syssn = w.syssn AND p.version = w.version
RETURNING p.syssn
"""
RECORD_ALL: Final = counted(RECORD, len(EXPECTED + OUTCOME))

NOTIFIED: Final = f"SELECT {NOTIFIED_PAYMENT.select} {OF_KEYS}"
BY_SYSSN: Final = f"SELECT {PAYMENT.select} FROM payment WHERE mchid = $1 AND syssn = $2"
#: One primary key lookup per merchant of the cell, since a syssn alone has no index.
ANYWHERE: Final = f"""
SELECT {PAYMENT.select_from("p")}
FROM daily_close AS m JOIN payment AS p ON p.mchid = m.mchid AND p.syssn = $1 LIMIT 1
"""
BY_REFERENCE: Final = f"""
SELECT {PAYMENT.select} FROM payment
WHERE mchid = $1 AND syssn = (SELECT payment_syssn FROM reference WHERE mchid = $1 AND reference = $2)
"""
REQUEST_CLOSE: Final = f"""
UPDATE payment SET close_syssn = $3, version = version + 1
WHERE mchid = $1 AND syssn = $2 AND state = 'PENDING' AND close_syssn = '' RETURNING {PAYMENT.select}
"""
#: Never once a close is requested, so that an order that REQUEST_CLOSE finds unopened stays so.
REDIRECT: Final = """
UPDATE payment SET redirected_at = $3
WHERE mchid = $1 AND syssn = $2 AND state = 'PENDING' AND close_syssn = '' AND expires_at > $3 AND redirected_at IS NULL
"""
#: A merchant queried it: poll it before rows that are due by schedule, but not at every query of an impatient client.
#: `check_at` is set a century earlier, so that one index serves both and expedited rows keep their own order. CASE
#: hides its comparison from the planner, which could take a partial index for the primary key.
EXPEDITE: Final = """
UPDATE payment SET check_at = $3::timestamptz - interval '36525 days'
WHERE mchid = $1 AND syssn = ANY($2) AND state = 'PENDING' AND has_initial_response
  AND CASE WHEN check_at >= created_at THEN true ELSE false END
  AND (checked_at IS NULL OR checked_at < $4)
"""


#: Whether a payment was opened or an outcome recorded, or why its merchant may not take the payment.
Written = bool | AmountRefused
NO_LIMITS: Final = VolumeLimits()
#: Merchants with limits whose payments are opened at the same time, by each process.
MAX_LIMITED_AT_ONCE: Final = 2


class Change(Struct, frozen=True):
    """A payment's new state, decided on `after.version`, with everything to be written in the same commit."""

    after: Payment
    entries: tuple[Entry, ...] = ()
    webhooks: tuple[NewWebhook, ...] = ()
    incidents: tuple[Incident, ...] = ()
    evidence: tuple[Evidence, ...] = ()  #: of unmatched payments, to which `incidents` refer


class Payments:
    """The table `payment`, and its rows in `reference`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.due: Final = AccountQueue(database, PAYMENT)
        self._writing: Batch[NewPayment | Change, Written] = Batch(
            "write_payment", self._write, database.limits.call_s
        )
        # Summing a merchant's volume may take long: it delays this merchant's openings only.
        self._limited: KeyedBatches[NewPayment | Change, Written] = KeyedBatches(
            "open_limited_payment", self._write, database.limits.call_s, MAX_LIMITED_AT_ONCE
        )

    async def open(self, payment: Payment, limits: VolumeLimits = NO_LIMITS) -> bool:
        """Commit a new payment; False if its reference is taken. Raises AmountRefused, StoreUnavailable."""
        new = NewPayment(payment, limits)
        if limits == NO_LIMITS:
            return _done(await self._writing(new, "open_payment"))
        with without_place():
            return _done(await self._limited(payment.mchid, new))

    async def record(self, change: Change) -> bool:
        """Commit a decision; False if the version changed meanwhile. Raises StoreUnavailable."""
        return _done(await self._writing(change, "record_payment"))

    async def open_again(self, payment: Payment, failed_syssn: str, limits: VolumeLimits = NO_LIMITS) -> bool:
        """Commit a new attempt under the reference of a failed one; False if another request was faster.

        Raises AmountRefused, StoreUnavailable.
        """
        async with self._database.transaction() as connection:
            return await insert_under_reference(connection, NewPayment(payment, limits), failed_syssn)

    async def by_syssn(self, mchid: str, syssn: str) -> Payment | None:
        rows = await self._database.fetch(BY_SYSSN, mchid, syssn)
        return PAYMENT.read(rows[0]) if rows else None

    async def notified(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], NotifiedPayment]:
        """The payments with these mchids and syssns, by them, as webhooks report them."""
        rows = await self._database.fetch(NOTIFIED, *columns_of(keys))
        return {(payment.mchid, payment.syssn): payment for payment in map(NOTIFIED_PAYMENT.read, rows)}

    async def find_anywhere(self, syssn: str) -> Payment | None:
        """The payment with this number of any merchant. Slow: not for merchants' requests."""
        rows = await self._database.fetch(ANYWHERE, syssn)
        return PAYMENT.read(rows[0]) if rows else None

    async def by_reference(self, mchid: str, reference: str) -> Payment | None:
        """The current attempt under the merchant's number."""
        rows = await self._database.fetch(BY_REFERENCE, mchid, reference)
        return PAYMENT.read(rows[0]) if rows else None

    async def request_close(self, payment: Payment, close_syssn: str) -> Payment | None:
        """Commit the close request; None if the payment is no longer pending or a close was requested before."""
        rows = await self._database.fetch(REQUEST_CLOSE, payment.mchid, payment.syssn, close_syssn)
        return PAYMENT.read(rows[0]) if rows else None

    async def note_redirect(self, payment: Payment, now: datetime) -> None:
        """Commit that a payer is redirected to the wallet's page, unless the payment cannot be paid any more."""
        await self._database.execute(REDIRECT, payment.mchid, payment.syssn, now)

    async def expedite(self, mchid: str, syssns: Sequence[str], now: datetime, not_since: datetime) -> None:
        """Make pending payments due now, before others, unless they were polled after `not_since`."""
        await self._database.execute(EXPEDITE, mchid, list(syssns), now, not_since)

    @asynccontextmanager
    async def locked(self, mchid: str, syssn: str) -> AsyncIterator[tuple["Connection", Payment]]:
        """The payment's row, locked until the block ends and commits."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(LOCK, [mchid], [syssn])
            yield connection, PAYMENT.read(rows[0])

    async def write(self, connection: "Connection", change: Change) -> None:
        """Write `change` in the caller's transaction, which must hold the payment's lock."""
        await write_changes(connection, [change])

    async def volume(self, period: VolumePeriod) -> Volume:
        return await volume_of(self._database, period)

    async def _write(self, rows: Sequence[NewPayment | Change]) -> list[Written]:
        """Of a new payment whether it is opened, of a change whether it is recorded."""
        new = [row for row in rows if isinstance(row, NewPayment)]
        changes: dict[str, Change] = {}
        for row in rows:
            if isinstance(row, Change):
                changes.setdefault(row.after.syssn, row)
        written = await self._written(new, list(changes.values()))
        # UPDATE ... FROM unnest would apply only one of two rows of the same payment: the second one gets False.
        return [
            written.pop((row.payment if isinstance(row, NewPayment) else row.after).syssn, False)
            for row in rows
        ]

    async def _written(self, new: Sequence[NewPayment], changes: Sequence[Change]) -> dict[str, Written]:
        """The results by syssn. `changes` are of different payments."""
        written = await self._written_at_once(new, changes)
        if written is not None:
            return written
        async with self._database.transaction() as connection:
            if len(changes) > 1:
                await connection.execute(LOCK_UNREAD, *_keys_of(changes))
            recorded = await write_changes(connection, changes) if changes else ()
            opened = await _insert(connection, new) if new else []
        return dict(zip([each.payment.syssn for each in new], opened, strict=True)) | {
            change.after.syssn: change.after.syssn in recorded for change in changes
        }

    async def _written_at_once(
        self, new: Sequence[NewPayment], changes: Sequence[Change]
    ) -> dict[str, Written] | None:
        """As `_written`; None, with nothing written, unless all changes are of the expected version."""
        if any(each.limits != NO_LIMITS for each in new) or any(
            change.incidents or change.evidence for change in changes
        ):
            return None
        recordings = list(_recordings(changes))  # first: refunds lock a payment before their references
        openings = _openings([each.payment for each in new])
        results = await self._database.transact([*recordings, *openings])
        if results is None:
            return None
        names = set(results[len(recordings)].texts) if new else set()
        written: dict[str, Written] = {each.payment.syssn: each.payment.syssn in names for each in new}
        return written | {change.after.syssn: True for change in changes}


def _openings(payments: Sequence[Payment]) -> Iterator[Statement]:
    """The first one returns the syssns of those whose references were unused, which are opened."""
    if payments:
        names = PAYMENT.arrays(payments, REFERENCE)
        yield Statement(NAME, names)
        yield Statement(INSERT_NAMED, PAYMENT.arrays(payments, PAYMENT.columns))
        yield Statement(NOT_INSERTED, names, 0)


def _recordings(changes: Sequence[Change]) -> Iterator[Statement]:
    """They fail unless all have the expected version."""
    if len(changes) > 1:  # one row is locked by its UPDATE
        yield Statement(LOCK_UNREAD, _keys_of(changes))
    after = [change.after for change in changes]
    if after:
        yield Statement(RECORD_ALL, PAYMENT.arrays(after, EXPECTED + OUTCOME), len(after))
    if entries := [entry for change in changes for entry in change.entries]:
        yield from entries_to_write(entries)
    if webhooks := [webhook for change in changes for webhook in change.webhooks]:
        yield webhooks_to_write(webhooks)


def _keys_of(changes: Sequence[Change]) -> tuple[list[str], list[str]]:
    return columns_of([(change.after.mchid, change.after.syssn) for change in changes])


async def insert_under_reference(connection: "Connection", new: NewPayment, ended_syssn: str) -> bool:
    """Insert a payment. False unless its reference belongs to `ended_syssn`, or is unused if that is "".

    Raises AmountRefused, with which the transaction must not commit.
    """
    payment = new.payment
    if ended_syssn and not await connection.fetch(
        RELEASE_REFERENCE, payment.mchid, payment.reference, ended_syssn
    ):
        return False
    return _done((await _insert(connection, [new]))[0])


def columns_of(keys: Collection[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """The parameters of `unnest` for keys of two columns."""
    return [mchid for mchid, _ in keys], [syssn for _, syssn in keys]


def _done(result: Written) -> bool:
    """Raises AmountRefused."""
    if isinstance(result, AmountRefused):
        raise result
    return result


async def _insert(connection: "Connection", new: Sequence[NewPayment]) -> list[Written]:
    """Insert the payments whose references are unused, as far as their merchants' limits allow."""
    payments = [each.payment for each in new]
    named = await connection.fetch(NAME, *PAYMENT.arrays(payments, REFERENCE))
    names = {row["payment_syssn"] for row in named}
    limited = [each for each in new if each.limits != NO_LIMITS and each.payment.syssn in names]
    refused = refusals(limited, await locked_volumes(connection, limited))
    if refused:
        unused = [payment for payment in payments if payment.syssn in refused]
        await connection.execute(UNNAME, *PAYMENT.arrays(unused, REFERENCE))
    rows = [payment for payment in payments if payment.syssn in names - refused.keys()]
    if rows:
        await write_rows(connection, INSERT, len(rows), *PAYMENT.arrays(rows, PAYMENT.columns))
    return [refused.get(payment.syssn) or payment.syssn in names for payment in payments]


async def lock_payments(connection: "Connection", keys: Sequence[tuple[str, str]]) -> dict[str, Payment]:
    """Lock payments by (mchid, syssn), in the order that all transactions use; the result is by syssn."""
    rows = await connection.fetch(LOCK, *columns_of(keys))
    return {row["syssn"]: PAYMENT.read(row) for row in rows}


async def write_changes(connection: "Connection", changes: Sequence[Change]) -> set[str]:
    """Write `changes`, whose rows must be locked; returns the syssns whose version was still the expected one."""
    after = [change.after for change in changes]
    rows = await connection.fetch(RECORD, *PAYMENT.arrays(after, EXPECTED + OUTCOME))
    written = {row["syssn"] for row in rows}
    applied = [change for change in changes if change.after.syssn in written]
    await write_entries(connection, [entry for change in applied for entry in change.entries])
    await write_webhooks(connection, [webhook for change in applied for webhook in change.webhooks])
    await write_incidents(
        connection,
        [incident for change in applied for incident in change.incidents],
        [evidence for change in applied for evidence in change.evidence],
    )
    return written
