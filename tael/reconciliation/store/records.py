"""Reads our movements: those that a batch of lines may be about, and those that no statement has."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

from tael.base.moments import UTC8
from tael.base.money import Money
from tael.channels.outcomes import ReversalAction
from tael.channels.statements import LineType, StatementLine
from tael.payments.domain.payment import State
from tael.payments.domain.refund import RefundState
from tael.payments.domain.reversal import ReversalState
from tael.reconciliation.domain.matching import MIDNIGHT_SLACK, Copy
from tael.reconciliation.domain.records import (
    Movement,
    OurRows,
    PaymentRow,
    Record,
    RecordKind,
    RefundRow,
    ReversalRow,
    UnmatchedRow,
)
from tael.statements.domain.statement import Statement
from tael.unmatched.domain.unmatched import UnmatchedState

if TYPE_CHECKING:
    import asyncpg

    from tael.db.database import Connection

DAY: Final = timedelta(days=1)
#: Movements without a line that are read at a time.
PAGE: Final = 2_000
PAYMENTS: Final = """
SELECT syssn, amount_minor, currency, state, wallet_ref, is_reversed, created_at, paid_at
FROM payment WHERE mchid = $1 AND account_id = $2 AND syssn = ANY($3::text[])
"""
REFUNDS: Final = """
SELECT syssn, amount_minor, currency, state, created_at, done_at
FROM refund WHERE mchid = $1 AND account_id = $2 AND syssn = ANY($3::text[])
"""
REVERSALS: Final = """
SELECT r.syssn, r.payment_syssn, p.amount_minor, p.currency, r.state, r.action, r.created_at, r.changed_at
FROM reversal AS r JOIN payment AS p ON p.mchid = r.mchid AND p.syssn = r.payment_syssn
WHERE r.mchid = $1 AND r.account_id = $2 AND (r.syssn = ANY($3::text[]) OR r.payment_syssn = ANY($3::text[]))
"""
UNMATCHED: Final = """
SELECT subject_id, syssn, amount_minor, currency, state, wallet_ref, booked_at, asked_at, returned_at
FROM unmatched_payment
WHERE mchid = $1 AND account_id = $2 AND syssn <> '' AND (subject_id = ANY($3::text[]) OR syssn = ANY($3::text[]))
"""
#: Lines about one movement of which current statements of the account and kind have several. Each number is looked up
#: through the index (OFFSET 0), whatever the planner knows about the lines of a statement that was just stored.
COPIES: Final = """
SELECT type, syssn, statement_id, day, number, wallet_ref FROM (
    SELECT l.type, l.syssn, l.statement_id, s.day, l.number, l.wallet_ref,
        count(*) OVER (PARTITION BY l.type, l.syssn) AS copies
    FROM unnest($3::text[]) AS n (syssn)
    CROSS JOIN LATERAL (SELECT * FROM statement_line WHERE mchid = $1 AND syssn = n.syssn OFFSET 0) AS l
    JOIN statement AS s ON s.mchid = $1 AND s.statement_id = l.statement_id
    WHERE s.account_id = $2 AND s.kind = $4 AND s.superseded_at IS NULL
) AS line
WHERE copies > 1 ORDER BY day, number
"""
#: The account's movements by their ledger entries: $1 mchid, $2 account, $3 and $4 the time of the entries. A movement
#: has the table and number of its row, the number by which a line names it, and the time in which the wallet moved it.
MOVED: Final = """
SELECT e.cause, e.kind, e.amount_minor, e.currency FROM ledger_entry AS e
WHERE e.mchid = $1 AND e.at >= $3 AND e.at < $4
  AND CASE WHEN e.kind IN ('payment', 'unmatched_received') THEN e.debit
        WHEN e.kind IN ('refund', 'reversal', 'unmatched_returned') THEN e.credit
      END = 'wallet:' || e.currency || ':' || $2
