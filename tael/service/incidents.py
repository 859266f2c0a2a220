"""What an operator does with incidents: list them, look at one, and say that it was dealt with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tael.domain.incident import Incident
from tael.store.store import Store

MOST_LISTED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Resolved:
    """`was_open` is false where somebody had resolved it before; that word stands."""

    incident: Incident
    was_open: bool


async def list_incidents(store: Store, mchid: str | None, *, with_resolved: bool) -> Sequence[Incident]:
    """Newest first, at most MOST_LISTED. Raises StoreUnavailable."""
    return await store.incidents.newest(mchid, with_resolved=with_resolved, most=MOST_LISTED)


async def resolve_incident(store: Store, digest: str, note: str, now: datetime) -> Resolved | None:
    """None if there is no such incident. Stray money under way goes its way all the same."""
    was_open = await store.incidents.resolve(digest, note, now)
    incident = await store.incidents.by_digest(digest)
    return Resolved(incident, was_open) if incident else None
