"""Refunds: reserving on the payment before the wallet is asked, recording what the wallet said.

Reservations of one payment are accepted in order against what is left, under the payment's lock; the CHECK constraint
on the row is the net below. An outcome changes the refund by its version and the payment's sums relatively.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from tael.domain.errors import NotFound, ReferenceReused, TaelError
from tael.domain.ledger import Entry
from tael.domain.payment import Payment
from tael.domain.refund import Refund, RefundState, refusal_to_refund
from tael.store.batch import Batch
from tael.store.database import Database
from tael.store.ledger import write_entries
from tael.store.payments import lock_payments
from tael.store.rows import REFUND_COLUMNS, refund_of
from tael.store.webhooks import NewWebhook, write_webhooks

if TYPE_CHECKING:
    from tael.store.database import Connection

#: Alipay wants this much time between two online refunds of one PID.
SPACING: Final = timedelta(seconds=3)

NAMES: Final = """
SELECT r.mchid, r.reference, r.payment_syssn, r.refund_syssn FROM reference AS r
JOIN unnest($1::text[], $2::text[]) AS w (mchid, reference) USING (mchid, reference)
"""
KNOWN: Final = f"""
SELECT {REFUND_COLUMNS} FROM refund WHERE (mchid, syssn) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""
NAME: Final = """
INSERT INTO reference AS r (mchid, reference, refund_syssn)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS w (mchid, reference, syssn) ORDER BY mchid, reference
ON CONFLICT (mchid, reference) DO UPDATE SET refund_syssn = excluded.refund_syssn
WHERE r.refund_syssn IS NOT DISTINCT FROM (
    SELECT o.replaced FROM unnest($3::text[], $4::text[], $5::text[]) AS o (syssn, replaced, payment_syssn)
    WHERE o.syssn = excluded.refund_syssn AND (r.payment_syssn IS NULL OR r.payment_syssn = o.payment_syssn))
RETURNING refund_syssn
"""
TURNS: Final = (
    "SELECT account_id, next_refund_at FROM wallet_account WHERE account_id = ANY($1) ORDER BY 1 FOR UPDATE"
)
TAKE_TURNS: Final = """
UPDATE wallet_account AS a SET next_refund_at = t.at
FROM unnest($1::text[], $2::timestamptz[]) AS t (account_id, at) WHERE a.account_id = t.account_id
"""
INSERT: Final = f"""
INSERT INTO refund ({REFUND_COLUMNS})
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[],
    $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::text[], $13::text[], $14::text[], $15::text[],
    $16::timestamptz[], $17::integer[], $18::integer[])
"""
RESERVE: Final = """
UPDATE payment AS p SET reserved_minor = p.reserved_minor + w.amount_minor, refund_count = p.refund_count + w.refunds
FROM (
    SELECT mchid, syssn, sum(amount_minor)::bigint AS amount_minor, count(*)::integer AS refunds
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u (mchid, syssn, amount_minor) GROUP BY mchid, syssn
) AS w
WHERE p.mchid = w.mchid AND p.syssn = w.syssn
"""
RECORD: Final = """
WITH changed AS (
    UPDATE refund AS r SET
        state = w.state, respcd = w.respcd, wallet_code = w.wallet_code, wallet_ref = w.wallet_ref,
        done_at = w.done_at, changed_at = w.changed_at, check_at = w.check_at, checks = w.checks,
        lease_until = NULL, version = r.version + 1
    FROM unnest(
        $1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[],
        $9::timestamptz[], $10::timestamptz[], $11::integer[], $12::boolean[]
    ) AS w (mchid, syssn, version, state, respcd, wallet_code, wallet_ref, done_at, changed_at, check_at, checks,
            is_decided)
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
BY_SYSSN: Final = f"SELECT {REFUND_COLUMNS} FROM refund WHERE mchid = $1 AND syssn = $2"
OF_PAYMENT: Final = f"""
SELECT {REFUND_COLUMNS} FROM refund WHERE mchid = $1 AND payment_syssn = $2 ORDER BY created_at, syssn
"""
CLAIM: Final = f"""
UPDATE refund AS r SET lease_until = $3
FROM (
    SELECT mchid, syssn FROM refund
    WHERE check_at <= $1 AND (lease_until IS NULL OR lease_until < $2)
    ORDER BY check_at LIMIT $4 FOR UPDATE SKIP LOCKED
) AS due
WHERE r.mchid = due.mchid AND r.syssn = due.syssn
RETURNING {", ".join("r." + column for column in REFUND_COLUMNS.split(", "))}
"""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A refund to be promised. `is_spaced`: its account takes its turn, since the wallet wants time between calls."""

    refund: Refund
    account_id: str
    window: timedelta
    is_spaced: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class Reserved:
    """The refund is committed; its `check_at` may lie ahead if its account must wait for its turn."""

    refund: Refund
    payment: Payment
    asks_now: bool


