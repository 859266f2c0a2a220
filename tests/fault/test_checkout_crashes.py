"""A crash while a payer switches wallets never leaves two payable orders, and the payer can continue."""

from contextlib import suppress
from datetime import timedelta
from itertools import count

import pytest

from tael.base.pay_types import PayType
from tael.operations.store import Store
from tael.payments.checkout import choose, find_checkout, open_link
from tael.payments.domain.payment import Payment, State
from tael.payments.gateway import Gateway
from tests.fault.test_crash_points import reset
from tests.support.book_comparison import our_book
from tests.support.crashing import Crash, Process, Side
from tests.support.fake_wallet import Payer
from tests.support.values import ALIPAY_ONLINE, AMOUNT, APPCODE, MCHID, NOW, ONLINE, a_link
from tests.support.world import END_LEASES, Scenario, World, new_world, run_jobs_of

MAX_SIDE_EFFECTS = 100
MAX_TRIES = 10
LINK = a_link(expires_at=NOW + timedelta(hours=12))


async def choose_by(pay_type: PayType, gateway: Gateway) -> Payment:
    known = await gateway.credentials.app(APPCODE)
    assert known is not None
    await open_link(LINK, known.merchants[MCHID], gateway)
    checkout = await find_checkout(MCHID, LINK.link_id, gateway)
    assert checkout is not None
    return await choose(checkout, pay_type, gateway)


async def change_twice(world: World, gateway: Gateway) -> None:
    for pay_type in (ONLINE, ALIPAY_ONLINE, ONLINE):
        await choose_by(pay_type, gateway)
        assert len(payable(world)) <= 1


CHANGING = Scenario("switch wallets twice", Payer.WAITS, change_twice)


def payable(world: World) -> list[str]:
    """The orders in the wallets' book that a payer could pay now."""
    return [
        syssn for syssn, trade in world.wallet.trades.items() if not trade.is_closed and not trade.is_paid
    ]


async def go_on(world: World, pay_type: PayType) -> Payment:
    """The payer returns later and chooses this wallet until there is an order to pay."""
    for statement in END_LEASES:
        await world.watch.database.execute(statement)
    services = world.services(Process())
    gateway = services.gateway
    for _ in range(MAX_TRIES):
        world.clock.at += timedelta(minutes=1)
        await run_jobs_of("poll.payments", services, world.clock)
        order = await choose_by(pay_type, gateway)
        assert len(payable(world)) <= 1
        if order.pay_type == pay_type and order.state is State.PENDING and order.pay is not None:
            return order
    raise AssertionError("the payer never gets an order")


@pytest.mark.parametrize("last", [ONLINE, ALIPAY_ONLINE], ids=lambda pay_type: pay_type.code)
@pytest.mark.parametrize("side", Side)
async def test_a_crash_while_wallets_change_leaves_at_most_one_order_and_the_payer_can_continue(
    side: Side, last: PayType, store: Store
) -> None:
    await store.database.execute("UPDATE app SET notify_url = 'http://shop'")
    for nth in count(1):
        assert nth < MAX_SIDE_EFFECTS
        process, world = Process(nth, side), new_world(store, CHANGING)
        with suppress(Crash):
            await change_twice(world, world.gateway(process))
        assert len(payable(world)) <= 1

        order = await go_on(world, last)
        assert payable(world) == [order.syssn]
        world.wallet.confirm(order.syssn)
        await world.restart()
        book = await our_book(store)
        assert book.undecided == []
        assert set(book.paid) == set(world.wallet.book()) == {order.syssn}
        assert book.net_of_ledger == {order.syssn: AMOUNT.amount_minor}
        if not process.is_dead:
            break
        await reset(store)
        await store.database.execute("DELETE FROM checkout_link")
    assert nth > 15
