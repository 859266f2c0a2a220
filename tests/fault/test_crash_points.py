"""A crash at any side effect neither loses nor doubles money: the jobs finish every scenario.

The process crashes at its first call to database, wallet or merchant, then at its second, until none is left. Each time
another process runs the jobs, and the wallet's book must agree with ours. `make test-crash-full` checks every crash,
also those that end in a state checked before (`tests/support/crash_states.py`).
"""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tael.base.pay_types import PAY_TYPES
from tael.operations.store import Store
from tael.payments.context import PaymentContext
from tael.payments.notices import notified_account, receive_notice
from tests.support.book_comparison import compare, our_book
from tests.support.crash_states import CrashStates, each_crash
from tests.support.fake_wallet import Payer
from tests.support.values import ALIPAY_ONLINE, BARCODE, ONLINE
from tests.support.world import Scenario, World, close, pay, refund, reverse

ALIPAY_BARCODE = PAY_TYPES["800108"]


async def pay_by_barcode(world: World, gateway: PaymentContext) -> None:
    await pay(gateway, BARCODE, "A")


async def pay_online(world: World, gateway: PaymentContext) -> None:
    await pay(gateway, ALIPAY_ONLINE, "A")


async def pay_and_receive_notice(world: World, gateway: PaymentContext) -> None:
    payment = await pay(gateway, ONLINE, "A")
    world.wallet.confirm(payment.syssn)
    account = await notified_account("wechat", "wechat1", gateway)
    await receive_notice(account, {}, payment.syssn.encode(), gateway)


async def pay_and_refund_twice(world: World, gateway: PaymentContext) -> None:
    payment = await pay(gateway, BARCODE, "A")
    await refund(gateway, payment, "R1", 30)
    await refund(gateway, payment, "R2", 70)


async def pay_and_reverse(world: World, gateway: PaymentContext) -> None:
    await reverse(gateway, await pay(gateway, ALIPAY_BARCODE, "A"))


async def open_and_close(world: World, gateway: PaymentContext) -> None:
    await close(gateway, await pay(gateway, ONLINE, "A"))


SCENARIOS = [
    Scenario("pay by barcode", Payer.PAYS, pay_by_barcode),
    Scenario("pay by barcode with a password", Payer.PAYS_BEFORE_QUERY, pay_by_barcode),
    Scenario("a barcode without money", Payer.HAS_NO_MONEY, pay_by_barcode),
    Scenario("a barcode that is never confirmed", Payer.WAITS, pay_by_barcode),
    Scenario("a barcode confirmed as it expires", Payer.BEATS_THE_CLOSE, pay_by_barcode),
    Scenario(
        "a barcode confirmed as it expires, Alipay",
        Payer.BEATS_THE_CLOSE,
        pay_by_barcode,
        remembers_paid=True,
    ),
    Scenario("pay online", Payer.PAYS, pay_online),
    Scenario("pay online, reported with a notice", Payer.WAITS, pay_and_receive_notice),
    Scenario("an online order that expires", Payer.WAITS, pay_online),
    Scenario("an online order paid as it expires", Payer.BEATS_THE_CLOSE, pay_online),
    Scenario("refund twice", Payer.PAYS, pay_and_refund_twice),
    Scenario("refund twice, done later", Payer.PAYS, pay_and_refund_twice, is_refund_delayed=True),
    Scenario("reverse what was paid", Payer.PAYS, pay_and_reverse),
    Scenario("reverse what was not paid", Payer.WAITS, pay_and_reverse),
    Scenario("reverse what is paid meanwhile", Payer.BEATS_THE_CLOSE, pay_and_reverse),
    Scenario("reverse what was paid, Alipay", Payer.PAYS, pay_and_reverse, remembers_paid=True),
    Scenario(
        "reverse what is paid meanwhile, Alipay", Payer.BEATS_THE_CLOSE, pay_and_reverse, remembers_paid=True
    ),
    Scenario("close what was not paid", Payer.WAITS, open_and_close),
    Scenario("close what is paid meanwhile", Payer.BEATS_THE_CLOSE, open_and_close),
]


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as captured:
        yield captured


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_a_crash_at_any_side_effect_neither_loses_nor_doubles_money(
    scenario: Scenario, store: Store, crash_states: CrashStates, logs: list[EventDict]
) -> None:
    await store.directory.execute("UPDATE app SET notify_url = 'http://shop', notify_offline = true")
    async for world, where in each_crash(scenario, store, crash_states):
        await world.restart()
        compare(world, await our_book(store), where)
    assert not [event for event in logs if event["event"] == "incident"]