"""
MOVEMENTS: Final = f"""
SELECT 'payment' AS name, 'payment' AS type, p.syssn AS number, p.syssn, p.state, p.wallet_ref,
    CASE WHEN p.is_reversed THEN p.created_at ELSE p.paid_at END AS from_at, p.paid_at AS until_at,
    m.amount_minor, m.currency
FROM moved AS m JOIN payment AS p ON p.mchid = $1 AND p.syssn = m.cause WHERE m.kind = 'payment'
UNION ALL
SELECT 'refund', 'refund', r.syssn, r.syssn, r.state, '', r.created_at, r.done_at, m.amount_minor, m.currency
FROM moved AS m JOIN refund AS r ON r.mchid = $1 AND r.syssn = m.cause WHERE m.kind = 'refund'
UNION ALL
SELECT 'reversal', CASE WHEN v.action = '{ReversalAction.BY_REFUND}' THEN 'refund' ELSE 'reversal' END,
    CASE WHEN v.action = '{ReversalAction.BY_REFUND}' THEN v.syssn ELSE v.payment_syssn END,
    v.syssn, v.state, '', v.created_at, v.changed_at, m.amount_minor, m.currency
FROM moved AS m JOIN reversal AS v ON v.mchid = $1 AND v.syssn = m.cause WHERE m.kind = 'reversal'
UNION ALL
SELECT 'unmatched_payment', 'payment', u.subject_id, u.syssn, u.state, u.wallet_ref, NULL, u.booked_at,
    m.amount_minor, m.currency
FROM moved AS m JOIN unmatched_payment AS u ON u.mchid = $1 AND u.syssn = m.cause
WHERE m.kind = 'unmatched_received' AND u.state <> 'VOIDED'
UNION ALL
SELECT 'unmatched_payment', 'refund', u.syssn, u.syssn, u.state, '', u.asked_at, u.returned_at,
    m.amount_minor, m.currency
FROM moved AS m JOIN unmatched_payment AS u ON u.mchid = $1 AND u.syssn = m.cause
WHERE m.kind = 'unmatched_returned' AND u.state = 'RETURNED' AND NOT EXISTS ( -- a reversal of ours has undone the order
    SELECT FROM reversal AS v WHERE v.mchid = $1 AND v.payment_syssn = u.subject_id AND v.state = 'DONE')
"""
#: A line of a current statement of transactions about the movement `m` of account $2. With LIMIT, each movement is
#: looked up through the index, whatever the number of lines in the table.
ITS_LINE: Final = """
SELECT l.number FROM statement_line AS l JOIN statement AS s ON s.mchid = l.mchid AND s.statement_id = l.statement_id
WHERE l.mchid = $1 AND l.syssn = m.number AND (l.type = 'payment') = (m.type = 'payment')
  AND (m.type <> 'payment' OR l.wallet_ref = '' OR m.wallet_ref = '' OR l.wallet_ref = m.wallet_ref)
  AND s.account_id = $2 AND s.kind = 'transactions' AND s.superseded_at IS NULL
LIMIT 1
"""
#: Only movements whose last possible day and the day after it have current statements. $5 is the slack.
MISSING: Final = f"""
WITH moved AS MATERIALIZED ({MOVED}), movement AS ({MOVEMENTS}), stored AS (
    SELECT s.day, s.statement_id FROM statement AS s
    JOIN statement AS next ON next.mchid = s.mchid AND next.account_id = s.account_id AND next.kind = s.kind
        AND next.day = s.day + 1 AND next.superseded_at IS NULL
    WHERE s.mchid = $1 AND s.account_id = $2 AND s.kind = 'transactions' AND s.superseded_at IS NULL
)
SELECT m.*, stored.day, stored.statement_id
FROM movement AS m
JOIN stored ON stored.day = ((m.until_at + $5::interval) AT TIME ZONE INTERVAL '8 hours')::date
LEFT JOIN LATERAL ({ITS_LINE}) AS line ON true
WHERE line.number IS NULL
"""


@dataclass(frozen=True, slots=True)
class MissingMovement:
    """A movement of ours that no statement has, and the statement of its last possible day."""

    record: Record
    day: date
    statement_id: str


async def rows_of_lines(
    connection: "Connection", statement: Statement, lines: Sequence[StatementLine]
) -> OurRows:
    """The rows of the statement's account that these lines may be about."""
    key = statement.mchid, statement.account_id, list({line.syssn for line in lines})
    payments = [_payment(row) for row in await connection.fetch(PAYMENTS, *key)]
    refunds = [_refund(row) for row in await connection.fetch(REFUNDS, *key)]
    return OurRows(
        payments={row.syssn: row for row in payments},
        refunds={row.syssn: row for row in refunds},
        reversals=[_reversal(row) for row in await connection.fetch(REVERSALS, *key)],
        unmatched=[_unmatched(row) for row in await connection.fetch(UNMATCHED, *key)],
    )


