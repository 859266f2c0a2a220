"""Seals each merchant's ledger, a day at a time, once the day has been over for an hour."""

from functools import partial

from tael.jobs.runner import Job
from tael.ledger.daily_close import close_days
from tael.ledger.store.digests import DueClose
from tael.payments.gateway import Gateway


def daily_close_job(gateway: Gateway) -> Job[DueClose]:
    """One row per merchant, due once a day."""
    return Job("seals", gateway.store.ledger_digests.claim_due, partial(close_days, gateway=gateway))
