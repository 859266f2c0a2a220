"""Counts wallet responses that fail verification, by account, and writes an incident after some in a row.

Such a response decides nothing and its request is repeated; without an incident only payers would notice. Each process
counts for itself, and all of them write the same incident.
"""

from collections import Counter
from typing import Final

import structlog

from tael.base.clock import Clock
from tael.db.database import StoreUnavailable
from tael.incidents.log import log_incidents
from tael.incidents.store.incidents import IncidentsOf
from tael.merchants.domain.account import Account
from tael.payments.domain.incidents import unverified

log = structlog.get_logger()

MAX_UNVERIFIED: Final = 3


class AnswerChecks:
    """Unverified responses in a row, by account."""

    def __init__(self, incidents_of: IncidentsOf, clock: Clock) -> None:
        self._incidents_of = incidents_of
        self._clock = clock
        self._failed: Counter[str] = Counter()

    async def note(self, account: Account, verifier: Account | None) -> None:
        """Count a response. Every third failure writes the incident, which reopens it if it was resolved."""
        if verifier is not None:
            self._failed.pop(account.account_id, None)
            return
        self._failed[account.account_id] += 1
        log.warning("answer.unverified", account_id=account.account_id)
        if self._failed[account.account_id] % MAX_UNVERIFIED:
            return
        incidents = (unverified(account, at=self._clock.now()),)
        log_incidents(incidents)
        try:
            await (await self._incidents_of(account.mchid)).note(incidents)
        except StoreUnavailable as error:
            self._failed[account.account_id] -= 1  # the next failure tries again
            log.warning("store.unavailable", reason=str(error))
