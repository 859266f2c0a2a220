"""The table `reconciliation`, and the transaction of a run.

The runs of an account are serialized by an advisory lock. A run locks the row of its statement: whatever is stored
before is read by it, and whatever is stored later makes the statement due again once the run has ended.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from tael.audit_log.domain.entry import Origin
from tael.audit_log.store.entries import write_change
from tael.channels.statements import StatementLine
from tael.db.database import Database
from tael.db.tables import Codec, Home, Table
from tael.reconciliation.domain.difference import DifferenceKind
from tael.reconciliation.domain.reconciliation import Reconciliation, SideTotal
from tael.statements.domain.statement import Statement
from tael.statements.store.statements import LINE, LINES, STATEMENT

if TYPE_CHECKING:
    from tael.db.database import Connection

#: Statements that are read at a time.
PAGE: Final = 1_000


def _encoded(totals: Sequence[SideTotal]) -> tuple[str]:
    return (msgspec.json.encode([asdict(each) for each in totals]).decode(),)


def _decoded(text: str) -> tuple[SideTotal, ...]:
    return tuple(SideTotal(**each) for each in msgspec.json.decode(text))


def _counts(text: str) -> Mapping[DifferenceKind, int]:
    return {DifferenceKind(kind): count for kind, count in msgspec.json.decode(text).items()}


RECONCILIATIONS: Final = Table(
    "reconciliation",
    Home.CELL,
    Reconciliation,
    ("mchid", "statement_id"),
    codecs={
        "theirs": Codec({"theirs": "jsonb"}, _encoded, _decoded),
        "ours": Codec({"ours": "jsonb"}, _encoded, _decoded),
        "differences": Codec(
            {"differences": "jsonb"}, lambda counts: (msgspec.json.encode(counts).decode(),), _counts
        ),
    },
)
RUN: Final = tuple(column for column in RECONCILIATIONS.columns if column not in RECONCILIATIONS.key)
WRITE: Final = f"""
{RECONCILIATIONS.insert()} ON CONFLICT (mchid, statement_id) DO UPDATE SET
    {", ".join(f"{column} = excluded.{column}" for column in RUN)}
"""
BY_STATEMENT: Final = (
    f"SELECT {RECONCILIATIONS.select} FROM reconciliation WHERE mchid = $1 AND statement_id = $2"
)
#: So that the locks differ from those of other purposes and programs: "recon" in ASCII.
LOCK_SEED: Final = 0x7265636F6E
LOCK: Final = f"SELECT pg_advisory_xact_lock(hashtextextended($1, {LOCK_SEED})) FROM cell"
LOCK_STATEMENT: Final = """
SELECT 1 FROM statement WHERE mchid = $1 AND statement_id = $2 AND superseded_at IS NULL FOR NO KEY UPDATE
"""
FINISH: Final = (
    "UPDATE statement SET check_at = $3, lease_until = NULL WHERE mchid = $1 AND statement_id = $2"
)
#: Statements that another transaction has locked are being replaced or reconciled, which needs no other run.
MAKE_DUE: Final = """
UPDATE statement AS s SET check_at = $3, lease_until = NULL
FROM (
    SELECT mchid, statement_id FROM statement
    WHERE mchid = $1 AND statement_id = ANY($2::text[]) AND superseded_at IS NULL
    ORDER BY statement_id FOR NO KEY UPDATE SKIP LOCKED
) AS due
WHERE s.mchid = due.mchid AND s.statement_id = due.statement_id
"""
#: Other current statements of the account with lines of these numbers.
WITH_NUMBERS: Final = """
SELECT DISTINCT s.statement_id FROM statement_line AS l
JOIN statement AS s ON s.mchid = l.mchid AND s.statement_id = l.statement_id
WHERE l.mchid = $1 AND l.syssn = ANY($3::text[])
  AND s.account_id = $2 AND s.superseded_at IS NULL AND s.statement_id <> $4
"""
#: $4 to $6 are the last one of the page before.
CURRENT: Final = f"""
SELECT {STATEMENT.select} FROM statement
WHERE superseded_at IS NULL AND ($1::text IS NULL OR account_id = $1)
  AND ($2::date IS NULL OR day >= $2) AND ($3::date IS NULL OR day <= $3)
  AND ($4::date IS NULL OR (day, account_id, kind) > ($4, $5, $6))
ORDER BY day, account_id, kind LIMIT {PAGE}
"""


class Superseded(Exception):
    """The statement has been replaced: there is nothing to reconcile."""


class Reconciliations:
    """The newest run of each statement."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def run(self, statement: Statement) -> AsyncIterator["Connection"]:
        """The transaction of a run. Raises Superseded, StoreUnavailable."""
        async with self._database.connection(is_long=True) as connection, connection.transaction():
            await connection.execute(LOCK, statement.account_id)
            if not await connection.fetch(LOCK_STATEMENT, statement.mchid, statement.statement_id):
                raise Superseded
            yield connection

    async def of_statement(self, statement: Statement) -> Reconciliation | None:
        rows = await self._database.fetch(BY_STATEMENT, statement.mchid, statement.statement_id)
        return RECONCILIATIONS.read(rows[0]) if rows else None

    async def current_statements(
        self, account_id: str | None, first: date | None, last: date | None
    ) -> AsyncIterator[Statement]:
        """The current statements of these days, oldest first."""
        after: tuple[date | None, str, str] = (None, "", "")
        while rows := await self._database.fetch(CURRENT, account_id, first, last, *after):
            for statement in map(STATEMENT.read, rows):
                yield statement
                after = statement.day, statement.account_id, statement.kind


async def batches_of(
    connection: "Connection", statement: Statement, size: int
) -> AsyncIterator[list[StatementLine]]:
    """The lines of `statement` in their order, `size` at a time."""
    after = 0
    while rows := await connection.fetch(LINES, statement.mchid, statement.statement_id, after, size):
        lines = [LINE.read(row) for row in rows]
        after = lines[-1].number
        yield lines


async def write_reconciliation(connection: "Connection", run: Reconciliation, origin: Origin) -> None:
    """Replace the newest run of the statement, with an entry in the audit log."""
    rows = await connection.fetch(BY_STATEMENT, run.mchid, run.statement_id)
    before = RECONCILIATIONS.read(rows[0]) if rows else None
    await connection.execute(WRITE, *RECONCILIATIONS.arrays([run], RECONCILIATIONS.columns))
    await write_change(connection, origin, RECONCILIATIONS, run.statement_id, before, run)


async def finish_run(connection: "Connection", statement: Statement, check_at: datetime | None) -> None:
    """The statement is due again at `check_at`, or not."""
    await connection.execute(FINISH, statement.mchid, statement.statement_id, check_at)


async def make_due(connection: "Connection", mchid: str, statement_ids: Sequence[str], at: datetime) -> None:
    """Have these statements reconciled, if they are current."""
    if statement_ids:
        await connection.execute(MAKE_DUE, mchid, list(statement_ids), at)


async def statements_with(
    connection: "Connection", statement: Statement, numbers: Sequence[str]
) -> list[str]:
    """The account's other current statements with lines of these numbers."""
    key = statement.mchid, statement.account_id, list(numbers), statement.statement_id
    return [row["statement_id"] for row in await connection.fetch(WITH_NUMBERS, *key)]
