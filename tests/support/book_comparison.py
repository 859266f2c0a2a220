"""Compares our book with the wallet's once nothing is due in a `World`. The wallet's book is the reference."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tael.ledger.domain.entries import EntryKind
from tael.operations.store import Store
from tael.payments.domain.payment import State
from tael.payments.domain.refund import RefundState
from tael.payments.domain.reversal import ReversalState
from tests.support.store import all_entries
from tests.support.world import World


@dataclass
class Book:
    """Our book, from the ledger and from the rows, which must agree."""

    paid: dict[str, tuple[int, int]]
    refunds: dict[str, int]
    undecided: list[str]
    webhooks: Counter[str] = field(default_factory=Counter)
    net_of_ledger: dict[str, int] = field(default_factory=dict)


async def our_book(store: Store) -> Book:
    payments = await store.database.fetch("SELECT * FROM payment")
    refunds = await store.database.fetch("SELECT * FROM refund")
    reversals = await store.database.fetch("SELECT * FROM reversal")
    webhooks = await store.database.fetch("SELECT kind, state FROM webhook")
    undecided = [row["syssn"] for row in payments if row["state"] == State.PENDING or row["reserved_minor"]]
    undecided += [row["syssn"] for row in refunds if row["state"] == RefundState.PROCESSING]
    undecided += [row["syssn"] for row in reversals if row["state"] == ReversalState.PENDING]
    book = Book(
        paid={
            row["syssn"]: (row["amount_minor"], row["refunded_minor"])
            for row in payments
            if row["state"] == State.PAID
        },
        refunds={row["syssn"]: row["amount_minor"] for row in refunds if row["state"] == RefundState.DONE},
        undecided=undecided,
        webhooks=Counter(f"{row['kind']} {row['state']}" for row in webhooks),
    )
    payment_of = {row["syssn"]: row["payment_syssn"] for row in (*refunds, *reversals)}
    for entry in await all_entries(store):
        came = entry.kind is EntryKind.PAYMENT
        syssn = entry.cause if came else payment_of[entry.cause]
        moved = entry.amount.amount_minor if came else -entry.amount.amount_minor
        book.net_of_ledger[syssn] = book.net_of_ledger.get(syssn, 0) + moved
    return book


def compare(world: World, book: Book, where: str) -> None:
    """An order that was reversed before we booked it as paid counts as no money on either side."""
    wallets = world.wallet.book()
    unseen = {syssn for syssn, (came, back) in wallets.items() if came == back and syssn not in book.paid}
    assert book.undecided == [], where
    assert book.paid == {syssn: sums for syssn, sums in wallets.items() if syssn not in unseen}, where
    assert book.refunds == world.wallet.refund_book(), where
    assert book.net_of_ledger == {syssn: came - back for syssn, (came, back) in book.paid.items()}, where
    assert len(world.wallet.trades) <= 1, where
    assert_delivered(world.received, book, where)


def assert_delivered(received: Sequence[bytes], book: Book, where: str) -> None:
    """Every queued webhook was delivered, and repeats are the same bytes."""
    assert not [state for state in book.webhooks if state.endswith("DUE")], where
    delivered = sum(times for state, times in book.webhooks.items() if state.endswith("DELIVERED"))
    assert len(set(received)) == delivered, where
