"""The table `difference`: what runs find and resolve, and what operators decide."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from tael.audit_log.domain.entry import Origin
from tael.audit_log.store.entries import write_change
from tael.channels.statements import StatementKind
from tael.db.database import Database
from tael.db.tables import Codec, Home, Table
from tael.incidents.domain.incident import IncidentKind
from tael.incidents.store.incidents import resolve_incidents_about
from tael.reconciliation.domain.difference import (
    RECONCILIATION,
    Difference,
    DifferenceKind,
    LineEvidence,
    RecordEvidence,
)
from tael.statements.domain.statement import Statement

if TYPE_CHECKING:
    from tael.db.database import Connection

Evidence = TypeVar("Evidence", LineEvidence, RecordEvidence)
#: A wallet is queried about a difference at most once in this time.
QUERY_GAP: Final = timedelta(hours=1)


def _codec(column: str, kind: type[Evidence]) -> Codec:
    decoder = msgspec.json.Decoder(kind)
    return Codec(
        {column: "jsonb"},
        lambda value: (None if value is None else msgspec.json.encode(value).decode(),),
        lambda text: None if text is None else decoder.decode(text),
    )


DIFFERENCE: Final = Table(
    "difference",
    Home.CELL,
    Difference,
    ("mchid", "difference_id"),
    codecs={"theirs": _codec("theirs", LineEvidence), "ours": _codec("ours", RecordEvidence)},
)
#: What a run writes again.
FOUND: Final = ("statement_id", "statement_kind", "day", "reconciliation_id", "detail", "theirs", "ours")
#: An open difference that another day or kind of statement has found stays with it. One that a run has resolved is
#: opened again; an operator's resolution stands.
WRITE: Final = f"""
INSERT INTO difference AS d ({DIFFERENCE.select})
SELECT {DIFFERENCE.select_from("w")} FROM {DIFFERENCE.unnest(DIFFERENCE.columns)} CROSS JOIN cell
ON CONFLICT (mchid, difference_id) DO UPDATE SET
    {", ".join(f"{column} = excluded.{column}" for column in FOUND)},
    found_at = CASE WHEN d.state = 'OPEN' THEN d.found_at ELSE excluded.found_at END,
    state = 'OPEN', resolved_at = NULL, resolved_by = '', resolution = ''
WHERE CASE WHEN d.state = 'OPEN' THEN (d.statement_kind, d.day) = (excluded.statement_kind, excluded.day)
    ELSE d.resolved_by = '{RECONCILIATION}' END
"""
#: $1 mchid, $2 account, $3 kind and $4 day of the statement, $5 the run, $6 the time. Whether a current statement still
#: has the line tells why the difference is gone.
RESOLVE_GONE: Final = f"""
UPDATE difference AS d
SET state = 'RESOLVED', resolved_at = $6, resolved_by = '{RECONCILIATION}', resolution = CASE WHEN EXISTS (
        SELECT FROM statement_line AS l JOIN statement AS s ON s.mchid = l.mchid AND s.statement_id = l.statement_id
        WHERE l.mchid = d.mchid AND l.syssn = d.number AND s.account_id = d.account_id AND s.superseded_at IS NULL
    ) THEN 'the records agree now' ELSE 'no current statement has the line now' END
WHERE d.mchid = $1 AND d.account_id = $2 AND d.statement_kind = $3 AND d.day = $4 AND d.state = 'OPEN'
  AND d.kind <> 'missing_there' AND d.reconciliation_id <> $5
