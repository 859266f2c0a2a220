"""A crash while a payer switches wallets never leaves two payable orders, and the payer can continue."""

from datetime import timedelta

import pytest

from tael.base.pay_types import PayType
from tael.operations.store import Store
from tael.payments.checkout import choose, find_checkout, open_link
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import Payment, State
from tests.support.book_comparison import our_book
from tests.support.crash_states import CrashStates, each_crash
from tests.support.crashing import Process
from tests.support.fake_wallet import Payer
from tests.support.values import ALIPAY_ONLINE, AMOUNT, APPCODE, MCHID, NOW, ONLINE, a_link
from tests.support.world import Scenario, World, end_leases, run_jobs_of

MAX_TRIES = 10
LINK = a_link(expires_at=NOW + timedelta(hours=12))


async def choose_by(pay_type: PayType, gateway: PaymentContext) -> Payment:
    known = await gateway.wallets.credentials.app(APPCODE)
    assert known is not None
    await open_link(LINK, known.merchants[MCHID], gateway)
    checkout = await find_checkout(MCHID, LINK.link_id, gateway)
    assert checkout is not None
    return await choose(checkout, pay_type, gateway)


async def change_twice(world: World, gateway: PaymentContext) -> None:
    await choose_by(
        ONLINE, gateway
    )  # on lines of their own: a state knows the line at which the story stopped
    assert len(payable(world)) <= 1
    await choose_by(ALIPAY_ONLINE, gateway)
    assert len(payable(world)) <= 1
    await choose_by(ONLINE, gateway)
    assert len(payable(world)) <= 1


CHANGING = Scenario("switch wallets twice", Payer.WAITS, change_twice, jobs_follow=False)


def payable(world: World) -> list[str]:
    """The orders in the wallets' book that a payer could pay now."""
    return [
        syssn for syssn, trade in world.wallet.trades.items() if not trade.is_closed and not trade.is_paid
    ]


async def go_on(world: World, pay_type: PayType) -> Payment:
    """The payer returns later and chooses this wallet until there is an order to pay."""
    await end_leases(world.watch)
    services = world.services(Process())
    gateway = services.payments
    for _ in range(MAX_TRIES):
        world.clock.at += timedelta(minutes=1)
        await run_jobs_of("poll.payments", services, world.clock)
        order = await choose_by(pay_type, gateway)
        assert len(payable(world)) <= 1
        if order.pay_type == pay_type and order.state is State.PENDING and order.pay is not None:
            return order
    raise AssertionError("the payer never gets an order")


@pytest.mark.parametrize("last", [ONLINE, ALIPAY_ONLINE], ids=lambda pay_type: pay_type.code)
async def test_a_crash_while_wallets_change_leaves_at_most_one_order_and_the_payer_can_continue(
    last: PayType, store: Store, crash_states: CrashStates
) -> None:
    await store.directory.execute("UPDATE app SET notify_url = 'http://shop'")
    async for world, _ in each_crash(CHANGING, store, crash_states):
        assert len(payable(world)) <= 1
        order = await go_on(world, last)
        assert payable(world) == [order.syssn]
        world.wallet.confirm(order.syssn)
        await world.restart()
        book = await our_book(store)
        assert book.undecided == []
        assert set(book.paid) == set(world.wallet.book()) == {order.syssn}
        assert book.net_of_ledger == {order.syssn: AMOUNT.amount_minor}
    assert crash_states.runs > 30
