"""Incidents for the operator: list and resolve."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tael.audit_log.domain.entry import Origin
from tael.incidents.domain.incident import Incident
from tael.incidents.store.incidents import Incidents

MAX_LISTED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Resolved:
    """`was_open` is false if it was resolved before; the earlier resolution stands."""

    incident: Incident
    was_open: bool


async def list_incidents(
    incidents: Incidents, mchid: str | None, *, with_resolved: bool
) -> Sequence[Incident]:
    """Newest first, at most MAX_LISTED. Raises StoreUnavailable."""
    return await incidents.newest(mchid, with_resolved=with_resolved, limit=MAX_LISTED)


async def resolve_incident(
    incidents: Incidents, incident_id: str, note: str, origin: Origin
) -> Resolved | None:
    """None if there is no such incident. The return of an unmatched payment continues regardless."""
    was_open = await incidents.resolve(incident_id, note, origin)
    incident = await incidents.by_id(incident_id)
    return Resolved(incident, was_open) if incident else None
