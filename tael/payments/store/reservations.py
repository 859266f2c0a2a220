"""Reserving refunds: references, sums and turns of many refunds at once, in one transaction.

Reservations of one payment are accepted in order against its refundable amount, under the payment's lock; the CHECK
constraint on the row is the safety net.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from tael.base.errors import NotFound, ReferenceReused, TaelError
from tael.db.tables import write_rows
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import Refund, RefundRules, RefundState, refusal_to_refund
from tael.payments.store.payments import lock_payments
from tael.payments.store.rows import REFUND

if TYPE_CHECKING:
    from tael.db.database import Connection

REFERENCE_TAKEN: Final = "this number already belongs to another transaction; use a new one"

READ_REFERENCES: Final = """
SELECT r.mchid, r.reference, r.payment_syssn, r.refund_syssn FROM reference AS r
JOIN unnest($1::text[], $2::text[]) AS w (mchid, reference) USING (mchid, reference)
"""
READ_REFUNDS: Final = f"""
SELECT {REFUND.select} FROM refund WHERE (mchid, syssn) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""
TAKE_REFERENCES: Final = """
INSERT INTO reference AS r (mchid, reference, refund_syssn)
SELECT w.mchid, w.reference, w.syssn
FROM unnest($1::text[], $2::text[], $3::text[]) AS w (mchid, reference, syssn) CROSS JOIN cell
ORDER BY w.mchid, w.reference
ON CONFLICT (mchid, reference) DO UPDATE SET refund_syssn = excluded.refund_syssn
WHERE EXISTS (
    SELECT FROM unnest($3::text[], $4::text[], $5::text[]) AS o (syssn, replaced, payment_syssn)
    WHERE o.syssn = excluded.refund_syssn AND r.refund_syssn IS NOT DISTINCT FROM o.replaced
      AND (r.payment_syssn IS NULL OR r.payment_syssn = o.payment_syssn))
RETURNING refund_syssn
"""
#: Locks the turns, also of accounts that have had none.
LOCK_TURNS: Final = """
INSERT INTO refund_turn AS t (mchid, account_id)
SELECT w.mchid, w.account_id FROM unnest($1::text[], $2::text[]) AS w (mchid, account_id) CROSS JOIN cell ORDER BY 1, 2
ON CONFLICT (mchid, account_id) DO UPDATE SET next_at = t.next_at RETURNING account_id, next_at
"""
TAKE_TURNS: Final = """
UPDATE refund_turn AS t SET next_at = w.next_at
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS w (mchid, account_id, next_at)
WHERE t.mchid = w.mchid AND t.account_id = w.account_id
"""
INSERT: Final = REFUND.insert()
RESERVE: Final = """
UPDATE payment AS p SET reserved_minor = p.reserved_minor + w.amount_minor, refund_count = p.refund_count + w.refunds
FROM (
    SELECT mchid, syssn, sum(amount_minor)::bigint AS amount_minor, count(*)::integer AS refunds
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS u (mchid, syssn, amount_minor) GROUP BY mchid, syssn
) AS w
WHERE p.mchid = w.mchid AND p.syssn = w.syssn
"""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A refund to reserve. With a `gap` it waits for its turn: the wallet requires that time between two refunds."""

    refund: Refund
    rules: RefundRules
    now: datetime
    gap: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Reserved:
    """The refund is committed. If `is_sent_now` is false it must wait for its turn, at its `check_at`."""

    refund: Refund
    payment: Payment
    is_sent_now: bool


@dataclass(frozen=True, slots=True)
class Repeated:
    """This reference already has a refund."""

    refund: Refund


ReservationResult = Reserved | Repeated | TaelError


async def reserve(connection: "Connection", requests: Sequence[Reservation]) -> list[ReservationResult]:
    """The result of each request, in order. Accepted ones are written in the caller's transaction."""
    keys = sorted({(r.refund.mchid, r.refund.payment_syssn) for r in requests})
    payments = await lock_payments(connection, keys)
    references = await _references(connection, requests)
    results: list[ReservationResult] = []
    accepted: dict[str, Reservation] = {}
    taken: dict[tuple[str, str], Refund] = {}
    for request in requests:
        result = _decide(request, payments, references, taken)
        results.append(result)
        if isinstance(result, Reserved):
            payments[result.payment.syssn] = result.payment
            taken[request.refund.mchid, request.refund.reference] = request.refund
            accepted[request.refund.syssn] = request
    if not accepted:
        return results
    owners = await _take_references(connection, list(accepted.values()), references)
    reserved = [request for request in accepted.values() if request.refund.syssn in owners]
    turns = await _take_turns(connection, reserved)
    await _insert(connection, reserved, turns)
    return [_final(result, owners, turns, accepted) for result in results]


@dataclass(frozen=True, slots=True)
class _Reference:
    """The current owners of a merchant's reference."""

    payment_syssn: str | None
    refund: Refund | None


