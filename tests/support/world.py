"""A world for crash tests: one merchant, one honest wallet, a clock that tests move, and processes that may die.

What happens in it is done by the services and jobs as they are; only what surrounds the gateway is of this file.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from tael.base.cipher import Cipher
from tael.base.errors import TaelError
from tael.base.pay_types import PayType, Wallet
from tael.jobs.runner import run_once
from tael.main import Services, all_jobs, services_over
from tael.operations.store import Store, store_over
from tael.payments.closes import CloseRequest, close_payment
from tael.payments.domain.page_urls import pages_below
from tael.payments.domain.payment import Payment
from tael.payments.gateway import Gateway
from tael.payments.notices import NoticeRefused, receive_notice
from tael.payments.opening import PaymentRequest, open_payment
from tael.payments.refunds import RefundRequest, refund_payment
from tael.payments.reversals import ReversalRequest, reverse_payment
from tests.support.alipay import TestClock
from tests.support.crashing import Crash, CrashingChannel, CrashingDatabase, CrashingTransport, Process
from tests.support.fake_wallet import FakeWallet, Payer
from tests.support.store import ENCRYPTION_KEY, NODE
from tests.support.values import AMOUNT, APPCODE, MCHID, NOW

#: How the jobs are called that have the next due row, and when that is.
NEXT_DUE: Final = """
SELECT job, at FROM (
    SELECT 'poll.payments' AS job, min(check_at) AS at FROM payment
    UNION ALL SELECT 'poll.refunds', min(check_at) FROM refund
    UNION ALL SELECT 'poll.reversals', min(check_at) FROM reversal
    UNION ALL SELECT 'poll.unmatched_payments', min(check_at) FROM incident
    UNION ALL SELECT 'webhooks', min(deliver_at) FROM webhook) AS due
WHERE at IS NOT NULL ORDER BY at LIMIT 1
"""
#: Leases end in real time, which no test waits for: this is that moment.
END_LEASES: Final = tuple(
    f"UPDATE {table} SET lease_until = NULL WHERE lease_until IS NOT NULL"
    for table in ("payment", "refund", "reversal", "incident", "webhook")
)
MAX_ROUNDS: Final = 60
BARCODE_TEXT: Final = "134567890123456789"


@dataclass
class World:
    """`watch` is a store that no crash reaches: what a test itself looks at."""

    watch: Store
    clock: TestClock
    wallet: FakeWallet
    heard: list[bytes] = field(default_factory=list)
    returns_unmatched_payments: bool = True

    def services(self, process: Process) -> Services:
        """The services inside `process`."""
        store = store_over(CrashingDatabase(self.watch.database, process), Cipher(ENCRYPTION_KEY), NODE)
        channel = CrashingChannel(self.wallet, process)
        return services_over(
            store,
            {Wallet.ALIPAY: channel, Wallet.WECHAT: channel},
            CrashingTransport(process, self.heard),
            self.clock,
            pages_below("http://127.0.0.1:8000", ENCRYPTION_KEY),
            returns_unmatched_payments=self.returns_unmatched_payments,
        )

    def gateway(self, process: Process) -> Gateway:
        """The gateway inside `process`."""
        return self.services(process).gateway

    async def live(self, story: "Story", process: Process) -> None:
        """The story and the jobs after it, until all is quiet or the process dies."""
        services = self.services(process)
        with suppress(Crash):
            await story.tell(self, services.gateway)
            await self.send_notices(services.gateway)
            await self.run_jobs_until_idle(services, process)

    async def restart(self) -> None:
        """Another process finishes what the dead one began."""
        await end_leases(self.watch)
        process = Process()
        services = self.services(process)
        await self.send_notices(services.gateway)
        await self.run_jobs_until_idle(services, process)

    async def send_notices(self, gateway: Gateway) -> None:
        """The wallet tells of money that it took unasked, until it is acknowledged."""
        for about in sorted(self.wallet.owed):
            with suppress(NoticeRefused):
                await self.send_notice(gateway, about)
                self.wallet.owed.discard(about)

    async def send_notice(self, gateway: Gateway, about: str) -> None:
        """One notice of the trade with this name in the wallet's book. Raises NoticeRefused."""
        order = self.wallet.trades[about].order
        await receive_notice(order.pay_type.wallet, order.account.account_id, {}, about.encode(), gateway)

    async def run_jobs_until_idle(self, services: Services, process: Process) -> None:
        await run_jobs_until_idle(services, self.watch, self.clock, process)


