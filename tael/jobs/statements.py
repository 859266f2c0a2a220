"""Fetches the statements of scheduled accounts.

Each channel has its own slots in a worker, so that a hanging wallet delays no other.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from tael.db.due_queue import AccountLimits
from tael.jobs.runner import Job
from tael.statements.domain.due import StatementDue
from tael.statements.schedule import ScheduleContext, fetch_due

#: Statements of one channel that a worker fetches at a time, and of these the new ones of one account in a claim.
SLOTS: Final = 2
OF_ACCOUNT: Final = 1


def statement_jobs(context: ScheduleContext) -> list[Job[StatementDue]]:
    """One job per channel. A row is a day of an account and kind."""
    return [_job(protocol, context) for protocol in context.channels]


def _job(protocol: str, context: ScheduleContext) -> Job[StatementDue]:
    limits = AccountLimits((protocol,), OF_ACCOUNT)
    queue = context.due.due

    async def claim(
        now: datetime, real_now: datetime, lease_until: datetime, limit: int
    ) -> Sequence[StatementDue]:
        return await queue.claim(now, real_now, lease_until, limit, limits)

    fetch = partial(fetch_due, context=context)
    return Job(f"statements.{protocol}", claim, fetch, queue.renew, slots=SLOTS, queue="statement_due")
