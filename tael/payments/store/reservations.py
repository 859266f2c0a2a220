"""Promising money back: names, sums and turns of many refunds at once, inside one transaction.

Called by `payments/store/refunds.py`. Reservations of one payment are accepted in order against what is left, under the
payment's lock; the CHECK constraint on the row is the net below.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from tael.base.errors import NotFound, ReferenceReused, TaelError
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import Refund, RefundState, refusal_to_refund
from tael.payments.store.payments import lock_payments
from tael.payments.store.rows import REFUND_COLUMNS, refund_of

if TYPE_CHECKING:
    from tael.db.database import Connection

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
WHERE EXISTS (
    SELECT FROM unnest($3::text[], $4::text[], $5::text[]) AS o (syssn, replaced, payment_syssn)
    WHERE o.syssn = excluded.refund_syssn AND r.refund_syssn IS NOT DISTINCT FROM o.replaced
      AND (r.payment_syssn IS NULL OR r.payment_syssn = o.payment_syssn))
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
    $16::timestamptz[], $17::integer[], $18::integer[], $19::text[])
"""
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
    """A refund to be promised. `is_spaced`: its account takes its turn, since the wallet wants time between calls."""

    refund: Refund
    account_id: str
    window: timedelta
    is_spaced: bool
    now: datetime
    supports_partial_refunds: bool = True  #: the account's contract allows partial refunds


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


async def reserve(connection: "Connection", wanted: Sequence[Reservation]) -> list[Reserving]:
    """What becomes of each request, in order; what is accepted is written in the caller's transaction."""
    keys = sorted({(w.refund.mchid, w.refund.payment_syssn) for w in wanted})
    payments = await lock_payments(connection, keys)
    names = await _names(connection, wanted)
    decided: list[Reserving] = []
    accepted: dict[str, Reservation] = {}
    taken: dict[tuple[str, str], Refund] = {}
    for one in wanted:
        answer = _decide(one, payments, names, taken)
        decided.append(answer)
        if isinstance(answer, Reserved):
            payments[answer.payment.syssn] = answer.payment
            taken[one.refund.mchid, one.refund.reference] = one.refund
            accepted[one.refund.syssn] = one
    if not accepted:
        return decided
    named = await _take_names(connection, list(accepted.values()), names)
    kept = [one for one in accepted.values() if one.refund.syssn in named]
    turns = await _take_turns(connection, kept)
    await _insert(connection, kept, turns)
    return [_final(answer, named, turns, accepted) for answer in decided]


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
    taken: dict[tuple[str, str], Refund],
) -> Reserving:
    """What becomes of one request, given those before it in the batch. A repeat is a repeat whatever is left."""
    refund = one.refund
    payment = payments.get(refund.payment_syssn)
    if payment is None or payment.mchid != refund.mchid:
        return NotFound("no such payment")
    name = names.get((refund.mchid, refund.reference), _Name(None, None))
    if name.refund is not None and name.refund.state is not RefundState.FAILED:
        return Repeated(name.refund)
    if (refund.mchid, refund.reference) in taken:
        return Repeated(taken[refund.mchid, refund.reference])
    if name.payment_syssn not in (None, payment.syssn):
        return ReferenceReused("this number already names something else; use a new one")
    # A close names an online order by the same five parameters: its signature must not give back money.
    if name.payment_syssn is not None and payment.pay_type.is_online:
        return ReferenceReused("a refund of an online payment needs a number of its own")
    refusal = refusal_to_refund(
        payment,
        refund.amount.amount_minor,
        one.now,
        one.window,
        supports_partial_refunds=one.supports_partial_refunds,
    )
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
        [r.account_id for r in refunds],
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
    if isinstance(answer, TaelError):
        return answer
    if answer.refund.syssn in accepted and answer.refund.syssn not in named:
        return ReferenceReused("this number already names something else; use a new one")
    if isinstance(answer, Repeated):
        return answer
    one = accepted[answer.refund.syssn]
    return Reserved(
        _at_its_turn(one, turns), answer.payment, turns.get(answer.refund.syssn, one.now) <= one.now
    )
