"""A world for crash tests: one merchant, one correct wallet, a clock that tests move, and processes that may crash.

It runs the real services and jobs; only the gateway's surroundings are replaced.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from traceback import walk_tb
from typing import Final

from tael.base.errors import TaelError
from tael.base.pay_types import PayType, Wallet
from tael.db.serials import Serials
from tael.jobs.runner import run_once
from tael.main import all_jobs
from tael.operations.store import Store, store_over
from tael.payments.closes import CloseRequest, close_payment
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import Payment
from tael.payments.notices import NoticeRefused, notified_account, receive_notice
from tael.payments.opening import PaymentRequest, open_payment
from tael.payments.refunds import RefundRequest, refund_payment
from tael.payments.reversals import ReversalRequest, reverse_payment
from tael.services import Services, ServiceSettings, services_over
from tests.support.alipay import TestClock
from tests.support.crashing import Crash, CrashingChannel, CrashingDatabase, CrashingTransport, Process
from tests.support.fake_wallet import FakeWallet, Payer
from tests.support.store import CIPHER, NODE
from tests.support.values import AMOUNT, APPCODE, MCHID, NOW

#: The job that has the next due row, and when it is due; daily reminders, which never end, aside.
NEXT_DUE: Final = """
SELECT job, at FROM (
    SELECT 'poll.payments' AS job, min(check_at) AS at FROM payment
    UNION ALL SELECT 'poll.refunds', min(check_at) FROM refund
    UNION ALL SELECT 'poll.reversals', min(check_at) FROM reversal
    UNION ALL SELECT 'poll.unmatched_payments', min(check_at) FROM unmatched_payment
        WHERE state <> 'HELD' OR check_at < remind_at
    UNION ALL SELECT 'webhooks', min(deliver_at) FROM webhook) AS due
WHERE at IS NOT NULL ORDER BY at LIMIT 1
"""
#: Leases end in real time, for which no test waits: this ends them at once.
END_LEASES: Final = "; ".join(
    f"UPDATE {table} SET lease_until = NULL WHERE lease_until IS NOT NULL"
    for table in ("payment", "refund", "reversal", "unmatched_payment", "webhook", "statement")
)
MAX_ROUNDS: Final = 60
BARCODE_TEXT: Final = "134567890123456789"


@dataclass
class World:
    """`watch` is a store that no crash reaches, for the test's own reads."""

    watch: Store
    clock: TestClock
    wallet: FakeWallet
    received: list[bytes] = field(default_factory=list)
    stopped_at: tuple[str, ...] = ()  #: where in the scenario the process crashed; empty if it ran to its end

    def services(self, process: Process) -> Services:
        """The services inside `process`."""
        database = CrashingDatabase(self.watch.database, process)
        cell = self.watch.cell
        serials = Serials(database, NODE, middle_step, cell=cell)
        store = replace(
            store_over(CrashingDatabase(self.watch.directory, process), database, CIPHER, NODE, cell=cell),
            serials=serials,
        )
        return services_over(
            store,
            {
                "alipay_mapi": CrashingChannel(
                    self.wallet, process, Wallet.ALIPAY, refunds_single_trades=False
                ),
                "wechat_v2": CrashingChannel(self.wallet, process, Wallet.WECHAT),
            },
            CrashingTransport(process, self.received),
            self.clock,
            ServiceSettings("http://127.0.0.1:8000"),
        )

    def gateway(self, process: Process) -> PaymentContext:
        """The gateway inside `process`."""
        return self.services(process).payments

    async def live(self, scenario: "Scenario", process: Process) -> None:
        """Run the scenario and then the jobs, until nothing is due or the process crashes."""
        services = self.services(process)
        try:
            await scenario.run(self, services.payments)
            if scenario.jobs_follow:
                await self.send_notices(services.payments)
                await self.run_jobs_until_idle(services, process)
        except Crash as crash:
            self.stopped_at = position_in(scenario, crash)

    async def restart(self) -> None:
        """Another process finishes what the crashed one began."""
        await end_leases(self.watch)
        process = Process()
        services = self.services(process)
        await self.send_notices(services.payments)
        await self.run_jobs_until_idle(services, process)

    async def send_notices(self, gateway: PaymentContext) -> None:
        """The wallet sends its notices until they are acknowledged."""
        for trade in sorted(self.wallet.unacknowledged):
            with suppress(NoticeRefused):
                await self.send_notice(gateway, trade)
                self.wallet.unacknowledged.discard(trade)

    async def send_notice(self, gateway: PaymentContext, trade: str) -> None:
        """Send one notice of the trade with this name in the wallet's book. Raises NoticeRefused."""
        order = self.wallet.trades[trade].order
        account = await notified_account(order.account.wallet, order.account.account_id, gateway)
        await receive_notice(account, {}, trade.encode(), gateway)

    async def run_jobs_until_idle(self, services: Services, process: Process) -> None:
        await run_jobs_until_idle(services, self.watch, self.clock, process)


