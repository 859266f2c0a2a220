"""The log event of an incident."""

from collections.abc import Sequence

import structlog

from tael.incidents.domain.incident import Incident

log = structlog.get_logger()


def log_incidents(incidents: Sequence[Incident]) -> None:
    """Log incidents as errors, also each repeat of an event, although it has one row."""
    for incident in incidents:
        log.error(
            "incident",
            kind=incident.kind,
            about=incident.detail,
            mchid=incident.mchid,
            subject_id=incident.subject_id,
            incident_id=incident.incident_id,
        )