async def copies_of_lines(
    connection: "Connection", statement: Statement, lines: Sequence[StatementLine]
) -> dict[tuple[LineType, str], list[Copy]]:
    """By type and number, in the order of their days and places: all lines about a movement that has several."""
    numbers = list({line.syssn for line in lines})
    key = statement.mchid, statement.account_id, numbers, statement.kind
    found: dict[tuple[LineType, str], list[Copy]] = {}
    for row in await connection.fetch(COPIES, *key):
        copy = Copy(row["statement_id"], row["day"], row["number"], row["wallet_ref"])
        found.setdefault((LineType(row["type"]), row["syssn"]), []).append(copy)
    return found


async def missing_movements(
    connection: "Connection", statement: Statement
) -> AsyncIterator[list[MissingMovement]]:
    """Pages of movements that were booked on the statement's day or the day before or after it."""
    start = datetime.combine(statement.day, time(), UTC8)
    times: tuple[Any, ...] = start - DAY, start + 2 * DAY, MIDNIGHT_SLACK
    cursor = await connection.cursor(MISSING, statement.mchid, statement.account_id, *times)
    while rows := await cursor.fetch(PAGE):
        yield [_missing(row) for row in rows]


def _money(row: "asyncpg.Record") -> Money:
    return Money(row["amount_minor"], row["currency"])


def _payment(row: "asyncpg.Record") -> PaymentRow:
    return PaymentRow(
        syssn=row["syssn"],
        amount=_money(row),
        state=State(row["state"]),
        wallet_ref=row["wallet_ref"],
        is_reversed=row["is_reversed"],
        created_at=row["created_at"],
        paid_at=row["paid_at"],
    )


def _refund(row: "asyncpg.Record") -> RefundRow:
    return RefundRow(row["syssn"], _money(row), RefundState(row["state"]), row["created_at"], row["done_at"])


def _reversal(row: "asyncpg.Record") -> ReversalRow:
    return ReversalRow(
        syssn=row["syssn"],
        payment_syssn=row["payment_syssn"],
        amount=_money(row),
        state=ReversalState(row["state"]),
        action=ReversalAction(row["action"]) if row["action"] else None,
        created_at=row["created_at"],
        changed_at=row["changed_at"],
    )


def _unmatched(row: "asyncpg.Record") -> UnmatchedRow:
    return UnmatchedRow(
        subject_id=row["subject_id"],
        syssn=row["syssn"],
        amount=_money(row),
        state=UnmatchedState(row["state"]),
        wallet_ref=row["wallet_ref"],
        booked_at=row["booked_at"],
        asked_at=row["asked_at"],
        returned_at=row["returned_at"],
    )


def _missing(row: "asyncpg.Record") -> MissingMovement:
    record = Record(
        kind=RecordKind(row["name"]),
        type=LineType(row["type"]),
        number=row["number"],
        syssn=row["syssn"],
        amount=_money(row),
        state=row["state"],
        money=Movement.MOVED,
        wallet_ref=row["wallet_ref"],
        from_at=row["from_at"],
        until_at=row["until_at"],
    )
    return MissingMovement(record, row["day"], row["statement_id"])
