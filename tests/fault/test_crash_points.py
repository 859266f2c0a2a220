"""A crash at any word that leaves the process neither loses nor doubles money: the jobs finish every story.

The process dies at its first word to database, wallet or merchant, then at its second, until none is left; each time
another process does the jobs, and the wallet's own book must agree with ours.
"""

from collections.abc import Iterator
from itertools import count

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tael.base.pay_types import PAY_TYPES, Wallet
from tael.operations.store import Store
from tael.payments.gateway import Gateway
from tael.payments.notices import receive_notice
from tests.support.book_comparison import compare, our_book
from tests.support.crashing import Process, Side
from tests.support.fake_wallet import Payer
from tests.support.values import ALIPAY_ONLINE, BARCODE, ONLINE
from tests.support.world import Story, World, close, new_world, pay, refund, reverse

#: More words than any story has.
MAX_STORY = 300
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
    await store.database.execute("UPDATE app SET notify_url = 'http://shop', notify_offline = true")
    for nth in count(1):
        assert nth < MAX_STORY
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


async def forget(store: Store) -> None:
    """An empty book for the next crash."""
    for table in ("payment", "refund", "reversal", "reference", "ledger_entry", "webhook", "incident"):
        await store.database.execute(f"DELETE FROM {table}")
