"""Everything that an audit reads, as it stood at one moment: pages of rows inside one snapshot that locks nobody.

Rows come as they lie in the tables, each page after the key of the last row before it.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tael.domain.audit import Missing, OrderRows, PaymentRow, RefundRow, ReversalRow, StrayRow
from tael.domain.chain_audit import Chain
from tael.domain.day_seal import DaySeal, Line
from tael.store.database import Database
from tael.store.day_seals import lines_between
from tael.store.ledger import LINE_COLUMNS, line_of

if TYPE_CHECKING:
    import asyncpg

    from tael.store.database import Connection

PAGE: Final = 1_000
#: No entry is written outside these instants.
SINCE: Final = datetime(1, 1, 2, tzinfo=UTC)
UNTIL: Final = datetime(9999, 12, 30, tzinfo=UTC)

PAYMENTS: Final = """
SELECT mchid, syssn, state, amount_minor, currency, account_id, fee_rate_ppm, refunded_minor, reserved_minor,
    refund_count, reversal_syssn, is_reversed, check_at IS NOT NULL AS is_watched, changed_at
FROM payment WHERE (mchid, syssn) > ($1, $2) ORDER BY mchid, syssn LIMIT $3
"""
REFUNDS: Final = """
SELECT r.mchid, r.syssn, r.payment_syssn, r.state, r.amount_minor, r.currency, r.refunded_before_minor, r.changed_at
FROM unnest($1::text[], $2::text[]) AS w (mchid, payment_syssn) JOIN refund AS r USING (mchid, payment_syssn)
ORDER BY r.syssn
"""
REVERSALS: Final = """
SELECT r.mchid, r.syssn, r.payment_syssn, r.state, r.amount_minor, r.changed_at
FROM unnest($1::text[], $2::text[]) AS w (mchid, payment_syssn) JOIN reversal AS r USING (mchid, payment_syssn)
ORDER BY r.syssn
"""
LINES_OF: Final = f"""
SELECT {LINE_COLUMNS} FROM unnest($1::text[], $2::text[]) AS w (mchid, cause) JOIN ledger_entry USING (mchid, cause)
ORDER BY at, cause, kind
"""
STRAY_COLUMNS: Final = (
    "mchid, cause, kind, digest, stray_syssn, stray, amount_minor, currency, account_id, "
    "greatest(at, asked_at, returned_at) AS changed_at"
)
STRAYS_OF: Final = f"""
SELECT {STRAY_COLUMNS} FROM unnest($1::text[], $2::text[]) AS w (mchid, cause) JOIN incident USING (mchid, cause)
WHERE stray NOT IN ('NONE', 'DISPROVED')
"""
STRAYS: Final = f"""
SELECT {STRAY_COLUMNS} FROM incident
WHERE (mchid, cause, kind, digest) > ($1, $2, $3, $4) AND stray NOT IN ('NONE', 'DISPROVED')
ORDER BY mchid, cause, kind, digest LIMIT $5
"""
#: An entry's cause is a payment, refund, reversal, or stray money.
LINES: Final = f"""
SELECT l.*,
    EXISTS (SELECT FROM payment AS p WHERE p.mchid = l.mchid AND p.syssn = l.cause)
    OR EXISTS (SELECT FROM refund AS r WHERE r.mchid = l.mchid AND r.syssn = l.cause)
    OR EXISTS (SELECT FROM reversal AS v WHERE v.mchid = l.mchid AND v.syssn = l.cause)
    OR EXISTS (SELECT FROM incident AS i
        WHERE i.mchid = l.mchid AND i.stray_syssn = l.cause AND i.stray_syssn <> '') AS has_cause
FROM (
    SELECT {LINE_COLUMNS} FROM ledger_entry
    WHERE (mchid, cause, kind) > ($1, $2, $3) ORDER BY mchid, cause, kind LIMIT $4
) AS l ORDER BY l.mchid, l.cause, l.kind
"""
#: Which rows are named, by whom, and whether they are there. Each statement is walked by its first two columns.
NAMED: Final = (
    """
SELECT n.mchid, n.reference AS key, 'payment' AS of, n.payment_syssn AS syssn, 'reference ' || n.reference AS named_by,
    EXISTS (SELECT FROM payment AS p WHERE p.mchid = n.mchid AND p.syssn = n.payment_syssn) AS is_there