async def _references(
    connection: "Connection", requests: Sequence[Reservation]
) -> dict[tuple[str, str], _Reference]:
    rows = await connection.fetch(
        READ_REFERENCES, [r.refund.mchid for r in requests], [r.refund.reference for r in requests]
    )
    with_refund = [row for row in rows if row["refund_syssn"]]
    refund_rows = await connection.fetch(
        READ_REFUNDS, [row["mchid"] for row in with_refund], [row["refund_syssn"] for row in with_refund]
    )
    refunds = {row["syssn"]: REFUND.read(row) for row in refund_rows}
    return {
        (row["mchid"], row["reference"]): _Reference(
            row["payment_syssn"], refunds.get(row["refund_syssn"] or "")
        )
        for row in rows
    }


def _decide(
    request: Reservation,
    payments: dict[str, Payment],
    references: dict[tuple[str, str], _Reference],
    taken: dict[tuple[str, str], Refund],
) -> ReservationResult:
    """The result of one request, given those before it in the batch. Repeats are recognised before sums are checked."""
    refund = request.refund
    payment = payments.get(refund.payment_syssn)
    if payment is None or payment.mchid != refund.mchid:
        return NotFound("no such payment")
    reference = references.get((refund.mchid, refund.reference), _Reference(None, None))
    if reference.refund is not None and reference.refund.state is not RefundState.FAILED:
        return Repeated(reference.refund)
    if (refund.mchid, refund.reference) in taken:
        return Repeated(taken[refund.mchid, refund.reference])
    if reference.payment_syssn not in (None, payment.syssn):
        return ReferenceReused(REFERENCE_TAKEN)
    # A close of an online order has the same five parameters; a replay of its signature must not refund money.
    if reference.payment_syssn is not None and payment.pay_type.is_online:
        return ReferenceReused("a refund of an online payment needs a number of its own")
    refusal = refusal_to_refund(payment, refund.amount.amount_minor, request.now, request.rules)
    if refusal is not None:
        return refusal
    reserved = payment.replace(
        reserved_minor=payment.reserved_minor + refund.amount.amount_minor,
        refund_count=payment.refund_count + 1,
    )
    return Reserved(refund, reserved, is_sent_now=True)


async def _take_references(
    connection: "Connection",
    accepted: Sequence[Reservation],
    references: dict[tuple[str, str], _Reference],
) -> set[str]:
    """The refunds that own their references now; a reference that was taken meanwhile is lost."""
    replaced = [references.get((a.refund.mchid, a.refund.reference)) for a in accepted]
    rows = await connection.fetch(
        TAKE_REFERENCES,
        [a.refund.mchid for a in accepted],
        [a.refund.reference for a in accepted],
        [a.refund.syssn for a in accepted],
        [reference.refund.syssn if reference and reference.refund else None for reference in replaced],
        [a.refund.payment_syssn for a in accepted],
    )
    return {row["refund_syssn"] for row in rows}


async def _take_turns(connection: "Connection", reserved: Sequence[Reservation]) -> dict[str, datetime]:
    """When each spaced refund may be sent, by syssn."""
    spaced = [request for request in reserved if request.gap]
    if not spaced:
        return {}
    accounts = sorted({(request.refund.mchid, request.refund.account_id) for request in spaced})
    mchids, account_ids = [mchid for mchid, _ in accounts], [account_id for _, account_id in accounts]
    rows = await connection.fetch(LOCK_TURNS, mchids, account_ids)
    next_at = {row["account_id"]: row["next_at"] for row in rows}
    turns: dict[str, datetime] = {}
    for request in spaced:
        turn = max(request.now, next_at[request.refund.account_id] or request.now)
        turns[request.refund.syssn] = turn
        next_at[request.refund.account_id] = turn + request.gap
    await connection.execute(TAKE_TURNS, mchids, account_ids, [next_at[account] for account in account_ids])
    return turns


async def _insert(
    connection: "Connection", reserved: Sequence[Reservation], turns: dict[str, datetime]
) -> None:
    refunds = [_at_its_turn(request, turns) for request in reserved]
    await write_rows(connection, INSERT, len(refunds), *REFUND.arrays(refunds, REFUND.columns))
    await connection.execute(RESERVE, *REFUND.arrays(refunds, ("mchid", "payment_syssn", "amount_minor")))


def _at_its_turn(request: Reservation, turns: dict[str, datetime]) -> Refund:
    turn = turns.get(request.refund.syssn, request.now)
    return replace(request.refund, check_at=turn) if turn > request.now else request.refund


def _final(
    result: ReservationResult, owners: set[str], turns: dict[str, datetime], accepted: dict[str, Reservation]
) -> ReservationResult:
    if isinstance(result, TaelError):
        return result
    if result.refund.syssn in accepted and result.refund.syssn not in owners:
        return ReferenceReused(REFERENCE_TAKEN)
    if isinstance(result, Repeated):
        return result
    request = accepted[result.refund.syssn]
    turn = turns.get(result.refund.syssn, request.now)
    return Reserved(_at_its_turn(request, turns), result.payment, turn <= request.now)
