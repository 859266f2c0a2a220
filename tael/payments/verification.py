"""Accounts whose wallet's answers keep failing verification: counted here, an incident after some in a row.

Such an answer decides nothing, and what it was about is asked again; without an alarm only payers would notice. Each
process counts for itself, and all of them write the same incident.
"""

from collections import Counter
from typing import Final

import structlog

from tael.base.clock import Clock
from tael.db.database import StoreUnavailable
from tael.incidents.log import log_incidents
from tael.incidents.store.incidents import Incidents
from tael.merchants.domain.account import Account
from tael.payments.domain.incidents import unverified

log = structlog.get_logger()

MAX_UNVERIFIED_ANSWERS: Final = 3


class AnswerChecks:
    """Unverified answers in a row, by account."""

    def __init__(self, incidents: Incidents, clock: Clock) -> None:
        self._incidents = incidents
        self._clock = clock
        self._failed: Counter[str] = Counter()

    async def note(self, account: Account, is_verified: bool) -> None:
        """Count an answer; at every third failure write the incident, which opens it anew if it was resolved."""
        if is_verified:
            self._failed.pop(account.account_id, None)
            return
        self._failed[account.account_id] += 1
        log.warning("answer.unverified", account_id=account.account_id)
        if self._failed[account.account_id] % MAX_UNVERIFIED_ANSWERS:
            return
        found = (unverified(account, at=self._clock.now()),)
        log_incidents(found)
        try:
            await self._incidents.note(found)
        except StoreUnavailable as error:
            self._failed[account.account_id] -= 1  # the next failure tries again
            log.warning("store.unavailable", reason=str(error))
