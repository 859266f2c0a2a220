"""The tables `statement` and `statement_line`.

A file is written in one transaction, with the remittances and conversions that it reports. Constraints decide races:
of an account, kind and day there is one current statement, and each content once.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import msgspec

from tael.audit_log.domain.entry import Origin
from tael.audit_log.store.entries import write_change
from tael.base.money import Money
from tael.channels.statements import StatementKind, StatementLine
from tael.db.constraints import violated_constraint
from tael.db.database import Database
from tael.db.due_queue import AccountQueue
from tael.db.tables import MONEY, Codec, Home, Table, write_rows
from tael.statements.domain.conversion import Conversion
from tael.statements.domain.remittance import Remittance
from tael.statements.domain.statement import CurrencyTotal, Statement
from tael.statements.store.conversions import CONVERSIONS
from tael.statements.store.remittances import ONE_REMITTANCE, REMITTANCES, Remittances

if TYPE_CHECKING:
    from tael.db.database import Connection

MAX_LISTED: Final = 1000


@dataclass(frozen=True, slots=True)
class CompleteStatement:
    """A statement with what it books."""

    statement: Statement
    remittances: Sequence[Remittance]
    conversions: Sequence[Conversion]


class StatementExists(Exception):
    """Another process has stored a statement of the same account, kind and day."""


class BatchExists(Exception):
    """The current statement of another day has a remittance of the same batch."""


def _encoded(totals: Sequence[CurrencyTotal]) -> tuple[str]:
    return (msgspec.json.encode([asdict(each) for each in totals]).decode(),)


def _decoded(text: str) -> tuple[CurrencyTotal, ...]:
    return tuple(CurrencyTotal(**each) for each in msgspec.json.decode(text))


def _settlement(minor: int | None, currency: str | None) -> Money | None:
    return None if minor is None or currency is None else Money(minor, currency)


SETTLEMENT: Final = Codec(
    {"settlement_minor": "bigint", "settlement_currency": "text"},
    lambda money: (None, None) if money is None else (money.amount_minor, money.currency),
    _settlement,
)
#: `packed` is the content as gzip, which is the file itself if `is_packed`. `check_at` is when it is reconciled next.
STATEMENT: Final = Table(
    "statement",
    Home.CELL,
    Statement,
    ("mchid", "statement_id"),
    codecs={"totals": Codec({"totals": "jsonb"}, _encoded, _decoded)},
    internal={
        "packed": "bytea",
        "is_packed": "boolean",
        "check_at": "timestamptz",
        "lease_until": "timestamptz",
    },
)
LINE: Final = Table(
    "statement_line",
    Home.CELL,
    StatementLine,
    ("mchid", "statement_id", "number"),
    codecs={"amount": MONEY, "settlement": SETTLEMENT},
    internal={"mchid": "text", "statement_id": "text"},
)
INSERT: Final = STATEMENT.insert_one("packed", "is_packed")
INSERT_LINES: Final = f"""
INSERT INTO statement_line (mchid, statement_id, {LINE.select})
SELECT ${len(LINE.columns) + 1}, ${len(LINE.columns) + 2}, {LINE.select_from("w")}
FROM {LINE.unnest(LINE.columns)} CROSS JOIN cell
"""
SELECT: Final = f"SELECT {STATEMENT.select} FROM statement"
SAME_CONTENT: Final = f"""
{SELECT} WHERE mchid = $1 AND account_id = $2 AND sha256 = $3
AND ($4::text IS NULL OR kind = $4) AND ($5::date IS NULL OR day = $5)
ORDER BY stored_at DESC LIMIT 1
"""
CURRENT: Final = f"""
{SELECT} WHERE mchid = $1 AND account_id = $2 AND kind = $3 AND day = $4 AND superseded_at IS NULL
"""
SUPERSEDE: Final = f"""
UPDATE statement SET superseded_at = $5, check_at = NULL, lease_until = NULL
WHERE mchid = $1 AND account_id = $2 AND kind = $3 AND day = $4 AND superseded_at IS NULL
RETURNING {STATEMENT.select}
"""
RESTORE: Final = """
UPDATE statement SET superseded_at = NULL
WHERE mchid = $1 AND statement_id = $2 AND superseded_at IS NOT NULL RETURNING 1
"""
#: A statement that is stored also shows what is missing on the days before and after it.
MAKE_DUE: Final = """
UPDATE statement AS s SET check_at = $5
FROM (
    SELECT mchid, statement_id FROM statement
    WHERE mchid = $1 AND account_id = $2 AND kind = $3 AND day BETWEEN $4::date - 1 AND $4::date + 1
      AND superseded_at IS NULL
    ORDER BY statement_id FOR NO KEY UPDATE
) AS due
WHERE s.mchid = due.mchid AND s.statement_id = due.statement_id
"""
LIST: Final = f"""
{SELECT} WHERE ($1::text IS NULL OR account_id = $1) AND ($2 OR superseded_at IS NULL)
AND ($3::text IS NULL OR kind = $3)
ORDER BY day DESC, account_id, kind, stored_at DESC LIMIT {MAX_LISTED}
"""
BY_ID: Final = f"{SELECT} WHERE statement_id = $1"
FILE: Final = "SELECT packed, is_packed FROM statement WHERE mchid = $1 AND statement_id = $2"
LINES: Final = f"""
SELECT {LINE.select} FROM statement_line
WHERE mchid = $1 AND statement_id = $2 AND number > $3 ORDER BY number LIMIT $4
"""


class Statements:
    """The statements of all accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.due: Final = AccountQueue(database, STATEMENT)  #: those that are to be reconciled

    async def store(
        self,
        mchid: str,
        statement_id: str,
        batches: AsyncIterator[Sequence[StatementLine]],
        complete: Callable[[], CompleteStatement],
        packed: bytes,
        *,
        is_packed: bool,
        is_replacing: bool,
        origin: Origin,
    ) -> Statement:
        """Write the lines, and then what `complete` returns, with its ledger entries: all, or nothing.

        What `batches` raises ends it. `is_replacing` supersedes the current statement. Raises StatementExists,
        BatchExists, StoreUnavailable.
        """
        try:
            async with self._database.connection(is_long=True) as connection, connection.transaction():
                async for batch in batches:
                    columns = LINE.arrays(batch, LINE.columns)
                    await write_rows(connection, INSERT_LINES, len(batch), *columns, mchid, statement_id)
                complete_statement = complete()
                statement = complete_statement.statement
                if is_replacing:
                    await _supersede(connection, statement, origin)
                values = STATEMENT.values(statement, STATEMENT.columns)
                await write_rows(connection, INSERT, 1, *values, packed, is_packed)
                await REMITTANCES.write(connection, complete_statement.remittances, origin.at)
                await CONVERSIONS.write(connection, complete_statement.conversions, origin.at)
                await _make_due(connection, statement, origin.at)
                await write_change(connection, origin, STATEMENT, statement_id, None, statement)
        except asyncpg.UniqueViolationError as error:
            raise _conflict(error) from error
        return statement

    async def restore(self, statement: Statement, origin: Origin) -> Statement:
        """Make a superseded statement current again, in place of the current one.

        Raises StatementExists, BatchExists.
        """
        restored = replace(statement, superseded_at=None)
        try:
            async with self._database.transaction() as connection:
                await _supersede(connection, statement, origin)
                if not await connection.fetch(RESTORE, statement.mchid, statement.statement_id):
                    raise StatementExists
                for booked in (REMITTANCES, CONVERSIONS):
                    await booked.restore(connection, statement, origin.at)
                await _make_due(connection, restored, origin.at)
                subject = statement.statement_id
                await write_change(connection, origin, STATEMENT, subject, statement, restored)
        except asyncpg.UniqueViolationError as error:
            raise _conflict(error) from error
        return restored

    async def with_content(
        self, mchid: str, account_id: str, sha256: str, kind: StatementKind | None, day: date | None
    ) -> Statement | None:
        """The account's statement with this content, of any kind and day where they are None."""
        rows = await self._database.fetch(SAME_CONTENT, mchid, account_id, sha256, kind, day)
        return STATEMENT.read(rows[0]) if rows else None

    async def current(self, mchid: str, account_id: str, kind: StatementKind, day: date) -> Statement | None:
        rows = await self._database.fetch(CURRENT, mchid, account_id, kind, day)
        return STATEMENT.read(rows[0]) if rows else None

    async def list(
        self, account_id: str | None, *, with_superseded: bool, kind: StatementKind | None = None
    ) -> list[Statement]:
        """The newest days first, at most `MAX_LISTED`."""
        rows = await self._database.fetch(LIST, account_id, with_superseded, kind)
        return [STATEMENT.read(row) for row in rows]

    async def remittances_of(self, statement: Statement) -> Sequence[Remittance]:
        return await Remittances(self._database).of_statement(statement)

    async def by_id(self, statement_id: str) -> Statement | None:
        rows = await self._database.fetch(BY_ID, statement_id)
        return STATEMENT.read(rows[0]) if rows else None

    async def lines(self, statement: Statement, *, after: int, limit: int) -> Sequence[StatementLine]:
        """Lines with numbers above `after`, in their order."""
        key = statement.mchid, statement.statement_id
        return [LINE.read(row) for row in await self._database.fetch(LINES, *key, after, limit)]

    async def file(self, statement: Statement) -> tuple[bytes, bool]:
        """The content as gzip, and whether it arrived so."""
        (row,) = await self._database.fetch(FILE, statement.mchid, statement.statement_id)
        return row["packed"], row["is_packed"]


def _conflict(error: asyncpg.UniqueViolationError) -> StatementExists | BatchExists:
    return BatchExists() if violated_constraint(error) == ONE_REMITTANCE else StatementExists()


async def _make_due(connection: "Connection", stored: Statement, at: datetime) -> None:
    key = stored.mchid, stored.account_id, stored.kind, stored.day
    await connection.execute(MAKE_DUE, *key, at)


async def _supersede(connection: "Connection", new: Statement, origin: Origin) -> None:
    key: tuple[Any, ...] = new.mchid, new.account_id, new.kind, new.day
    at: datetime = origin.at
    for row in await connection.fetch(SUPERSEDE, *key, at):
        after = STATEMENT.read(row)
        before = replace(after, superseded_at=None)
        for booked in (REMITTANCES, CONVERSIONS):
            await booked.supersede(connection, after, at)
        await write_change(connection, origin, STATEMENT, after.statement_id, before, after)
