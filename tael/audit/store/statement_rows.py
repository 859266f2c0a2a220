"""Reads statements for an audit, page by page: their rows, the sums of their lines, and the entries of both.

The sums are made by the database, because a statement can have hundreds of thousands of lines.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from tael.audit.domain.statement_audit import (
    ConversionRow,
    LineSums,
    RemittanceRow,
    StatementRow,
    StatementRows,
)
from tael.ledger.domain.digest import Line
from tael.ledger.store.entries import LINE

if TYPE_CHECKING:
    import asyncpg

    from tael.db.database import Connection

PAGE: Final = 50

STATEMENTS: Final = """
SELECT mchid, statement_id, kind, superseded_at FROM statement
WHERE (mchid, statement_id) > ($1, $2) ORDER BY mchid, statement_id LIMIT $3
"""
OF: Final = "unnest($1::text[], $2::text[]) AS w (mchid, statement_id)"
REMITTANCES: Final = f"""
SELECT r.mchid, r.remittance_id, r.statement_id, r.account_id, r.currency, r.paid_minor, r.refunded_minor, r.fee_minor,
    r.net_minor, r.superseded_at
FROM {OF} JOIN remittance AS r USING (mchid, statement_id) ORDER BY r.remittance_id
"""
CONVERSIONS: Final = f"""
SELECT c.mchid, c.conversion_id, c.statement_id, c.account_id, c.price_currency, c.price_minor, c.settlement_currency,
    c.settlement_minor, c.superseded_at
FROM {OF} JOIN conversion AS c USING (mchid, statement_id) ORDER BY c.conversion_id
"""
SUMS: Final = f"""
SELECT l.mchid, l.statement_id, l.currency, coalesce(l.settlement_currency, l.currency) AS settlement_currency,
    sum(CASE WHEN l.type = 'payment' THEN l.amount_minor ELSE 0 END) AS paid_minor,
    sum(CASE WHEN l.type = 'payment' THEN 0 ELSE l.amount_minor END) AS refunded_minor,
    sum(CASE WHEN l.type = 'payment' THEN l.fee_micros ELSE -l.fee_micros END) AS fee_micros,
    sum(CASE WHEN l.type = 'payment' THEN l.settlement_minor ELSE -l.settlement_minor END) AS settlement_minor
FROM {OF} JOIN statement_line AS l USING (mchid, statement_id)
GROUP BY l.mchid, l.statement_id, l.currency, coalesce(l.settlement_currency, l.currency)
"""
LINES: Final = f"""
SELECT {LINE.select} FROM unnest($1::text[], $2::text[]) AS w (mchid, cause) JOIN ledger_entry USING (mchid, cause)
ORDER BY cause, kind
"""

Key = tuple[str, str]


async def statements_of(connection: "Connection") -> AsyncIterator[StatementRows]:
    """Every statement, with its rows of all times."""
    after = ("", "")
    while page := await connection.fetch(STATEMENTS, *after, PAGE):
        for rows in await _with_rows(connection, [StatementRow(**row) for row in page]):
            yield rows
        after = (page[-1]["mchid"], page[-1]["statement_id"])


async def _with_rows(connection: "Connection", statements: Sequence[StatementRow]) -> list[StatementRows]:
    keys = [(each.mchid, each.statement_id) for each in statements]
    sums, remittances = defaultdict[Key, list[LineSums]](list), defaultdict[Key, list[RemittanceRow]](list)
    conversions, lines = defaultdict[Key, list[ConversionRow]](list), defaultdict[Key, list[Line]](list)
    for row in await _of(connection, SUMS, keys):
        sums[row["mchid"], row["statement_id"]].append(_sums_of(row))
    statement_of: dict[Key, Key] = {}
    for row in await _of(connection, REMITTANCES, keys):
        remittances[row["mchid"], row["statement_id"]].append(RemittanceRow(**row))
        statement_of[row["mchid"], row["remittance_id"]] = row["mchid"], row["statement_id"]
    for row in await _of(connection, CONVERSIONS, keys):
        conversions[row["mchid"], row["statement_id"]].append(ConversionRow(**row))
        statement_of[row["mchid"], row["conversion_id"]] = row["mchid"], row["statement_id"]
    for row in await _of(connection, LINES, statement_of):
        lines[statement_of[row["mchid"], row["cause"]]].append(LINE.read(row))
    return [
        StatementRows(
            each,
            sums.get(key, []),
            remittances.get(key, []),
            conversions.get(key, []),
            lines.get(key, []),
        )
        for each, key in zip(statements, keys, strict=True)
    ]


def _sums_of(row: "asyncpg.Record") -> LineSums:
    """Sums are of type numeric, so that damaged amounts overflow nothing."""
    return LineSums(
        currency=row["currency"],
        settlement_currency=row["settlement_currency"],
        paid_minor=int(row["paid_minor"]),
        refunded_minor=int(row["refunded_minor"]),
        fee_micros=int(row["fee_micros"]),
        settlement_minor=int(row["settlement_minor"] or 0),
    )


async def _of(connection: "Connection", statement: str, keys: Iterable[Key]) -> list[Any]:
    listed = list(keys)
    rows: list[Any] = await connection.fetch(
        statement, [mchid for mchid, _ in listed], [number for _, number in listed]
    )
    return rows
