"""Removes expired sessions, codes and tokens."""

from functools import partial

from tael.base.clock import Clock
from tael.jobs.runner import Job
from tael.oauth.removal import remove_expired
from tael.oauth.store.removal import Removal, Removals


def oauth_removal_job(removals: Removals, clock: Clock) -> Job[Removal]:
    """One row, due every ten minutes."""
    remove = partial(remove_expired, removals=removals, clock=clock)
    return Job("oauth_removal", removals.due.claim, remove, queue="oauth_removal")
