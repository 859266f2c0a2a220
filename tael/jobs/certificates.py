"""Checks accounts whose certificate ends within 30 days, once a day each."""

from functools import partial

from tael.base.clock import Clock
from tael.incidents.certificates import check_certificates
from tael.incidents.store.incidents import IncidentsOf
from tael.jobs.runner import Job
from tael.merchants.store.accounts import AccountRow, Accounts


def certificate_job(accounts: Accounts, incidents_of: IncidentsOf, clock: Clock) -> Job[AccountRow]:
    """Without due rows it costs nothing: an account is due from 30 days before its certificate ends."""
    check = partial(check_certificates, accounts=accounts, incidents_of=incidents_of, clock=clock)
    queue = accounts.due_certificates
    return Job("certificates", queue.claim, check, queue.renew, queue="certificates")
