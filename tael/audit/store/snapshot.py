"""Reads everything for an audit in one snapshot, page by page, without locks.

Rows are returned as stored. Pages use keyset pagination: each starts after the last key of the page before.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tael.audit.domain.audit import Missing, OrderRows, PaymentRow, RefundRow, ReversalRow, UnmatchedRow
from tael.audit.domain.chain_audit import Chain
from tael.audit.domain.payouts import OWN_KINDS, PayoutRow, PeriodSum
from tael.audit.domain.statement_audit import StatementRows
from tael.audit.store.statement_rows import statements_of
from tael.db.database import Database
from tael.ledger.domain.digest import LedgerDigest, Line, beginning_of
from tael.ledger.store.digests import lines_between
from tael.ledger.store.entries import LINE

if TYPE_CHECKING:
    import asyncpg

    from tael.db.database import Connection

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
SELECT {LINE.select} FROM unnest($1::text[], $2::text[]) AS w (mchid, cause) JOIN ledger_entry USING (mchid, cause)
ORDER BY at, cause, kind
"""
UNMATCHED_COLUMNS: Final = (
    "mchid, unmatched_id, subject_id, syssn, state, amount_minor, currency, account_id, "
    "greatest(at, booked_at, asked_at, returned_at) AS changed_at"
)
UNMATCHED_OF: Final = f"""
SELECT {UNMATCHED_COLUMNS} FROM unnest($1::text[], $2::text[]) AS w (mchid, subject_id)
JOIN unmatched_payment USING (mchid, subject_id)
WHERE state <> 'REFUTED'
"""
UNMATCHED: Final = f"""
SELECT {UNMATCHED_COLUMNS} FROM unmatched_payment
WHERE (mchid, unmatched_id) > ($1, $2) AND state <> 'REFUTED'
ORDER BY mchid, unmatched_id LIMIT $3
"""
#: An entry's cause is a payment, refund, reversal, unmatched payment, remittance, conversion or payout.
LINES: Final = f"""
SELECT l.*,
    EXISTS (SELECT FROM payment AS p WHERE p.mchid = l.mchid AND p.syssn = l.cause)
    OR EXISTS (SELECT FROM refund AS r WHERE r.mchid = l.mchid AND r.syssn = l.cause)
    OR EXISTS (SELECT FROM reversal AS v WHERE v.mchid = l.mchid AND v.syssn = l.cause)
    OR EXISTS (SELECT FROM unmatched_payment AS u
        WHERE u.mchid = l.mchid AND u.syssn = l.cause AND u.syssn <> '')
    OR EXISTS (SELECT FROM remittance AS m WHERE m.mchid = l.mchid AND m.remittance_id = l.cause)
    OR EXISTS (SELECT FROM conversion AS c WHERE c.mchid = l.mchid AND c.conversion_id = l.cause)
    OR EXISTS (SELECT FROM payout AS o WHERE o.mchid = l.mchid AND o.payout_id = l.cause) AS has_cause
FROM (
    SELECT {LINE.select} FROM ledger_entry
    WHERE (mchid, cause, kind) > ($1, $2, $3) ORDER BY mchid, cause, kind LIMIT $4
) AS l ORDER BY l.mchid, l.cause, l.kind
"""
PAYOUTS: Final = f"""
SELECT {", ".join(field.name for field in fields(PayoutRow))} FROM payout
WHERE (mchid, currency, number) > ($1, $2, $3) ORDER BY mchid, currency, number LIMIT $4
"""
#: Of each payout, the entries of its account and period by kind and direction.
PERIOD_SUMS: Final = """
SELECT w.mchid, w.payout_id, e.kind, e.credit = w.account AS is_in, count(*) AS count,
    sum(e.amount_minor) AS amount_minor
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])
    AS w (mchid, payout_id, account, since, until)
JOIN ledger_entry AS e ON e.mchid = w.mchid AND e.at >= w.since AND e.at < w.until
    AND w.account IN (e.debit, e.credit) AND e.kind <> ALL($6)
GROUP BY 1, 2, 3, 4
"""
#: References from one row to another, and whether the target exists. Each statement is paged by its first two columns.
REFERENCES: Final = (
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
    """
SELECT n.mchid, n.unmatched_id AS key, 'unmatched_payment' AS of, n.unmatched_id AS syssn,
    'an incident' AS named_by,
    EXISTS (SELECT FROM unmatched_payment AS u WHERE u.mchid = n.mchid AND u.unmatched_id = n.unmatched_id) AS is_there
FROM (SELECT DISTINCT mchid, unmatched_id FROM incident WHERE unmatched_id <> '') AS n
WHERE (n.mchid, n.unmatched_id) > ($1, $2) ORDER BY n.mchid, n.unmatched_id LIMIT $3
""",
)
STATEMENTS_OF: Final = tuple(
    f"""
SELECT n.mchid, n.{name}_id AS key, 'statement' AS of, n.statement_id AS syssn, '{name} ' || n.{name}_id AS named_by,
    EXISTS (SELECT FROM statement AS s WHERE s.mchid = n.mchid AND s.statement_id = n.statement_id) AS is_there
FROM {name} AS n WHERE (n.mchid, n.{name}_id) > ($1, $2) ORDER BY n.mchid, n.{name}_id LIMIT $3
"""
    for name in ("remittance", "conversion")
)
CHAINS: Final = """
SELECT m.mchid, s.mchid IS NOT NULL AS is_kept, s.next_day
FROM (SELECT unnest($1::text[]) AS mchid UNION SELECT mchid FROM daily_close UNION SELECT mchid FROM ledger_digest) AS m
LEFT JOIN daily_close AS s USING (mchid) ORDER BY m.mchid
"""
DIGESTS: Final = """
SELECT mchid, day, digest, previous, entries, closed_at FROM ledger_digest
WHERE mchid = $1 AND ($2::date IS NULL OR day > $2) ORDER BY day LIMIT $3
"""

