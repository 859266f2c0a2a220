"""One comparison of a statement with our records, in the transaction of a run: line by line, then what no line has.

Lines are compared in batches, and what is found is written batch by batch, so that the size of a statement does not
matter.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tael.channels.statements import LineType, StatementLine
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
from tael.reconciliation.store.differences import known_differences, resolve_gone, write_differences
from tael.reconciliation.store.reconciliations import batches_of, make_due, statements_with
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


class Comparison:
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
