"""Closes each merchant's days, an hour after the end of each day."""

from functools import partial

from tael.base.clock import Clock
from tael.jobs.runner import Job
from tael.ledger.daily_close import close_days
from tael.ledger.store.digests import DueClose, LedgerDigests


def daily_close_job(digests: LedgerDigests, clock: Clock) -> Job[DueClose]:
    """One row per merchant, due once a day."""
    claim, close = digests.due.claim, partial(close_days, digests=digests, clock=clock)
    return Job("daily_close", claim, close, queue="daily_close")
