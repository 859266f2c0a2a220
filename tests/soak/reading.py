"""Reads the books for `books.py`: ours of every cell with its own SQL; the wallets' from the sandbox."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Self

import asyncpg

from tael.db.cells import schema_of
from tests.soak.rows import (
    EntryRow,
    OurBook,
    PaymentRow,
    RefundRow,
    ReversalRow,
    UnmatchedRow,
    WalletBook,
    WalletRefund,
    WalletTrade,
    WebhookRow,
)
from tests.soak.servers import Server

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

GONE: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
RETRY_S: Final = 0.2
PATIENCE_S: Final = 30.0

#: The due rows, and whether their subject is undecided. What is held is checked once a day for ever: $1 is how long.
DUE: Final = """
SELECT at, is_open FROM (
    SELECT check_at AS at, state = 'PENDING' AS is_open FROM payment
    UNION ALL SELECT check_at, true FROM refund
    UNION ALL SELECT check_at, true FROM reversal
    UNION ALL SELECT check_at, true FROM unmatched_payment WHERE state <> 'HELD' OR check_at < $1
    UNION ALL SELECT deliver_at, true FROM webhook) AS due
WHERE at IS NOT NULL
"""
#: One snapshot: a payment's reserved amount is the sum of its undecided refunds and reversals.
WRONG_RESERVATIONS: Final = """
SELECT p.syssn, p.amount_minor, p.refunded_minor, p.reserved_minor, coalesce(r.held, 0) AS refunds,
    coalesce(v.held, 0) AS reversals
FROM payment AS p
LEFT JOIN (SELECT mchid, payment_syssn, sum(amount_minor) AS held FROM refund WHERE state = 'PROCESSING'
    GROUP BY mchid, payment_syssn) AS r ON r.mchid = p.mchid AND r.payment_syssn = p.syssn
LEFT JOIN (SELECT mchid, payment_syssn, sum(amount_minor) AS held FROM reversal WHERE state = 'PENDING'
    GROUP BY mchid, payment_syssn) AS v ON v.mchid = p.mchid AND v.payment_syssn = p.syssn
WHERE p.reserved_minor <> coalesce(r.held, 0) + coalesce(v.held, 0)
   OR p.refunded_minor + coalesce(r.held, 0) + coalesce(v.held, 0) > p.amount_minor
"""
#: One snapshot: rows of one commit are visible together at all times.
TORN_COMMITS: Final = """
SELECT 'payment ' || p.syssn AS what, 'ledger entry' AS missing FROM payment AS p
WHERE p.state = 'PAID' AND NOT EXISTS (
    SELECT FROM ledger_entry AS e WHERE e.mchid = p.mchid AND e.cause = p.syssn AND e.kind = 'payment')
UNION ALL
SELECT 'payment ' || p.syssn, 'webhook' FROM payment AS p
WHERE p.state = 'PAID' AND p.notify_merchant AND NOT p.is_reversed AND NOT EXISTS (
    SELECT FROM webhook AS h WHERE h.mchid = p.mchid AND h.cause = p.syssn AND h.kind = 'payment')
UNION ALL
SELECT 'refund ' || r.syssn, 'ledger entry' FROM refund AS r
WHERE r.state = 'DONE' AND NOT EXISTS (
    SELECT FROM ledger_entry AS e WHERE e.mchid = r.mchid AND e.cause = r.syssn AND e.kind = 'refund')
UNION ALL
SELECT 'refund ' || r.syssn, 'webhook' FROM refund AS r
JOIN payment AS p ON p.mchid = r.mchid AND p.syssn = r.payment_syssn
WHERE r.state = 'DONE' AND p.notify_merchant AND NOT EXISTS (
    SELECT FROM webhook AS h WHERE h.mchid = r.mchid AND h.cause = r.syssn AND h.kind = 'refund')
