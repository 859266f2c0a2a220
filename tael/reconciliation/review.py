"""Differences for the operator: list, assign, resolve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from tael.audit_log.domain.entry import Origin
from tael.reconciliation.domain.difference import Difference, DifferenceKind, DifferenceState
from tael.reconciliation.store.differences import Differences

MAX_LISTED: Final = 1_000
Change = Callable[[Difference], Difference]


@dataclass(frozen=True, slots=True)
class DifferenceFilter:
    """None is any."""

    account_id: str | None = None
    day: date | None = None
    kind: DifferenceKind | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """`was_open` is false if it was resolved before; then nothing is changed."""

    difference: Difference
    was_open: bool


async def list_differences(
    differences: Differences, of: DifferenceFilter, *, with_resolved: bool
) -> Sequence[Difference]:
    """The ones that were found last first, at most MAX_LISTED. Raises StoreUnavailable."""
    return await differences.newest(
        with_resolved=with_resolved,
        account_id=of.account_id,
        day=of.day,
        kind=of.kind,
        owner=of.owner,
        limit=MAX_LISTED,
    )


async def assign_difference(
    differences: Differences, difference_id: str, owner: str, origin: Origin
) -> Decided | None:
    """None if there is no such difference."""
    return await _decide(differences, difference_id, lambda open_one: replace(open_one, owner=owner), origin)


async def resolve_difference(
    differences: Differences, difference_id: str, note: str, origin: Origin
) -> Decided | None:
    """Resolve it for good: no run opens it again. None if there is no such difference."""

    def resolved(open_one: Difference) -> Difference:
        return replace(
            open_one,
            state=DifferenceState.RESOLVED,
            resolved_at=origin.at,
            resolved_by=origin.actor,
            resolution=note,
        )

    return await _decide(differences, difference_id, resolved, origin)


async def _decide(
    differences: Differences,
    difference_id: str,
    change: Change,
    origin: Origin,
) -> Decided | None:
    was_open = True

    def decide(current: Difference) -> Difference:
        nonlocal was_open
        was_open = current.state is DifferenceState.OPEN
        return change(current) if was_open else current

    difference = await differences.decide(difference_id, decide, origin)
    return Decided(difference, was_open) if difference else None
