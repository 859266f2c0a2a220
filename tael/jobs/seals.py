"""Seals each merchant's ledger, a day at a time, once the day has been over for an hour."""

from functools import partial

from tael.jobs.runner import Job
from tael.service.gateway import Gateway
from tael.service.seals import seal_days
from tael.store.day_seals import Sealing


def seal_job(gateway: Gateway) -> Job[Sealing]:
    """One row per merchant, due once a day."""
    return Job("seals", gateway.store.day_seals.claim_due, partial(seal_days, gateway=gateway))