FROM reference AS n WHERE (n.mchid, n.reference) > ($1, $2) ORDER BY n.mchid, n.reference LIMIT $3
""",
    """
SELECT n.mchid, n.reference AS key, 'refund' AS of, n.refund_syssn AS syssn, 'reference ' || n.reference AS named_by,
    EXISTS (SELECT FROM refund AS r WHERE r.mchid = n.mchid AND r.syssn = n.refund_syssn) AS is_there
FROM reference AS n WHERE (n.mchid, n.reference) > ($1, $2) ORDER BY n.mchid, n.reference LIMIT $3
""",
    """
SELECT n.mchid, n.syssn AS key, 'payment' AS of, n.payment_syssn AS syssn, 'refund ' || n.syssn AS named_by,
    EXISTS (SELECT FROM payment AS p WHERE p.mchid = n.mchid AND p.syssn = n.payment_syssn) AS is_there
FROM refund AS n WHERE (n.mchid, n.syssn) > ($1, $2) ORDER BY n.mchid, n.syssn LIMIT $3
""",
    """
SELECT n.mchid, n.syssn AS key, 'payment' AS of, n.payment_syssn AS syssn, 'reversal ' || n.syssn AS named_by,
    EXISTS (SELECT FROM payment AS p WHERE p.mchid = n.mchid AND p.syssn = n.payment_syssn) AS is_there
