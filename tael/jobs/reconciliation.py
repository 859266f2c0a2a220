"""Reconciles statements that were stored, and those of the days before and after them.

Each channel has a slot of its own: a run may query its wallet, and a hanging wallet delays no other.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import structlog

from tael.audit_log.domain.entry import Origin
from tael.db.due_queue import AccountLimits, AccountQueue
from tael.incidents.log import log_incidents
from tael.jobs.runner import Job
from tael.reconciliation.domain.reconciliation import Reconciliation
from tael.reconciliation.runs import ReconciliationContext, reconcile_statement
from tael.statements.domain.statement import Statement

log = structlog.get_logger()

#: Of one channel: a run reads whole days, and must not take the database from payments.
SLOTS: Final = 1
OF_ACCOUNT: Final = 1
ACTOR: Final = "tael work"


def reconciliation_jobs(
    context: ReconciliationContext, queue: AccountQueue[Statement]
) -> list[Job[Statement]]:
    """One job per channel. A row is a statement."""
    return [_job(protocol, context, queue) for protocol in context.payments.wallets.channels]


def _job(protocol: str, context: ReconciliationContext, queue: AccountQueue[Statement]) -> Job[Statement]:
    limits = AccountLimits((protocol,), OF_ACCOUNT)

    async def claim(
        now: datetime, real_now: datetime, lease_until: datetime, limit: int
    ) -> Sequence[Statement]:
        return await queue.claim(now, real_now, lease_until, limit, limits)

    async def reconcile(statement: Statement) -> None:
        origin = Origin(ACTOR, "", ACTOR, context.payments.clock.now())
        done = await reconcile_statement(statement, context, origin)
        if done is not None:
            log_incidents(done.incidents)
            _log(done.run)

    name = f"reconciliation.{protocol}"
    return Job(name, claim, reconcile, queue.renew, slots=SLOTS, queue="reconciliation")


def _log(run: Reconciliation) -> None:
    log.info(
        "statement.reconciled",
        account_id=run.account_id,
        mchid=run.mchid,
        kind=run.kind.value,
        day=run.day.isoformat(),
        lines=run.lines,
        matched=run.matched,
        differences=sum(run.differences.values()),
    )