@dataclass(frozen=True, slots=True)
class Repeated:
    """This number was used for a refund before: here it is."""

    refund: Refund


Reserving = Reserved | Repeated | TaelError


@dataclass(frozen=True, slots=True)
class RefundChange:
    """A refund as it shall be, decided on `after.version`; `is_decided` where it has just left PROCESSING."""

    after: Refund
    is_decided: bool
    entries: tuple[Entry, ...] = ()
    webhooks: tuple[NewWebhook, ...] = ()


class Refunds:
    """The table `refund`, and the sums on `payment` that follow from it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reserving: Batch[Reservation, Reserving] = Batch(self._reserve)
        self._recording: Batch[RefundChange, bool] = Batch(self._record)

    async def reserve(self, reservation: Reservation) -> Reserving:
        """Commit the promise, or say why not. Raises StoreUnavailable."""
        return await self._reserving(reservation)

    async def record(self, change: RefundChange) -> bool:
        """Commit what was decided; False if somebody else wrote first. Raises StoreUnavailable."""
        return await self._recording(change)

    async def by_syssn(self, mchid: str, syssn: str) -> Refund | None:
        rows = await self._database.fetch(BY_SYSSN, mchid, syssn)
        return refund_of(rows[0]) if rows else None

    async def of_payment(self, mchid: str, payment_syssn: str) -> list[Refund]:
        """Every refund of a payment, failed ones too, oldest first."""
        rows = await self._database.fetch(OF_PAYMENT, mchid, payment_syssn)
        return [refund_of(row) for row in rows]

    async def claim_due(
        self, now: datetime, real_now: datetime, lease_until: datetime, most: int
    ) -> list[Refund]:
        """Refunds to ask about, leased to the caller until `lease_until` (real time)."""
        rows = await self._database.fetch(CLAIM, now, real_now, lease_until, most)
        return [refund_of(row) for row in rows]

    async def _reserve(self, wanted: Sequence[Reservation]) -> list[Reserving]:
        async with self._database.transaction() as connection:
            keys = sorted({(w.refund.mchid, w.refund.payment_syssn) for w in wanted})
            payments = await lock_payments(connection, keys)
            names = await _names(connection, wanted)
            decided: list[Reserving] = []
            accepted: dict[str, Reservation] = {}
            taken: set[tuple[str, str]] = set()
            for one in wanted:
                answer = _decide(one, payments, names, taken)
                decided.append(answer)
                if isinstance(answer, Reserved):
                    payments[answer.payment.syssn] = answer.payment
                    taken.add((one.refund.mchid, one.refund.reference))
                    accepted[one.refund.syssn] = one
            if not accepted:
                return decided
            named = await _take_names(connection, list(accepted.values()), names)
            kept = [one for one in accepted.values() if one.refund.syssn in named]
            turns = await _take_turns(connection, kept)
            await _insert(connection, kept, turns)
        return [_final(answer, named, turns, accepted) for answer in decided]

    async def _record(self, changes: Sequence[RefundChange]) -> list[bool]:
        first: dict[tuple[str, str], RefundChange] = {}
        for change in changes:
            first.setdefault((change.after.mchid, change.after.syssn), change)
        after = [change.after for change in first.values()]
        async with self._database.transaction() as connection:
            await lock_payments(connection, sorted({(r.mchid, r.payment_syssn) for r in after}))
            rows = await connection.fetch(
                RECORD,
                [r.mchid for r in after],
                [r.syssn for r in after],
                [r.version for r in after],
                [r.state.value for r in after],
                [r.respcd for r in after],
                [r.wallet_code for r in after],
                [r.wallet_ref for r in after],
                [r.done_at for r in after],
                [r.changed_at for r in after],
                [r.check_at for r in after],
                [r.checks for r in after],
                [change.is_decided for change in first.values()],
            )
            written = {row["syssn"] for row in rows}
            kept = [change for change in first.values() if change.after.syssn in written]
            await write_entries(connection, [entry for change in kept for entry in change.entries])
            await write_webhooks(connection, [webhook for change in kept for webhook in change.webhooks])
        return [
            change.after.syssn in written and first[change.after.mchid, change.after.syssn] is change
            for change in changes
        ]


@dataclass(frozen=True, slots=True)
class _Name:
    """Who owns a merchant's number already."""

    payment_syssn: str | None
    refund: Refund | None


