"""An account without `close_trade` lets orders expire by themselves, once the wallet's record shows them unpaid."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tael.base.pay_types import PAY_TYPES
from tael.channels.alipay_mapi.account import AlipayAccount
from tael.channels.alipay_mapi.adapter import UNVERIFIED
from tael.channels.outcomes import Outcome, Unknown
from tael.merchants.domain.account import Account
from tael.operations.store import Store
from tael.payments.domain.payment import State
from tael.payments.polling import poll_payment
from tests.support.alipay import TestClock
from tests.support.crashing import Process
from tests.support.fake_wallet import FakeWallet, Payer
from tests.support.values import NOW, ORIGIN
from tests.support.world import World, pay


async def without_close(store: Store) -> None:
    """No Alipay account can close orders."""

    def changed(account: Account) -> Account:
        assert isinstance(account, AlipayAccount)
        return replace(account, supports_close=False)

    assert await store.accounts.change(lambda account: isinstance(account, AlipayAccount), changed, ORIGIN)


@pytest.mark.parametrize("unreadable", [UNVERIFIED, Unknown("TimeoutError"), Unknown("query: SYSTEM_ERROR")])
async def test_an_order_does_not_expire_on_an_unreadable_or_unverified_response(
    store: Store, unreadable: Outcome
) -> None:
    await without_close(store)
    clock = TestClock(NOW)
    wallet = FakeWallet(clock, Payer.WAITS)
    gateway = World(store, clock, wallet).gateway(Process())
    payment = await pay(gateway, PAY_TYPES["800151"], "order-1")
    wallet.confirm(payment.syssn)
    wallet.false_records = {payment.syssn: unreadable}
    clock.at = payment.expires_at + timedelta(hours=1)

    waiting = await poll_payment(payment, gateway)
    assert waiting.state is State.PENDING
    assert waiting.check_at is not None

    wallet.false_records = {}
    assert (await poll_payment(waiting, gateway)).state is State.PAID


async def test_an_order_with_an_unpaid_record_expires_at_the_wallets_deadline(
    store: Store,
) -> None:
    await without_close(store)
    clock = TestClock(NOW)
    gateway = World(store, clock, FakeWallet(clock, Payer.WAITS)).gateway(Process())
    payment = await pay(gateway, PAY_TYPES["800151"], "order-1")
    await gateway.store.payments.note_redirect(payment, clock.at)
    payment = await gateway.store.payments.by_syssn(payment.mchid, payment.syssn) or payment
    clock.at = payment.deadline - timedelta(seconds=1)
    waiting = await poll_payment(payment, gateway)
    assert waiting.state is State.PENDING
    assert waiting.check_at == payment.deadline
    clock.at = payment.deadline
    assert (await poll_payment(waiting, gateway)).state is State.EXPIRED