FROM reversal AS n WHERE (n.mchid, n.syssn) > ($1, $2) ORDER BY n.mchid, n.syssn LIMIT $3
""",
)
CHAINS: Final = """
SELECT m.mchid, s.mchid IS NOT NULL AS is_kept, s.next_day
FROM (SELECT mchid FROM merchant UNION SELECT mchid FROM sealing UNION SELECT mchid FROM seal) AS m
LEFT JOIN sealing AS s USING (mchid) ORDER BY m.mchid
"""
SEALS: Final = """
SELECT mchid, day, digest, previous, entries, sealed_at FROM seal
WHERE mchid = $1 AND ($2::date IS NULL OR day > $2) ORDER BY day LIMIT $3
"""

Key = tuple[str, str]


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator["Snapshot"]:
    """The books as they stand now, however long they are read. Raises StoreUnavailable."""
    async with (
        database.connection(is_long=True) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield Snapshot(connection)


class Snapshot:
    """The tables of money at one moment."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def orders(self) -> AsyncIterator[tuple[OrderRows, Sequence[StrayRow]]]:
        """Every payment with what belongs to it, and the stray money that came for its order."""
        async for page in self._pages(PAYMENTS, ("", ""), ("mchid", "syssn")):
            for order in await self._with_rows([_payment_of(row) for row in page]):
                yield order

    async def strays(self) -> AsyncIterator[tuple[StrayRow, Sequence[Line]]]:
        """All stray money that was not disproved, and its entries."""
        key = ("mchid", "cause", "kind", "digest")
        async for page in self._pages(STRAYS, ("", "", "", ""), key):
            strays = [_stray_of(row) for row in page]
            lines = await self._lines_of((one.mchid, one.stray_syssn) for one in strays if one.stray_syssn)
            for stray in strays:
                yield stray, lines.get((stray.mchid, stray.stray_syssn), ())

    async def lines(self) -> AsyncIterator[tuple[Line, bool]]:
        """Every entry, and whether there is a row that it is about."""
        async for page in self._pages(LINES, ("", "", ""), ("mchid", "cause", "kind")):
            for row in page:
                yield line_of(row), row["has_cause"]

    async def missing(self) -> AsyncIterator[Missing]:
        """Rows that merchants' numbers, refunds or reversals name, and that are gone."""
        for statement in NAMED:
            async for page in self._pages(statement, ("", ""), ("mchid", "key")):
                for row in page:
                    if row["syssn"] is not None and not row["is_there"]:
                        yield Missing(row["of"], row["mchid"], row["syssn"], row["named_by"])

    async def chains(self) -> list[Chain]:
        """One for each merchant that there is, or was."""
        rows = await self._connection.fetch(CHAINS)
        return [Chain(row["mchid"], row["is_kept"], row["next_day"]) for row in rows]

    async def seals(self, mchid: str) -> AsyncIterator[DaySeal]:
        """A merchant's seals, oldest first."""
        after = None
        while rows := await self._connection.fetch(SEALS, mchid, after, PAGE):
            for row in rows:
                yield DaySeal(**row)
            after = rows[-1]["day"]

    def lines_in_order(self, mchid: str) -> AsyncGenerator[Line, None]:
        """A merchant's entries in the order in which days are digested."""
        return lines_between(self._connection, mchid, SINCE, UNTIL)

    async def _pages(
        self, statement: str, after: tuple[str, ...], key: Sequence[str]
    ) -> AsyncIterator[list["asyncpg.Record"]]:
        while rows := await self._connection.fetch(statement, *after, PAGE):
            yield rows
            after = tuple(rows[-1][column] for column in key)

    async def _with_rows(self, payments: Sequence[PaymentRow]) -> list[tuple[OrderRows, Sequence[StrayRow]]]:
        keys = [(payment.mchid, payment.syssn) for payment in payments]
        refunds, refund_keys = defaultdict[Key, list[RefundRow]](list), []
        for row in await self._of(REFUNDS, keys):
            refunds[row["mchid"], row["payment_syssn"]].append(_refund_of(row))
            refund_keys.append((row["mchid"], row["syssn"]))
        reversals, reversal_keys = defaultdict[Key, list[ReversalRow]](list), []
        for row in await self._of(REVERSALS, keys):
            reversals[row["mchid"], row["payment_syssn"]].append(_reversal_of(row))
            reversal_keys.append((row["mchid"], row["syssn"]))
        strays = defaultdict[Key, list[StrayRow]](list)
        for row in await self._of(STRAYS_OF, keys):
            strays[row["mchid"], row["cause"]].append(_stray_of(row))
        lines = await self._lines_of([*keys, *refund_keys, *reversal_keys])
        orders: list[tuple[OrderRows, Sequence[StrayRow]]] = []
        for payment, key in zip(payments, keys, strict=True):
            its_refunds, its_reversals = refunds.get(key, []), reversals.get(key, [])
            causes = [
                payment.syssn,
                *(one.syssn for one in its_refunds),
                *(one.syssn for one in its_reversals),
            ]
            its_lines = [line for cause in causes for line in lines.get((payment.mchid, cause), ())]
            orders.append((OrderRows(payment, its_refunds, its_reversals, its_lines), strays.get(key, ())))
        return orders

    async def _lines_of(self, causes: Iterable[Key]) -> Mapping[Key, Sequence[Line]]:
        lines = defaultdict[Key, list[Line]](list)
        for row in await self._of(LINES_OF, list(causes)):
            lines[row["mchid"], row["cause"]].append(line_of(row))
        return lines

    async def _of(self, statement: str, keys: Sequence[Key]) -> list["asyncpg.Record"]:
        rows: list[Any] = await self._connection.fetch(
            statement, [mchid for mchid, _ in keys], [number for _, number in keys]
        )
        return rows


def _payment_of(row: "asyncpg.Record") -> PaymentRow:
    return PaymentRow(**row)


def _refund_of(row: "asyncpg.Record") -> RefundRow:
    return RefundRow(
        syssn=row["syssn"],
        payment_syssn=row["payment_syssn"],
        state=row["state"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        refunded_before_minor=row["refunded_before_minor"],
        changed_at=row["changed_at"],
    )


def _reversal_of(row: "asyncpg.Record") -> ReversalRow:
    return ReversalRow(
        syssn=row["syssn"],
        payment_syssn=row["payment_syssn"],
        state=row["state"],
        amount_minor=row["amount_minor"],
        changed_at=row["changed_at"],
    )


def _stray_of(row: "asyncpg.Record") -> StrayRow:
    """Money that is only suspected need not have an amount yet."""
    return StrayRow(
        mchid=row["mchid"],
        stray_syssn=row["stray_syssn"],
        cause=row["cause"],
        state=row["stray"],
        amount_minor=row["amount_minor"] or 0,
        currency=row["currency"] or "",
        account_id=row["account_id"],
        changed_at=row["changed_at"],
    )