RETURNING d.number, d.statement_id
"""
#: A movement that was booked late is found by a run of a later day, and not again by that of its statement.
ADOPT: Final = """
UPDATE difference SET statement_id = $5
WHERE mchid = $1 AND account_id = $2 AND statement_kind = $3 AND day = $4 AND state = 'OPEN' AND kind = 'missing_there'
"""
#: The same of all days: the line of a movement may come in any statement.
RESOLVE_ARRIVED: Final = f"""
UPDATE difference AS d
SET state = 'RESOLVED', resolved_at = $3, resolved_by = '{RECONCILIATION}', resolution = 'a statement has the line now'
WHERE d.mchid = $1 AND d.account_id = $2 AND d.state = 'OPEN' AND d.kind = 'missing_there' AND EXISTS (
    SELECT FROM statement_line AS l JOIN statement AS s ON s.mchid = l.mchid AND s.statement_id = l.statement_id
    WHERE l.mchid = d.mchid AND l.syssn = d.number AND (l.type = 'payment') = (d.type = 'payment')
      AND (d.type <> 'payment' OR l.wallet_ref = '' OR d.wallet_ref = '' OR l.wallet_ref = d.wallet_ref)
      AND s.account_id = d.account_id AND s.kind = 'transactions' AND s.superseded_at IS NULL
)
RETURNING d.number, d.statement_id
"""
#: Differences about which the wallet's signed answer may bring news, those first that it was not queried about.
TO_QUERY: Final = f"""
SELECT {DIFFERENCE.select} FROM difference
WHERE mchid = $1 AND statement_id = $2 AND state = 'OPEN'
  AND (kind = 'state' OR (kind IN ('missing_here', 'duplicate') AND type = 'payment'))
  AND (queried_at IS NULL OR queried_at <= $3)
ORDER BY queried_at NULLS FIRST, difference_id LIMIT $4
"""
QUERIED: Final = "UPDATE difference SET queried_at = $3 WHERE mchid = $1 AND difference_id = $2"
OPEN_OF_STATEMENT: Final = """
SELECT kind, count(*) AS open, max(found_at) AS found_at, max(queried_at) AS queried_at FROM difference
WHERE mchid = $1 AND statement_id = $2 AND state = 'OPEN' GROUP BY kind ORDER BY kind
"""
#: Those that another run or an operator has written, and that a run does not open again.
KNOWN: Final = f"""
SELECT difference_id FROM difference
WHERE mchid = $1 AND difference_id = ANY($2::text[]) AND (state = 'OPEN' OR resolved_by <> '{RECONCILIATION}')
"""
#: Statements of one account, kind and day without open differences.
SETTLED: Final = """
SELECT s.statement_id, s.superseded_at IS NULL AS is_current FROM statement AS s
WHERE s.mchid = $1 AND s.account_id = $2 AND s.kind = $3 AND s.day = $4 AND NOT EXISTS (
    SELECT FROM difference AS d WHERE d.mchid = s.mchid AND d.statement_id = s.statement_id AND d.state = 'OPEN')
ORDER BY s.statement_id
"""
COUNTS: Final = "SELECT kind, count(*) AS open FROM difference WHERE state = 'OPEN' GROUP BY kind"
BY_ID: Final = (
    f"SELECT {DIFFERENCE.select} FROM difference WHERE difference_id = $1 ORDER BY found_at LIMIT 1"
)
LOCK: Final = f"{BY_ID} FOR NO KEY UPDATE"
LIST: Final = f"""
SELECT {DIFFERENCE.select} FROM difference
WHERE ($1 OR state = 'OPEN') AND ($2::text IS NULL OR account_id = $2) AND ($3::date IS NULL OR day = $3)
  AND ($4::text IS NULL OR kind = $4) AND ($5::text IS NULL OR owner = $5)
