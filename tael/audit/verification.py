"""Audits the books: orders, statements and payouts against the ledger, digests against their days, the wallets' books.

Reads one snapshot, changes nothing and takes no locks.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from tael.audit.domain.audit import (
    Balances,
    Disagreement,
    disagreements_of_order,
    expected_of_unmatched,
    missing_row,
    wrong_line,
    wrong_lines,
)
from tael.audit.domain.chain_audit import Chain, previous_of, undigested_line, wrong_end, wrong_link
from tael.audit.domain.payouts import PayoutChain
from tael.audit.domain.statement_audit import disagreements_of_statement
from tael.audit.domain.wallet_book import (
    WalletBook,
    disagreements_with_wallet,
    held_of_unmatched,
    is_completed,
    unknown_orders,
)
from tael.audit.store.snapshot import Snapshot, snapshot
from tael.db.database import Database
from tael.ledger.domain.digest import DigestBuilder, LedgerDigest, day_of


@dataclass(slots=True)
class Audit:
    """Counts and disagreements. `first` is the most specific one: missing rows come before sums."""

    orders: int = 0
    entries: int = 0
    digests: int = 0
    payouts: int = 0
    compared: int = 0  #: orders compared with the wallets' books
    our_orders: set[str] = field(
        default_factory=set
    )  #: the order numbers in the wallets' books that are ours
    held: Counter[str] = field(
        default_factory=Counter
    )  #: what the wallets hold of unmatched payments, by order
    balances: Balances = field(default_factory=Balances)
    disagreements: int = 0
    first: Disagreement | None = None

    def note(self, disagreements: Iterable[Disagreement]) -> None:
        for disagreement in disagreements:
            self.disagreements += 1
            self.first = self.first or disagreement

    def add(self, other: "Audit") -> None:
        """Add the audit of another cell."""
        self.orders += other.orders
        self.entries += other.entries
        self.digests += other.digests
        self.payouts += other.payouts
        self.compared += other.compared
        self.balances.minor.update(other.balances.minor)
        self.our_orders |= other.our_orders
        self.held.update(other.held)
        self.disagreements += other.disagreements
        self.first = self.first or other.first

    def note_unknown_orders(self, book: WalletBook) -> None:
        """Once all cells are audited: an order that is unknown to one may be known to another."""
        self.note(unknown_orders(book, self.held, frozenset(self.our_orders)))


async def audit_books(
    database: Database, book: WalletBook | None = None, mchids: Collection[str] = ()
) -> Audit:
    """Audit the only cell of a deployment, and `book` for unknown orders. As `audit_cell` otherwise."""
    audit = await audit_cell(database, book, mchids)
    if book is not None:
        audit.note_unknown_orders(book)
    return audit


async def audit_cell(
    database: Database, book: WalletBook | None = None, mchids: Collection[str] = ()
) -> Audit:
    """Audit all of a cell in one snapshot; `book` must have been read before. Raises StoreUnavailable.

    `mchids` are the cell's merchants: the days of each must be closed.
    """
    audit = Audit()
    async with snapshot(database) as books:
        async for missing in books.missing():
            audit.note([missing_row(missing)])
        await _orders(books, audit, book)
        await _unmatched(books, audit)
        async for rows in books.statements():
            audit.note(disagreements_of_statement(rows))
        await _payouts(books, audit)
        await _entries(books, audit)
        for chain in await books.chains(mchids):
            await _chain(books, chain, audit)
    return audit


async def _orders(books: Snapshot, audit: Audit, book: WalletBook | None) -> None:
    async for order, unmatched_payments in books.orders():
        audit.orders += 1
        audit.note(disagreements_of_order(order))
        if book is not None:
            audit.compared += is_completed(order, unmatched_payments, book.read_at)
            audit.note(disagreements_with_wallet(order, unmatched_payments, book))
            if order.payment.syssn in book.trades:
                audit.our_orders.add(order.payment.syssn)


async def _unmatched(books: Snapshot, audit: Audit) -> None:
    """Those in progress are orders of ours: what the wallets hold of them changes."""
    async for unmatched, lines in books.unmatched_payments():
        if unmatched.syssn:
            audit.note(wrong_lines(expected_of_unmatched(unmatched), lines))
        if unmatched.state in ("SUSPECTED", "RETURNING"):
            audit.our_orders.add(unmatched.subject_id)
        audit.held[unmatched.subject_id] += held_of_unmatched(unmatched)


async def _payouts(books: Snapshot, audit: Audit) -> None:
    chain = PayoutChain()
    async for payout, sums, lines in books.payouts():
        audit.payouts += 1
        audit.note(chain.disagreements(payout, sums, lines))


async def _entries(books: Snapshot, audit: Audit) -> None:
    async for line, has_cause in books.lines():
        audit.entries += 1
        audit.balances.add(line)
        if not has_cause:
            audit.note([wrong_line(line.mchid, line.cause, None, line)])


async def _chain(books: Snapshot, chain: Chain, audit: Audit) -> None:
    """A merchant's digests and entries side by side, each read once."""
    last: LedgerDigest | None = None
    async with aclosing(books.lines_in_order(chain.mchid)) as lines:
        line = await anext(lines, None)
        async for ledger_digest in books.digests(chain.mchid):
            audit.digests += 1
            while line is not None and day_of(line.at) < ledger_digest.day:
                audit.note([undigested_line(line, day_of(line.at))])
                line = await anext(lines, None)
            digest = DigestBuilder(chain.mchid, ledger_digest.day, previous_of(last))
            while line is not None and day_of(line.at) == ledger_digest.day:
                digest.add(line)
                line = await anext(lines, None)
            audit.note(wrong_link(ledger_digest, last, digest))
            last = ledger_digest
    audit.note(wrong_end(chain, last))
