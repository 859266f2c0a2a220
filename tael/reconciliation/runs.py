"""Reconciles a statement: compares its lines with our records, and queries the wallet about news of money.

A run is one transaction: its differences, those that are resolved because their cause is gone, and the statement's row
in `reconciliation`. If the wallet has to be queried, it is queried between two such runs, and the statement stays due
until the second one has committed. A repeat finds the same differences and writes the same rows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tael.audit_log.domain.entry import Origin
from tael.base import ids
from tael.channels.registry import installed_protocols
from tael.channels.statements import StatementKind
from tael.incidents.domain.incident import Incident, IncidentKind, incident_id_of
from tael.incidents.store.incidents import write_incidents
from tael.merchants.domain.account import Account
from tael.payments.context import PaymentContext
from tael.reconciliation.comparison import Comparison
from tael.reconciliation.domain.matching import Terms
from tael.reconciliation.domain.reconciliation import Reconciliation
from tael.reconciliation.queries import query_about
from tael.reconciliation.store.differences import (
    Differences,
    is_query_due,
    open_of_statement,
    resolve_incidents,
)
from tael.reconciliation.store.reconciliations import (
    Reconciliations,
    Superseded,
    finish_run,
    write_reconciliation,
)
from tael.statements.domain.statement import Statement

#: Queries of a wallet in one run, and for how long another is begun: a hanging wallet ends the run early.
MAX_QUERIES: Final = 100
MAX_QUERYING: Final = timedelta(seconds=30)
#: When a statement is reconciled again that had more to query.
QUERY_PAUSE: Final = timedelta(minutes=1)
#: The same after the last query: what an answer has led to, such as an unmatched payment, is booked by then.
BOOKED_AFTER: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class ReconciliationContext:
    """The dependencies of a run."""

    payments: PaymentContext
    reconciliations: Reconciliations
    differences: Differences


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A run that has ended, and the incidents that it has written."""

    run: Reconciliation
    incidents: tuple[Incident, ...]


async def reconcile_statement(
    statement: Statement, context: ReconciliationContext, origin: Origin
) -> Reconciled | None:
    """Compare a statement with our records. None if it has been superseded. Raises StoreUnavailable."""
    account = await context.payments.wallets.credentials.account(statement.account_id)
    if account is None:
        raise LookupError(
            f"the account {statement.account_id} of statement {statement.statement_id} is missing"
        )
    try:
        done = await _run(statement, account, context, origin, is_last=False)
        if await _query(statement, account, context):
            done = await _run(statement, account, context, origin, is_last=True)
    except Superseded:
        return None
    return done


async def _query(statement: Statement, account: Account, context: ReconciliationContext) -> bool:
    """Query the wallet about differences that its answer may explain; whether there were any."""
    clock = context.payments.clock
    open_ones = await context.differences.to_query(statement, clock.now(), MAX_QUERIES)
    until = clock.now() + MAX_QUERYING
    for difference in open_ones:
        if clock.now() > until:
            break
        await query_about(difference, account, context.payments)
        await context.differences.mark_queried(difference, clock.now())
    return bool(open_ones)


async def _run(
    statement: Statement,
    account: Account,
    context: ReconciliationContext,
    origin: Origin,
    *,
    is_last: bool,
) -> Reconciled:
    """One transaction. Unless it is the last one, the statement stays due if the wallet has to be queried."""
    now = context.payments.clock.now()
    form = installed_protocols().named(statement.protocol).statements
    assert form is not None  # it has read the statement
    terms = Terms(statement.day, statement.kind, form, account.wallet_fee_rate_ppm)
    work = Comparison(statement, terms, ids.reconciliation_id(), now)
    incidents: list[Incident] = []
    known = await context.payments.store.incidents.of_subjects(statement.mchid, [statement.statement_id])
    async with context.reconciliations.run(statement) as connection:
        await work.compare_lines(connection)
        if statement.kind is StatementKind.TRANSACTIONS:
            await work.find_missing(connection)
        await work.resolve_gone(connection)
        open_ones = await open_of_statement(connection, statement)
        run = work.finish(open_ones.counts)
        await write_reconciliation(connection, run, origin)
        has_queries = await is_query_due(connection, statement, now)
        if is_last or not has_queries:
            incidents = _incidents(run, open_ones.found_at)
            await write_incidents(connection, incidents)
            key = statement.mchid, statement.account_id, statement.kind, statement.day
            await resolve_incidents(connection, *key, now)
            await finish_run(connection, statement, _next_run(now, has_queries, open_ones.queried_at))
    ids_before = {incident.incident_id for incident in known}
    return Reconciled(run, tuple(each for each in incidents if each.incident_id not in ids_before))


def _next_run(now: datetime, has_queries: bool, queried_at: datetime | None) -> datetime | None:
    if has_queries:
        return now + QUERY_PAUSE
    was_queried = queried_at is not None and now - queried_at < BOOKED_AFTER
    return now + BOOKED_AFTER if was_queried else None


def _incidents(run: Reconciliation, found_at: datetime | None) -> list[Incident]:
    """One about all differences that are open. The id has the time of the newest, so that later ones are another."""
    if found_at is None:
        return []
    kind = IncidentKind.RECONCILIATION_DIFFERENCE
    counts = ", ".join(f"{count} {each}" for each, count in sorted(run.differences.items()))
    return [
        Incident(
            mchid=run.mchid,
            subject_id=run.statement_id,
            kind=kind,
            incident_id=incident_id_of(run.mchid, run.statement_id, kind, found_at.isoformat()),
            account_id=run.account_id,
            detail=f"{run.kind} of {run.day}: {counts}",
            at=run.run_at,
        )
    ]