ORDER BY found_at DESC, day DESC, mchid, difference_id LIMIT $6
"""
DECIDED: Final = ("owner", "state", "resolved_at", "resolved_by", "resolution")
DECIDE: Final = DIFFERENCE.update_one(DECIDED)


@dataclass(frozen=True, slots=True)
class OpenDifferences:
    """The open differences of one statement."""

    counts: Mapping[DifferenceKind, int]
    found_at: datetime | None  #: of the newest; None if there are none
    queried_at: datetime | None  #: when the wallet was last queried about one


class Differences:
    """The differences of all accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def by_id(self, difference_id: str) -> Difference | None:
        rows = await self._database.fetch(BY_ID, difference_id)
        return DIFFERENCE.read(rows[0]) if rows else None

    async def newest(
        self,
        *,
        with_resolved: bool,
        account_id: str | None = None,
        day: date | None = None,
        kind: DifferenceKind | None = None,
        owner: str | None = None,
        limit: int,
    ) -> list[Difference]:
        """The ones that were found last first."""
        rows = await self._database.fetch(LIST, with_resolved, account_id, day, kind, owner, limit)
        return [DIFFERENCE.read(row) for row in rows]

    async def decide(
        self, difference_id: str, decide: Callable[[Difference], Difference], origin: Origin
    ) -> Difference | None:
        """Write what `decide` makes of the current row, which is locked. None if there is no such difference."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(LOCK, difference_id)
            if not rows:
                return None
            before = DIFFERENCE.read(rows[0])
            after = decide(before)
            values = DIFFERENCE.values(after, (*DIFFERENCE.key, *DECIDED))
            await connection.execute(DECIDE, *values)
            await write_change(connection, origin, DIFFERENCE, difference_id, before, after)
            key = after.mchid, after.account_id, after.statement_kind, after.day
            await resolve_incidents(connection, *key, origin.at)
        return after

    async def to_query(self, statement: Statement, now: datetime, limit: int) -> list[Difference]:
        """Those of a statement about which the wallet should be queried."""
        key = statement.mchid, statement.statement_id
        rows = await self._database.fetch(TO_QUERY, *key, now - QUERY_GAP, limit)
        return [DIFFERENCE.read(row) for row in rows]

    async def mark_queried(self, difference: Difference, at: datetime) -> None:
        await self._database.execute(QUERIED, difference.mchid, difference.difference_id, at)

    async def counts(self) -> dict[DifferenceKind, int]:
        """Open ones by kind."""
        return {DifferenceKind(row["kind"]): row["open"] for row in await self._database.fetch(COUNTS)}


async def is_query_due(connection: "Connection", statement: Statement, now: datetime) -> bool:
    """Whether there is one about which the wallet should be queried."""
    key = statement.mchid, statement.statement_id
    return bool(await connection.fetch(TO_QUERY, *key, now - QUERY_GAP, 1))


async def write_differences(connection: "Connection", found: Sequence[Difference]) -> None:
    """Write what a run has found, in its transaction. One difference may be found more than once."""
    unique = {each.difference_id: each for each in reversed(found)}
    if unique:
        rows = [unique[key] for key in sorted(unique)]
        await connection.execute(WRITE, *DIFFERENCE.arrays(rows, DIFFERENCE.columns))


async def known_differences(connection: "Connection", found: Sequence[Difference]) -> set[str]:
    """The ids of those that are open, or resolved for good. All are of one merchant."""
    if not found:
        return set()
    ids = [each.difference_id for each in found]
    return {row["difference_id"] for row in await connection.fetch(KNOWN, found[0].mchid, ids)}


async def resolve_gone(
    connection: "Connection", statement: Statement, reconciliation_id: str, at: datetime
) -> tuple[set[str], set[str]]:
    """Resolve the open differences whose cause is gone: their numbers, and the statements that they were of."""
    key = statement.mchid, statement.account_id
    run: tuple[Any, ...] = statement.kind, statement.day, reconciliation_id, at
    await connection.execute(ADOPT, *key, statement.kind, statement.day, statement.statement_id)
    gone = await connection.fetch(RESOLVE_GONE, *key, *run)
    arrived = await connection.fetch(RESOLVE_ARRIVED, *key, at)
    return {row["number"] for row in gone}, {row["statement_id"] for row in (*gone, *arrived)}


async def open_of_statement(connection: "Connection", statement: Statement) -> OpenDifferences:
    rows = await connection.fetch(OPEN_OF_STATEMENT, statement.mchid, statement.statement_id)
    return OpenDifferences(
        counts={DifferenceKind(row["kind"]): row["open"] for row in rows},
        found_at=max((row["found_at"] for row in rows), default=None),
        queried_at=max((row["queried_at"] for row in rows if row["queried_at"]), default=None),
    )


async def resolve_incidents(
    connection: "Connection", mchid: str, account_id: str, kind: StatementKind, day: date, at: datetime
) -> None:
    """Resolve the incidents about statements of this day that were replaced, or have no open difference."""
    about = IncidentKind.RECONCILIATION_DIFFERENCE
    for row in await connection.fetch(SETTLED, mchid, account_id, kind, day):
        note = "every difference is resolved" if row["is_current"] else "the statement was replaced"
        await resolve_incidents_about(connection, mchid, row["statement_id"], about, note, at)
