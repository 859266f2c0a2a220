"""Evidence of an unmatched payment: what a wallet reported about money that no order explains. Pure.

It is written in the commit of the outcome that contains it. `tael/unmatched/` queries the wallet's own record about it
before any money is booked.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from tael.base.money import Money
from tael.incidents.domain.incident import Incident, IncidentKind


@dataclass(frozen=True, slots=True)
class Evidence:
    """One report. Repeats of it have the same id, which is the id of the incident that was written with it."""

    mchid: str
    unmatched_id: str
    subject_id: str  #: the order at the wallet: the syssn of a payment, or an unknown number
    kind: IncidentKind
    account_id: str
    protocol: str  #: the account's
    at: datetime
    amount: Money | None = None  #: None if the report did not show it
    wallet_ref: str = ""
    payer_ref: str = ""
    check_at: datetime | None = None  #: when a job continues with it


def with_evidence(
    incident: Incident, protocol: str, amount: Money | None, wallet_ref: str, payer_ref: str
) -> tuple[Incident, Evidence]:
    """`incident` and the evidence of the money that it is about, due to be confirmed at once."""
    evidence = Evidence(
        mchid=incident.mchid,
        unmatched_id=incident.incident_id,
        subject_id=incident.subject_id,
        kind=incident.kind,
        account_id=incident.account_id,
        protocol=protocol,
        at=incident.at,
        amount=amount,
        wallet_ref=wallet_ref,
        payer_ref=payer_ref,
        check_at=incident.at,
    )
    return replace(incident, unmatched_id=evidence.unmatched_id), evidence