Key = tuple[str, str]


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator["Snapshot"]:
    """The books as of now, however long reading takes. Raises StoreUnavailable."""
    async with (
        database.connection(is_long=True) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield Snapshot(connection)


class Snapshot:
    """The money tables at one moment."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def orders(self) -> AsyncIterator[tuple[OrderRows, Sequence[UnmatchedRow]]]:
        """Every payment with its refunds, reversals and entries, and the unmatched payments for its order."""
        async for page in self._pages(PAYMENTS, ("", ""), ("mchid", "syssn")):
            for order in await self._with_rows([_payment_of(row) for row in page]):
                yield order

    async def unmatched_payments(self) -> AsyncIterator[tuple[UnmatchedRow, Sequence[Line]]]:
        """All unmatched payments that were not refuted, with their entries."""
        async for page in self._pages(UNMATCHED, ("", ""), ("mchid", "unmatched_id")):
            unmatched_payments = [_unmatched_of(row) for row in page]
            lines = await self._lines_of(
                (unmatched.mchid, unmatched.syssn) for unmatched in unmatched_payments if unmatched.syssn
            )
            for unmatched in unmatched_payments:
                yield unmatched, lines.get((unmatched.mchid, unmatched.syssn), ())

    async def statements(self) -> AsyncIterator[StatementRows]:
        """Every statement, with what it paid out and converted."""
        async for rows in statements_of(self._connection):
            yield rows

    async def lines(self) -> AsyncIterator[tuple[Line, bool]]:
        """Every entry, and whether its cause exists."""
        async for page in self._pages(LINES, ("", "", ""), ("mchid", "cause", "kind")):
            for row in page:
                yield LINE.read(row), row["has_cause"]

    async def payouts(self) -> AsyncIterator[tuple[PayoutRow, Sequence[PeriodSum], Sequence[Line]]]:
        """All payouts in the order of their chains, with the sums of their periods and their own entries."""
        async for page in self._pages(PAYOUTS, ("", "", 0), ("mchid", "currency", "number")):
            payouts = [PayoutRow(**row) for row in page]
            sums = await self._period_sums(payouts)
            lines = await self._lines_of((payout.mchid, payout.payout_id) for payout in payouts)
            for payout in payouts:
                key = payout.mchid, payout.payout_id
                yield payout, sums.get(key, ()), lines.get(key, ())

    async def missing(self) -> AsyncIterator[Missing]:
        """Missing rows to which references, refunds, reversals, incidents, remittances or conversions refer."""
        for statement in (*REFERENCES, *STATEMENTS_OF):
            async for page in self._pages(statement, ("", ""), ("mchid", "key")):
                for row in page:
                    if row["syssn"] is not None and not row["is_there"]:
                        yield Missing(row["of"], row["mchid"], row["syssn"], row["named_by"])

    async def chains(self, mchids: Collection[str]) -> list[Chain]:
        """One for each of these merchants, and for those with a daily close or ledger digests."""
        rows = await self._connection.fetch(CHAINS, list(mchids))
        return [Chain(row["mchid"], row["is_kept"], row["next_day"]) for row in rows]

    async def digests(self, mchid: str) -> AsyncIterator[LedgerDigest]:
        """A merchant's ledger digests, oldest first."""
        after = None
        while rows := await self._connection.fetch(DIGESTS, mchid, after, PAGE):
            for row in rows:
                yield LedgerDigest(**row)
            after = rows[-1]["day"]

    def lines_in_order(self, mchid: str) -> AsyncGenerator[Line, None]:
        """A merchant's entries in the order in which days are digested."""
        return lines_between(self._connection, mchid, SINCE, UNTIL)

    async def _pages(
        self, statement: str, after: tuple[str | int, ...], key: Sequence[str]
    ) -> AsyncIterator[list["asyncpg.Record"]]:
        while rows := await self._connection.fetch(statement, *after, PAGE):
            yield rows
            after = tuple(rows[-1][column] for column in key)

    async def _with_rows(
        self, payments: Sequence[PaymentRow]
    ) -> list[tuple[OrderRows, Sequence[UnmatchedRow]]]:
        keys = [(payment.mchid, payment.syssn) for payment in payments]
        refunds, refund_keys = defaultdict[Key, list[RefundRow]](list), []
        for row in await self._of(REFUNDS, keys):
            refunds[row["mchid"], row["payment_syssn"]].append(_refund_of(row))
            refund_keys.append((row["mchid"], row["syssn"]))
        reversals, reversal_keys = defaultdict[Key, list[ReversalRow]](list), []
        for row in await self._of(REVERSALS, keys):
            reversals[row["mchid"], row["payment_syssn"]].append(_reversal_of(row))
            reversal_keys.append((row["mchid"], row["syssn"]))
        unmatched_payments = defaultdict[Key, list[UnmatchedRow]](list)
        for row in await self._of(UNMATCHED_OF, keys):
            unmatched_payments[row["mchid"], row["subject_id"]].append(_unmatched_of(row))
        lines = await self._lines_of([*keys, *refund_keys, *reversal_keys])
        orders: list[tuple[OrderRows, Sequence[UnmatchedRow]]] = []
        for payment, key in zip(payments, keys, strict=True):
            its_refunds, its_reversals = refunds.get(key, []), reversals.get(key, [])
            causes = [
                payment.syssn,
                *(refund.syssn for refund in its_refunds),
                *(reversal.syssn for reversal in its_reversals),
            ]
            its_lines = [line for cause in causes for line in lines.get((payment.mchid, cause), ())]
            orders.append(
                (OrderRows(payment, its_refunds, its_reversals, its_lines), unmatched_payments.get(key, ()))
            )
        return orders

    async def _period_sums(self, payouts: Sequence[PayoutRow]) -> Mapping[Key, Sequence[PeriodSum]]:
        rows = await self._connection.fetch(
            PERIOD_SUMS,
            [payout.mchid for payout in payouts],
            [payout.payout_id for payout in payouts],
            [f"merchant:{payout.currency}:{payout.mchid}" for payout in payouts],
            [beginning_of(payout.first_day) for payout in payouts],
            [beginning_of(payout.last_day + timedelta(days=1)) for payout in payouts],
            list(OWN_KINDS),
        )
        sums = defaultdict[Key, list[PeriodSum]](list)
        for row in rows:
            amount_minor = int(row["amount_minor"])
            sums[row["mchid"], row["payout_id"]].append(
                PeriodSum(row["kind"], row["is_in"], row["count"], amount_minor)
            )
        return sums

    async def _lines_of(self, causes: Iterable[Key]) -> Mapping[Key, Sequence[Line]]:
        lines = defaultdict[Key, list[Line]](list)
        for row in await self._of(LINES_OF, list(causes)):
            lines[row["mchid"], row["cause"]].append(LINE.read(row))
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


def _unmatched_of(row: "asyncpg.Record") -> UnmatchedRow:
    """A suspected unmatched payment may have no amount yet."""
    return UnmatchedRow(
        mchid=row["mchid"],
        syssn=row["syssn"],
        subject_id=row["subject_id"],
        state=row["state"],
        amount_minor=row["amount_minor"] or 0,
        currency=row["currency"] or "",
        account_id=row["account_id"],
        changed_at=row["changed_at"],
    )
