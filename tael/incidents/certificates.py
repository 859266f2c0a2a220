"""Reports certificates of wallet accounts that end soon: an incident each, and a log event each day.

An account is due 30 days before its first certificate ends, and daily from then on. The incident's id contains the
serial number of the certificate, so that each certificate has one: repeats, also by several workers, change nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from tael.base.clock import Clock
from tael.incidents.domain.incident import Incident, IncidentKind, incident_id_of
from tael.incidents.log import log_incidents
from tael.incidents.store.incidents import IncidentsOf
from tael.merchants.domain.account import Account, AccountCertificate, UnknownProtocol
from tael.merchants.store.accounts import EXPIRES_SOON, AccountRow, Accounts

log = structlog.get_logger()

DAY: Final = timedelta(days=1)


async def check_certificates(
    due: AccountRow, accounts: Accounts, incidents_of: IncidentsOf, clock: Clock
) -> None:
    """Report the certificates of an account that is due, and schedule its next check. Raises StoreUnavailable."""
    now = clock.now()
    try:
        account, certificates = accounts.account(due), accounts.certificates(due)
    except UnknownProtocol:  # the package that knows what its certificates are is not installed
        await accounts.reschedule(due, _next_check(due, now))
        return
    ending = [each for each in certificates if each.expires_at <= now + EXPIRES_SOON]
    found = [certificate_expires(account, each, at=now) for each in ending]
    incidents = await incidents_of(account.mchid)
    known = {each.incident_id for each in await incidents.of_subjects(account.mchid, [account.account_id])}
    new = [each for each in found if each.incident_id not in known]
    await incidents.note(new)
    # First the incident, so that a crash loses none; then the log, which only the worker that moved the time on writes.
    if await accounts.reschedule(due, _next_check(due, now)):
        log_incidents(new)
        _log(account, ending, now)


def certificate_expires(account: Account, certificate: AccountCertificate, *, at: datetime) -> Incident:
    """The certificate of `account` ends soon, or has ended: then the wallet refuses the calls that require it."""
    kind = IncidentKind.CERTIFICATE_EXPIRES
    verb = "expired" if certificate.expires_at <= at else "expires"
    return Incident(
        mchid=account.mchid,
        subject_id=account.account_id,
        kind=kind,
        incident_id=incident_id_of(account.mchid, account.account_id, kind, certificate.serial),
        account_id=account.account_id,
        detail=f"{certificate.setting} {certificate.serial} {verb} on {certificate.expires_at:%Y-%m-%d}",
        at=at,
    )


def _next_check(due: AccountRow, now: datetime) -> datetime:
    """The same time of day, once for any number of days that were missed."""
    assert due.certificate_check_at is not None  # it was due
    return due.certificate_check_at + DAY * ((now - due.certificate_check_at) // DAY + 1)


def _log(account: Account, ending: Sequence[AccountCertificate], now: datetime) -> None:
    for certificate in ending:
        fields = {
            "account_id": account.account_id,
            "mchid": account.mchid,
            "setting": certificate.setting,
            "serial": certificate.serial,
            "expires_at": certificate.expires_at.isoformat(),
        }
        if certificate.expires_at <= now:
            log.error("certificate.expired", **fields)
        else:
            log.warning("certificate.expires", **fields)