def middle_step(maximum: int) -> int:
    """Replaces the random step, so that a scenario gets the same numbers each time."""
    return (maximum + 1) // 2


def position_in(scenario: "Scenario", crash: Crash) -> tuple[str, ...]:
    """The lines of `World.live` and of the scenario that were being executed: everything else follows from them."""
    ours = (World.live.__code__, scenario.run.__code__)
    return tuple(
        f"{frame.f_code.co_name}:{line}"
        for frame, line in walk_tb(crash.__traceback__)
        if frame.f_code in ours
    )


async def end_leases(watch: Store) -> None:
    await watch.database.execute(END_LEASES)


async def run_jobs_of(name: str, services: Services, clock: TestClock) -> None:
    """Run the jobs whose names start with `name`, once."""
    for job in all_jobs(services):
        if job.name.startswith(name):
            await run_once(job, clock)


async def run_jobs_until_idle(services: Services, watch: Store, clock: TestClock, process: Process) -> None:
    """Run what is due and move the clock to the next due row, by steps of growing length."""
    step = timedelta(seconds=5)
    for _ in range(MAX_ROUNDS):
        rows = await watch.database.fetch(NEXT_DUE)
        if not rows:
            return
        if rows[0]["at"] > clock.at:
            clock.at = max(rows[0]["at"], clock.at + step)
            step *= 6
        await run_jobs_of(rows[0]["job"], services, clock)
        if process.is_dead:  # a job survives an error in a row; a crashed process does not
            raise Crash
    raise AssertionError("the jobs never come to rest")


@dataclass(frozen=True)
class Scenario:
    """What a merchant requests, and what the payer does."""

    name: str
    payer: Payer
    run: Callable[[World, PaymentContext], Awaitable[object]]
    is_refund_delayed: bool = False
    remembers_paid: bool = False
    jobs_follow: bool = True

    def __str__(self) -> str:
        return self.name


def new_world(store: Store, scenario: Scenario) -> World:
    """A new world; `store` holds the merchant and no payment."""
    clock = TestClock(NOW)
    wallet = FakeWallet(
        clock,
        scenario.payer,
        is_refund_delayed=scenario.is_refund_delayed,
        remembers_paid=scenario.remembers_paid,
    )
    return World(store, clock, wallet)


# ---- the merchant's requests -------------------------------------------------------------------------------------


async def pay(gateway: PaymentContext, pay_type: PayType, reference: str) -> Payment:
    known = await gateway.wallets.credentials.app(APPCODE)
    assert known is not None
    request = PaymentRequest(
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
    return await open_payment(request, gateway)


async def refund(gateway: PaymentContext, payment: Payment, reference: str, amount_minor: int) -> None:
    known = await gateway.wallets.credentials.app(APPCODE)
    assert known is not None
    request = RefundRequest(
        known.merchants[MCHID], payment.syssn, reference, amount_minor, "2026-01-02 12:04:05", ""
    )
    await refund_payment(request, gateway)


async def reverse(gateway: PaymentContext, payment: Payment) -> None:
    known = await gateway.wallets.credentials.app(APPCODE)
    assert known is not None
    await reverse_payment(
        ReversalRequest(known.merchants[MCHID], payment.syssn, "", payment.amount.amount_minor, ""), gateway
    )


async def close(gateway: PaymentContext, payment: Payment) -> None:
    """Close, unless the payer was faster: that refusal is ignored."""
    known = await gateway.wallets.credentials.app(APPCODE)
    assert known is not None
    with suppress(TaelError):
        await close_payment(CloseRequest(known.merchants[MCHID], payment.syssn, ""), gateway)
