"""Unmatched payments for the operator: list, and decide about those that are held."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tael.audit_log.domain.entry import Origin, entry_of
from tael.unmatched.domain.unmatched import (
    UnmatchedPayment,
    UnmatchedState,
    approve,
    keep,
    refusal_to_keep,
    refusal_to_return,
    resolves_incidents,
)
from tael.unmatched.store.unmatched import UNMATCHED_PAYMENT, UnmatchedChange, UnmatchedPayments

MAX_LISTED: Final = 1_000
#: How often a decision is repeated because a job has written the row meanwhile.
MAX_TRIES: Final = 5
UNDECIDED: Final = (
    UnmatchedState.SUSPECTED,
    UnmatchedState.HELD,
    UnmatchedState.APPROVED,
    UnmatchedState.RETURNING,
    UnmatchedState.REFUSED,
)
#: The reason for a refusal, if any, and the decided row. May be called again with a newer row.
Decide = Callable[[UnmatchedPayment], tuple[str, UnmatchedPayment]]


@dataclass(frozen=True, slots=True)
class Decided:
    """`refusal` says why nothing was decided; empty if it was."""

    unmatched: UnmatchedPayment
    refusal: str = ""


async def list_unmatched(
    table: UnmatchedPayments, mchid: str | None, *, with_decided: bool
) -> Sequence[UnmatchedPayment]:
    """Newest first, at most MAX_LISTED. Raises StoreUnavailable."""
    return await table.newest(mchid, tuple(UnmatchedState) if with_decided else UNDECIDED, MAX_LISTED)


async def return_unmatched(
    table: UnmatchedPayments, unmatched_id: str, note: str, origin: Origin
) -> Decided | None:
    """Approve the return of a held payment: a job confirms it again and requests its refund.

    None if there is no such id.
    """
    return await _decide(
        table,
        unmatched_id,
        lambda current: (refusal_to_return(current), approve(current, note, origin.at)),
        origin,
    )


async def keep_unmatched(
    table: UnmatchedPayments, unmatched_id: str, note: str, origin: Origin
) -> Decided | None:
    """Commit that a payment is kept. None if there is no such id. `note` must not be empty."""
    return await _decide(
        table, unmatched_id, lambda current: (refusal_to_keep(current), keep(current, note)), origin
    )


async def _decide(
    table: UnmatchedPayments, unmatched_id: str, decide: Decide, origin: Origin
) -> Decided | None:
    """Write the decision on the current row, unless it is refused."""
    current = await table.by_id(unmatched_id)
    for _ in range(MAX_TRIES):
        if current is None:
            return None
        refusal, after = decide(current)
        if refusal:
            return Decided(current, refusal)
        resolved_at = origin.at if resolves_incidents(after) else None
        audit = entry_of(origin, UNMATCHED_PAYMENT.name, unmatched_id, current, after)
        if await table.record(UnmatchedChange(after, resolved_at=resolved_at, audit=audit)):
            return Decided(replace(after, version=current.version + 1))
        current = await table.by_id(unmatched_id)
    return Decided(current, "it keeps changing; try again") if current else None
