"""A crash at any word that leaves the process neither loses nor doubles money: the jobs finish every story.

The process dies at its first word to database, wallet or merchant, then at its second, until none is left; each time
another process does the jobs, and the wallet's own book must agree with ours.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tael.domain.ledger import EntryKind
from tael.domain.payment import State
from tael.domain.paytype import PAY_TYPES, Wallet
from tael.domain.refund import RefundState
from tael.domain.reversal import ReversalState
from tael.service.gateway import Gateway
from tael.service.notices import receive_notice
from tael.store.store import Store
from tests.support.crashing import Process, Side
from tests.support.fake_wallet import Payer
from tests.support.store import all_entries
from tests.support.values import ALIPAY_ONLINE, BARCODE, ONLINE
from tests.support.world import Story, World, close, new_world, pay, refund, reverse

#: More words than any story has.
LONGEST_STORY = 300
ALIPAY_BARCODE = PAY_TYPES["800108"]


async def pay_by_barcode(world: World, gateway: Gateway) -> None:
    await pay(gateway, BARCODE, "A")


async def pay_online(world: World, gateway: Gateway) -> None:
    await pay(gateway, ALIPAY_ONLINE, "A")


async def pay_and_be_told(world: World, gateway: Gateway) -> None:
    payment = await pay(gateway, ONLINE, "A")
    world.wallet.confirm(payment.syssn)
    await receive_notice(Wallet.WECHAT, "wechat1", {}, payment.syssn.encode(), gateway)


async def pay_and_refund_twice(world: World, gateway: Gateway) -> None:
    payment = await pay(gateway, BARCODE, "A")
    await refund(gateway, payment, "R1", 30)
    await refund(gateway, payment, "R2", 70)


async def pay_and_reverse(world: World, gateway: Gateway) -> None:
    await reverse(gateway, await pay(gateway, ALIPAY_BARCODE, "A"))


async def open_and_close(world: World, gateway: Gateway) -> None:
    await close(gateway, await pay(gateway, ONLINE, "A"))


STORIES = [
    Story("pay by barcode", Payer.PAYS, pay_by_barcode),
    Story("pay by barcode with a password", Payer.PAYS_WHEN_ASKED, pay_by_barcode),
    Story("a barcode without money", Payer.HAS_NO_MONEY, pay_by_barcode),
    Story("a barcode that is never confirmed", Payer.WAITS, pay_by_barcode),
    Story("a barcode confirmed as it expires", Payer.BEATS_THE_CLOSE, pay_by_barcode),
    Story(
        "a barcode confirmed as it expires, Alipay",
        Payer.BEATS_THE_CLOSE,
        pay_by_barcode,
        remembers_paid=True,
    ),
    Story("pay online", Payer.PAYS, pay_online),
    Story("pay online and be told by a notice", Payer.WAITS, pay_and_be_told),
    Story("an online order that expires", Payer.WAITS, pay_online),
    Story("an online order paid as it expires", Payer.BEATS_THE_CLOSE, pay_online),
    Story("refund twice", Payer.PAYS, pay_and_refund_twice),
    Story("refund twice, done later", Payer.PAYS, pay_and_refund_twice, refund_takes_asking=True),
    Story("reverse what was paid", Payer.PAYS, pay_and_reverse),
    Story("reverse what was not paid", Payer.WAITS, pay_and_reverse),
    Story("reverse what is paid meanwhile", Payer.BEATS_THE_CLOSE, pay_and_reverse),
    Story("reverse what was paid, Alipay", Payer.PAYS, pay_and_reverse, remembers_paid=True),
    Story(
        "reverse what is paid meanwhile, Alipay", Payer.BEATS_THE_CLOSE, pay_and_reverse, remembers_paid=True
    ),
    Story("close what was not paid", Payer.WAITS, open_and_close),
    Story("close what is paid meanwhile", Payer.BEATS_THE_CLOSE, open_and_close),
]


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as captured:
        yield captured


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("story", STORIES, ids=str)
async def test_a_crash_at_the_nth_word_neither_loses_nor_doubles_money(
    story: Story, side: Side, store: Store, logs: list[EventDict]
) -> None:
    await store.database.execute("UPDATE app SET notify_url = 'http://shop', tells_offline = true")
    for nth in count(1):
        assert nth < LONGEST_STORY
        process = Process(nth, side)
        world = new_world(store, story)
        await world.live(story, process)
        await world.restart()
        compare(world, await our_book(store), f"{side} word {nth}")
        if not process.is_dead:
            break
        await forget(store)
    assert nth > 5
    assert not [event for event in logs if event["event"] == "incident"]


@dataclass
class Book:
    """Ours: from the ledger and from the rows, which must agree."""

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
    """The wallet is the judge. An order undone before we ever booked it as paid is no money for either side."""
    wallets = world.wallet.book()
    unseen = {syssn for syssn, (came, back) in wallets.items() if came == back and syssn not in book.paid}
    assert book.undecided == [], where
    assert book.paid == {syssn: sums for syssn, sums in wallets.items() if syssn not in unseen}, where
    assert book.refunds == world.wallet.refund_book(), where
    assert book.net_of_ledger == {syssn: came - back for syssn, (came, back) in book.paid.items()}, where
    assert len(world.wallet.trades) <= 1, where
    assert_told(world.heard, book, where)


def assert_told(heard: Sequence[bytes], book: Book, where: str) -> None:
    """Whatever is queued was told, and repeats are the same bytes."""
    assert not [state for state in book.webhooks if state.endswith("DUE")], where
    delivered = sum(times for state, times in book.webhooks.items() if state.endswith("DELIVERED"))
    assert len(set(heard)) == delivered, where


async def forget(store: Store) -> None:
    """An empty book for the next crash."""
    for table in ("payment", "refund", "reversal", "reference", "ledger_entry", "webhook", "incident"):
        await store.database.execute(f"DELETE FROM {table}")