"""
LEASED_TABLES: Final = """
SELECT format('%I.%I', table_schema, table_name) AS table_name FROM information_schema.columns
WHERE column_name = 'lease_until' AND table_schema ~ '^(public|cell_[0-9]{2})$'
"""


class CellReader:
    """Reads one cell, and on the first one's server the directory."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._pool: Pool | None = None
        self.patience_s = PATIENCE_S  #: how long the server may be down

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(
            self._server.url,
            min_size=0,
            max_size=3,
            timeout=5,
            command_timeout=20,
            server_settings={"search_path": f"{schema_of(self._server.cell)}, public"},
        )

    def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()

    async def rows(self, sql: str, *values: object) -> list[asyncpg.Record]:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.patience_s
        while True:
            try:
                assert self._pool is not None
                found: list[asyncpg.Record] = await self._pool.fetch(sql, *values)
                return found
            except GONE:
                if loop.time() > until:
                    raise
                await asyncio.sleep(RETRY_S)

    async def end_leases(self) -> None:
        """Release the rows of killed processes at once: a soak does not wait for leases to run out."""
        for row in await self.rows(LEASED_TABLES):
            table = row["table_name"]
            await self.rows(f"UPDATE {table} SET lease_until = NULL WHERE lease_until IS NOT NULL")

    async def leases(self) -> int:
        found = 0
        for row in await self.rows(LEASED_TABLES):
            table = row["table_name"]
            held = await self.rows(
                f"SELECT count(*) AS held FROM {table} WHERE lease_until > $1", datetime.now(UTC)
            )
            found += held[0]["held"]
        return found

    async def paid(self) -> set[str]:
        """The numbers of all payments that are."""
        return {row["syssn"] for row in await self.rows("SELECT syssn FROM payment WHERE state = 'PAID'")}

    async def broken_invariants(self) -> list[str]:
        return [
            f"payment {row['syssn']} of {row['amount_minor']}: {row['refunded_minor']} went back, "
            f"{row['reserved_minor']} is reserved, refunds and reversals in progress are "
            f"{row['refunds']} and {row['reversals']}"
            for row in await self.rows(WRONG_RESERVATIONS)
        ] + [
            f"{row['what']} was written, and its {row['missing']} was not there with it"
            for row in await self.rows(TORN_COMMITS)
        ]


class BookReader:
    """Reads all cells and the directory, not through the wires, and retries while a server is down."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self.cells: Final = [CellReader(server) for server in servers]

    async def __aenter__(self) -> Self:
        for cell in self.cells:
            await cell.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        for cell in self.cells:
            cell.close()

    async def directory_rows(self, sql: str, *values: object) -> list[asyncpg.Record]:
        return await self.cells[0].rows(sql, *values)

    async def rows(self, sql: str, *values: object) -> list[asyncpg.Record]:
        """Of every cell, one after the other."""
        found = await asyncio.gather(*(cell.rows(sql, *values) for cell in self.cells))
        return [row for rows in found for row in rows]

    async def end_leases(self) -> None:
        """In every cell."""
        await asyncio.gather(*(cell.end_leases() for cell in self.cells))

    async def leases(self) -> int:
        return sum(await asyncio.gather(*(cell.leases() for cell in self.cells)))

    async def due(self, held_until: datetime) -> list[asyncpg.Record]:
        """The due rows of all cells in order; what is held counts if it is checked before `held_until`."""
        return sorted(await self.rows(DUE, held_until), key=itemgetter("at"))

    async def ours(self) -> OurBook:
        payments = await self.rows("SELECT * FROM payment")
        refunds = await self.rows("SELECT * FROM refund")
        reversals = await self.rows("SELECT * FROM reversal")
        entries = await self.rows("SELECT * FROM ledger_entry")
        webhooks = await self.rows("SELECT * FROM webhook")
        unmatched = await self.rows("SELECT * FROM unmatched_payment WHERE syssn <> ''")
        new_style = await self.directory_rows("SELECT appcode FROM app WHERE webhook_style = 'new'")
        return OurBook(
            payments=_made(PaymentRow, payments),
            refunds=_made(RefundRow, refunds),
            reversals=_made(ReversalRow, reversals),
            entries=_made(EntryRow, entries),
            webhooks=_made(WebhookRow, webhooks),
            unmatched=_made(UnmatchedRow, unmatched),
            new_style_apps=frozenset(row["appcode"] for row in new_style),
        )


def _made(kind: Any, rows: Sequence[asyncpg.Record]) -> list[Any]:
    """Values of `kind` from columns of the same names."""
    return [kind(**{name: row[name] for name in kind.__slots__}) for row in rows]


def wallets_book(book: dict[str, list[dict[str, Any]]]) -> WalletBook:
    """The sandbox's `GET /control/book`."""
    return WalletBook(
        trades=[
            WalletTrade(row["order"], row["state"], row["amount"], row["currency"], row["refunded"])
            for row in book["trades"]
        ],
        refunds=[
            WalletRefund(row["order"], row["refund_order"], row["state"], row["amount"])
            for row in book["refunds"]
        ],
    )