async def _names(connection: "Connection", wanted: Sequence[Reservation]) -> dict[tuple[str, str], _Name]:
    rows = await connection.fetch(
        NAMES, [w.refund.mchid for w in wanted], [w.refund.reference for w in wanted]
    )
    owned = [row for row in rows if row["refund_syssn"]]
    known = await connection.fetch(
        KNOWN, [row["mchid"] for row in owned], [row["refund_syssn"] for row in owned]
    )
    refunds = {row["syssn"]: refund_of(row) for row in known}
    return {
        (row["mchid"], row["reference"]): _Name(row["payment_syssn"], refunds.get(row["refund_syssn"] or ""))
        for row in rows
    }


def _decide(
    one: Reservation,
    payments: dict[str, Payment],
    names: dict[tuple[str, str], _Name],
    taken: set[tuple[str, str]],
) -> Reserving:
    """What becomes of one request, given those before it in the batch. A repeat is a repeat whatever is left."""
    refund = one.refund
    payment = payments.get(refund.payment_syssn)
    if payment is None or payment.mchid != refund.mchid:
        return NotFound("no such payment")
    name = names.get((refund.mchid, refund.reference), _Name(None, None))
    if name.refund is not None and name.refund.state is not RefundState.FAILED:
        return Repeated(name.refund)
    if (refund.mchid, refund.reference) in taken or name.payment_syssn not in (None, payment.syssn):
        return ReferenceReused("this number already names something else; use a new one")
    refusal = refusal_to_refund(payment, refund.amount.amount_minor, one.now, one.window)
    if refusal is not None:
        return refusal
    reserved = replace(
        payment,
        reserved_minor=payment.reserved_minor + refund.amount.amount_minor,
        refund_count=payment.refund_count + 1,
    )
    return Reserved(refund, reserved, asks_now=True)


async def _take_names(
    connection: "Connection", accepted: Sequence[Reservation], names: dict[tuple[str, str], _Name]
) -> set[str]:
    """The refunds whose numbers are theirs now; a number that somebody took meanwhile is lost."""
    replaced = [names.get((a.refund.mchid, a.refund.reference)) for a in accepted]
    rows = await connection.fetch(
        NAME,
        [a.refund.mchid for a in accepted],
        [a.refund.reference for a in accepted],
        [a.refund.syssn for a in accepted],
        [name.refund.syssn if name and name.refund else None for name in replaced],
        [a.refund.payment_syssn for a in accepted],
    )
    return {row["refund_syssn"] for row in rows}


async def _take_turns(connection: "Connection", kept: Sequence[Reservation]) -> dict[str, datetime]:
    """When each refund of a spaced account may be asked for, by syssn; the account remembers whose turn is next."""
    spaced = [one for one in kept if one.is_spaced]
    if not spaced:
        return {}
    rows = await connection.fetch(TURNS, sorted({one.account_id for one in spaced}))
    free_from = {row["account_id"]: row["next_refund_at"] for row in rows}
    turns: dict[str, datetime] = {}
    for one in spaced:
        turn = max(one.now, free_from[one.account_id] or one.now)
        turns[one.refund.syssn] = turn
        free_from[one.account_id] = turn + SPACING
    await connection.execute(TAKE_TURNS, list(free_from), list(free_from.values()))
    return turns


async def _insert(connection: "Connection", kept: Sequence[Reservation], turns: dict[str, datetime]) -> None:
    refunds = [_at_its_turn(one, turns) for one in kept]
    await connection.execute(
        INSERT,
        [r.mchid for r in refunds],
        [r.syssn for r in refunds],
        [r.payment_syssn for r in refunds],
        [r.reference for r in refunds],
        [r.amount.amount_minor for r in refunds],
        [r.amount.currency for r in refunds],
        [r.client_time for r in refunds],
        [r.device for r in refunds],
        [r.created_at for r in refunds],
        [r.changed_at for r in refunds],
        [r.check_at for r in refunds],
        [r.state.value for r in refunds],
        [r.respcd for r in refunds],
        [r.wallet_code for r in refunds],
        [r.wallet_ref for r in refunds],
        [r.done_at for r in refunds],
        [r.checks for r in refunds],
        [r.version for r in refunds],
    )
    await connection.execute(
        RESERVE,
        [r.mchid for r in refunds],
        [r.payment_syssn for r in refunds],
        [r.amount.amount_minor for r in refunds],
    )


def _at_its_turn(one: Reservation, turns: dict[str, datetime]) -> Refund:
    turn = turns.get(one.refund.syssn, one.now)
    return replace(one.refund, check_at=turn) if turn > one.now else one.refund


def _final(
    answer: Reserving, named: set[str], turns: dict[str, datetime], accepted: dict[str, Reservation]
) -> Reserving:
    if not isinstance(answer, Reserved):
        return answer
    if answer.refund.syssn not in named:
        return ReferenceReused("this number already names something else; use a new one")
    one = accepted[answer.refund.syssn]
    return Reserved(
        _at_its_turn(one, turns), answer.payment, turns.get(answer.refund.syssn, one.now) <= one.now
    )
