"""Rows that hang at one wallet, or for one account, do not delay the others in a worker."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from tael.base.pay_types import PAY_TYPES
from tael.base.transport import Transport
from tael.channels.base import Channel, ChannelOrder, ChannelRefund
from tael.channels.outcomes import Outcome, Paid, RefundOutcome, ReversalOutcome, Unknown
from tael.db.database import StoreUnavailable
from tael.jobs.polling import ACCOUNT_SLOTS, CHANNEL_SLOTS, polling_jobs
from tael.jobs.runner import run_for_ever, run_once
from tael.operations.store import Store
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import State
from tests.integration.payments.test_recording import gateway_over, over_channels
from tests.support.alipay import TestClock
from tests.support.fake_wallet import FakeWallet
from tests.support.services import services_of
from tests.support.store import current, opened
from tests.support.values import AMOUNT, BARCODE, NOW, ORIGIN, a_merchant, a_payment, a_wechat_account

ALIPAY_BARCODE = PAY_TYPES["800108"]
DUE = NOW + timedelta(minutes=1)
PATIENCE_S = 20.0


@dataclass
class HangingWallet(FakeWallet):
    """Answers no query of the accounts in `hangs` until `release` is set; the others' payments are paid."""

    hangs: set[str] = field(default_factory=set)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    in_flight: Counter[str] = field(default_factory=Counter)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    breaks: bool = False

    async def query(self, order: ChannelOrder) -> Outcome:
        if self.breaks:
            raise StoreUnavailable("gone")
        return await self._answer(order)

    async def _answer(self, order: ChannelOrder) -> Outcome:
        account_id = order.account.account_id
        if account_id in self.hangs:
            async with self.changed:
                self.in_flight[account_id] += 1
                self.changed.notify_all()
            await self.release.wait()
            return Unknown("too late")
        return Paid(AMOUNT, f"trade-{order.syssn}", "payer-1", self.clock.now())

    async def reverse(self, order: ChannelOrder) -> ReversalOutcome:
        await self._answer(order)
        return Unknown("too late")

    async def query_refund(self, order: ChannelRefund) -> RefundOutcome:
        await self._answer(order.order)
        return Unknown("too late")

    async def until_in_flight(self, **accounts: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(lambda: all(self.in_flight[a] >= n for a, n in accounts.items()))


@pytest.fixture
async def two_shops(store: Store) -> Store:
    await store.merchants.add_merchant(a_merchant("mch2"), ORIGIN)
    await store.accounts.add(a_wechat_account("wechat2", "mch2", "1900000111"), ORIGIN)
    return store


def gateway_to(wallet: HangingWallet, store: Store) -> PaymentContext:
    clock = TestClock(DUE)
    channels: dict[str, Channel] = dict.fromkeys(("alipay_mapi", "wechat_v2"), wallet)
    return over_channels(gateway_over(store), channels, clock)


@asynccontextmanager
async def working(gateway: PaymentContext, wallet: HangingWallet) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(
        run_for_ever(polling_jobs(services_of(gateway, Transport()).unmatched), gateway.clock, stop)
    )
    try:
        yield
    finally:
        stop.set()
        wallet.release.set()
        await asyncio.wait_for(running, PATIENCE_S)


async def until_paid(store: Store, syssn: str, mchid: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await store.payments.by_syssn(mchid, syssn)
            if found is not None and found.state is State.PAID:
                return
            await asyncio.sleep(0.02)


async def test_while_a_wallet_hangs_with_a_long_queue_payments_at_the_other_are_polled(
    two_shops: Store,
) -> None:
    wallet = HangingWallet(TestClock(DUE), hangs={"wechat1", "wechat2"})
    for _ in range(ACCOUNT_SLOTS + 20):
        for account, mchid in (("wechat1", "mch1"), ("wechat2", "mch2")):
            await opened(two_shops, a_payment(BARCODE, account_id=account, mchid=mchid, check_at=NOW))
    async with working(gateway_to(wallet, two_shops), wallet):
        await wallet.until_in_flight(wechat1=ACCOUNT_SLOTS, wechat2=CHANNEL_SLOTS - ACCOUNT_SLOTS)

        for _ in range(6):
            payment = a_payment(ALIPAY_BARCODE, account_id="alipay-offline", check_at=DUE)
            await opened(two_shops, payment)
            await until_paid(two_shops, payment.syssn, payment.mchid)

        assert wallet.in_flight == {"wechat1": ACCOUNT_SLOTS, "wechat2": CHANNEL_SLOTS - ACCOUNT_SLOTS}


async def test_while_an_account_hangs_with_a_long_queue_another_of_its_wallet_is_polled(
    two_shops: Store,
) -> None:
    wallet = HangingWallet(TestClock(DUE), hangs={"wechat1"})
    for _ in range(CHANNEL_SLOTS + 20):
        await opened(two_shops, a_payment(BARCODE, check_at=NOW))
    async with working(gateway_to(wallet, two_shops), wallet):
        await wallet.until_in_flight(wechat1=ACCOUNT_SLOTS)

        payment = a_payment(BARCODE, account_id="wechat2", mchid="mch2", check_at=DUE)
        await opened(two_shops, payment)
        await until_paid(two_shops, payment.syssn, payment.mchid)

        assert wallet.in_flight == {"wechat1": ACCOUNT_SLOTS}


async def test_a_row_that_fails_returns_its_accounts_place(store: Store) -> None:
    broken = HangingWallet(TestClock(DUE), breaks=True)
    for _ in range(ACCOUNT_SLOTS + 5):
        await opened(store, a_payment(BARCODE, check_at=NOW))
    gateway = gateway_to(broken, store)
    (job,) = [
        job
        for job in polling_jobs(services_of(gateway, Transport()).unmatched)
        if job.name == "poll.payments.wechat_v2"
    ]
    assert [await run_once(job, gateway.clock) for _ in range(3)] == [ACCOUNT_SLOTS, 5, 0]


async def test_a_queried_payment_of_a_hanging_account_is_polled_next(
    store: Store,
) -> None:
    wallet = HangingWallet(TestClock(DUE))
    waiting = [await opened(store, a_payment(BARCODE, check_at=NOW)) for _ in range(ACCOUNT_SLOTS + 20)]
    await store.database.execute("UPDATE payment SET has_initial_response = true, checked_at = $1", NOW)
    wanted = waiting[-1]
    await store.payments.expedite(wanted.mchid, [wanted.syssn], DUE, DUE)
    gateway = gateway_to(wallet, store)
    (job,) = [
        job
        for job in polling_jobs(services_of(gateway, Transport()).unmatched)
        if job.name == "poll.payments.wechat_v2"
    ]
    real_now = datetime.now(UTC)
    (first,) = await job.claim(DUE, real_now, real_now + timedelta(seconds=15), 1)
    assert first.syssn == wanted.syssn
    await job.do(first)
    assert (await current(store, wanted)).state is State.PAID
