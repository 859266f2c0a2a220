"""Reconciles a statement: compares its lines with our records, and queries the wallet about news of money.

A run is one transaction: its differences, those that are resolved because their cause is gone, and the statement's row
in `reconciliation`. If the wallet has to be queried, it is queried between two such runs, and the statement stays due
until the second one has committed. A repeat finds the same differences and writes the same rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from tael.audit_log.domain.entry import Origin
from tael.base import ids
from tael.channels.registry import installed_protocols
from tael.channels.statements import LineType, StatementKind, StatementLine
from tael.incidents.domain.incident import Incident, IncidentKind, incident_id_of
from tael.incidents.store.incidents import write_incidents
from tael.merchants.domain.account import Account
from tael.payments.context import PaymentContext
from tael.reconciliation.domain.difference import (
    Difference,
    DifferenceKind,
    LineEvidence,
    RecordEvidence,
    difference_id_of,
)
from tael.reconciliation.domain.matching import Copy, Finding, Matcher, Terms, compare
from tael.reconciliation.domain.reconciliation import Reconciliation, TotalsBuilder
from tael.reconciliation.domain.records import Movement, Record
from tael.reconciliation.queries import query_about
from tael.reconciliation.store.differences import (
    Differences,
    is_query_due,
    known_differences,
    open_of_statement,
    resolve_gone,
    resolve_incidents,
    write_differences,
)
from tael.reconciliation.store.reconciliations import (
    Reconciliations,
    Superseded,
    batches_of,
    finish_run,
    make_due,
    statements_with,
    write_reconciliation,
)
from tael.reconciliation.store.records import (
    MissingMovement,
    copies_of_lines,
    missing_movements,
    rows_of_lines,
)
from tael.statements.domain.statement import Statement

if TYPE_CHECKING:
    from tael.db.database import Connection

#: Lines that are compared at a time.
BATCH: Final = 2_000
#: Queries of a wallet in one run.
MAX_QUERIES: Final = 100
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
    for difference in open_ones:
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
    work = _Run(statement, terms, ids.reconciliation_id(), now)
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


class _Run:
    """The state of one run."""

    def __init__(self, statement: Statement, terms: Terms, reconciliation_id: str, now: datetime) -> None:
        self._statement = statement
        self._terms = terms
        self._id = reconciliation_id
        self._now = now
        self._theirs, self._ours = TotalsBuilder(), TotalsBuilder()
        self._lines = self._matched = 0
        self._others: set[str] = set()  #: statements that this run has changed something about

    async def compare_lines(self, connection: "Connection") -> None:
        async for lines in batches_of(connection, self._statement, BATCH):
            matcher = Matcher(await rows_of_lines(connection, self._statement, lines))
            copies = await copies_of_lines(connection, self._statement, lines)
            found = [finding for line in lines for finding in self._compared(line, matcher, copies)]
            await write_differences(connection, [self._difference(finding) for finding in found])

    async def find_missing(self, connection: "Connection") -> None:
        async for page in missing_movements(connection, self._statement):
            found = [self._missing(movement) for movement in page]
            known = await known_differences(connection, found)
            await write_differences(connection, found)
            self._others |= {each.statement_id for each in found if each.difference_id not in known}

    async def resolve_gone(self, connection: "Connection") -> None:
        """Other statements that have the same movements are compared again."""
        numbers, others = await resolve_gone(connection, self._statement, self._id, self._now)
        self._others |= others
        if numbers:
            self._others |= set(await statements_with(connection, self._statement, sorted(numbers)))
        self._others.discard(self._statement.statement_id)
        await make_due(connection, self._statement.mchid, sorted(self._others), self._now)

    def finish(self, counts: Mapping[DifferenceKind, int]) -> Reconciliation:
        statement = self._statement
        return Reconciliation(
            mchid=statement.mchid,
            statement_id=statement.statement_id,
            reconciliation_id=self._id,
            account_id=statement.account_id,
            kind=statement.kind,
            day=statement.day,
            lines=self._lines,
            matched=self._matched,
            theirs=self._theirs.finish(),
            ours=self._ours.finish(),
            differences=counts,
            run_at=self._now,
        )

    def _compared(
        self, line: StatementLine, matcher: Matcher, copies: Mapping[tuple[LineType, str], list[Copy]]
    ) -> list[Finding]:
        match = matcher.match(line)
        found = list(compare(line, match, self._earlier(line, copies), self._terms))
        self._lines += 1
        self._matched += not found
        self._theirs.add(match.type, line.amount)
        is_ours = not {finding.kind for finding in found} & NOT_OURS
        if match.record is not None and is_ours and match.record.money is Movement.MOVED:
            self._ours.add(match.type, match.record.amount)
        return found

    def _earlier(self, line: StatementLine, copies: Mapping[tuple[LineType, str], list[Copy]]) -> list[Copy]:
        """Of several lines about one movement, the earliest is compared. Statements with later ones become due."""
        of_movement = copies.get((line.type, line.syssn), [])
        here = self._statement.day, line.number
        self._others |= {copy.statement_id for copy in of_movement if (copy.day, copy.number) > here}
        return [copy for copy in of_movement if (copy.day, copy.number) < here]

    def _missing(self, movement: MissingMovement) -> Difference:
        record = movement.record
        if movement.statement_id == self._statement.statement_id:
            self._ours.add(record.type, record.amount)
        detail = f"{record.amount} of our {record.kind} is in no statement"
        kind = DifferenceKind.MISSING_THERE
        finding = Finding(kind, record.type, record.number, record.wallet_ref, None, record, detail)
        return self._difference(finding, movement)

    def _difference(self, finding: Finding, movement: MissingMovement | None = None) -> Difference:
        statement = self._statement
        key = finding.kind, finding.type, finding.number, finding.wallet_ref
        return Difference(
            mchid=statement.mchid,
            difference_id=difference_id_of(statement.mchid, statement.account_id, *key),
            account_id=statement.account_id,
            kind=finding.kind,
            type=finding.type,
            number=finding.number,
            wallet_ref=finding.wallet_ref,
            statement_id=movement.statement_id if movement else statement.statement_id,
            statement_kind=statement.kind,
            day=movement.day if movement else statement.day,
            reconciliation_id=self._id,
            detail=finding.detail,
            theirs=_line(finding.line, statement.statement_id) if finding.line else None,
            ours=_record(finding.record, finding.fee_micros) if finding.record else None,
            found_at=self._now,
        )


#: The lines with these differences are not about money in our records.
NOT_OURS: Final = frozenset({DifferenceKind.DUPLICATE, DifferenceKind.MISSING_HERE})


def _line(line: StatementLine, statement_id: str) -> LineEvidence:
    settlement = line.settlement
    return LineEvidence(
        statement_id=statement_id,
        line=line.number,
        type=line.type,
        syssn=line.syssn,
        payment_syssn=line.payment_syssn,
        wallet_ref=line.wallet_ref,
        wallet_refund_ref=line.wallet_refund_ref,
        at=line.at,
        amount_minor=line.amount.amount_minor,
        currency=line.amount.currency,
        fee_micros=line.fee_micros,
        settlement_minor=settlement.amount_minor if settlement else None,
        settlement_currency=settlement.currency if settlement else None,
        state=line.state,
    )


def _record(record: Record, fee_micros: int | None) -> RecordEvidence:
    return RecordEvidence(
        table=record.kind,
        syssn=record.syssn,
        wallet_ref=record.wallet_ref,
        amount_minor=record.amount.amount_minor,
        currency=record.amount.currency,
        state=record.state,
        from_at=record.from_at,
        until_at=record.until_at,
        fee_micros=fee_micros,
    )


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