async def end_leases(watch: Store) -> None:
    for statement in END_LEASES:
        await watch.database.execute(statement)


async def run_jobs_of(name: str, services: Services, clock: TestClock) -> None:
    """The jobs whose names begin so, once, with whatever is due now."""
    for job in all_jobs(services):
        if job.name.startswith(name):
            await run_once(job, clock)


async def run_jobs_until_idle(services: Services, watch: Store, clock: TestClock, process: Process) -> None:
    """Do what is due and move the clock to what comes next, with ever longer naps of the worker in between."""
    nap = timedelta(seconds=5)
    for _ in range(MAX_ROUNDS):
        rows = await watch.database.fetch(NEXT_DUE)
        if not rows:
            return
        if rows[0]["at"] > clock.at:
            clock.at = max(rows[0]["at"], clock.at + nap)
            nap *= 6
        await run_jobs_of(rows[0]["job"], services, clock)
        if process.is_dead:  # a job outlives what goes wrong with a row; a dead process does not
            raise Crash
    raise AssertionError("the jobs never come to rest")


@dataclass(frozen=True)
class Story:
    """What a merchant asks for, and what the payer does about it."""

    name: str
    payer: Payer
    tell: Callable[[World, Gateway], Awaitable[object]]
    refund_takes_asking: bool = False
    remembers_paid: bool = False

    def __str__(self) -> str:
        return self.name


def new_world(store: Store, story: Story) -> World:
    """A world at its first moment; `store` holds the merchant and no payment."""
    clock = TestClock(NOW)
    wallet = FakeWallet(
        clock,
        story.payer,
        refund_takes_asking=story.refund_takes_asking,
        remembers_paid=story.remembers_paid,
    )
    return World(store, clock, wallet)


# ---- what merchants ask for --------------------------------------------------------------------------------------


async def pay(gateway: Gateway, pay_type: PayType, reference: str) -> Payment:
    known = await gateway.credentials.app(APPCODE)
    assert known is not None
    ask = PaymentRequest(
        context=known,
        merchant=known.merchants[MCHID],
        pay_type=pay_type,
        reference=reference,
        amount=AMOUNT,
        auth_code="" if pay_type.is_online else BARCODE_TEXT,
        openid="",
        subject="a thing",
        client_time="2026-01-02 11:04:05",
        device="",
        expires_after_s=None,
    )
    return await open_payment(ask, gateway)


async def refund(gateway: Gateway, payment: Payment, reference: str, amount_minor: int) -> None:
    known = await gateway.credentials.app(APPCODE)
    assert known is not None
    ask = RefundRequest(
        known.merchants[MCHID], payment.syssn, reference, amount_minor, "2026-01-02 12:04:05", ""
    )
    await refund_payment(ask, gateway)


async def reverse(gateway: Gateway, payment: Payment) -> None:
    known = await gateway.credentials.app(APPCODE)
    assert known is not None
    await reverse_payment(
        ReversalRequest(known.merchants[MCHID], payment.syssn, "", payment.amount.amount_minor, ""), gateway
    )


async def close(gateway: Gateway, payment: Payment) -> None:
    """A payer may be faster; the merchant then hears why not."""
    known = await gateway.credentials.app(APPCODE)
    assert known is not None
    with suppress(TaelError):
        await close_payment(CloseRequest(known.merchants[MCHID], payment.syssn, ""), gateway)
