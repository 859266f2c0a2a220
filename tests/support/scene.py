"""A scene for tests of unmatched and late payments: one gateway and a wallet that may send false notices."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tael.audit.verification import audit_books
from tael.base.money import Money
from tael.channels.outcomes import Outcome, Paid
from tael.incidents.domain.incident import Incident
from tael.operations.store import Store
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import Payment, State
from tael.payments.notices import NoticeRefused
from tael.services import Services
from tael.unmatched.domain.unmatched import UnmatchedPayment, UnmatchedState
from tests.support.alipay import TestClock
from tests.support.crashing import Process
from tests.support.fake_wallet import FakeWallet, Payer
from tests.support.store import all_entries, current
from tests.support.unmatched import (
    UnmatchedCase,
    wallets_book,
)
from tests.support.values import (
    MCHID,
    NOW,
    ONLINE,
)
from tests.support.world import World, close, pay, run_jobs_of


@dataclass
class Scene:
    """One gateway that does not crash, and its wallet."""

    world: World
    services: Services

    @property
    def gateway(self) -> PaymentContext:
        return self.services.payments

    @property
    def store(self) -> Store:
        return self.world.watch

    @property
    def wallet(self) -> FakeWallet:
        return self.world.wallet

    async def receive(self, case: UnmatchedCase) -> str:
        """Let the case's payment arrive and the wallet notify us. Returns the trade's name in the wallet's book."""
        self.wallet.payer = case.payer
        await case.receive(self.world, self.gateway)
        (trade,) = self.wallet.unacknowledged
        await self.world.send_notices(self.gateway)
        return trade

    async def notify(self, trade: str, false_outcome: Outcome | None = None) -> None:
        """Send one notice, with `false_outcome` in place of the true one; its response is ignored."""
        self.wallet.false_notices = {trade: false_outcome} if false_outcome is not None else {}
        with suppress(NoticeRefused):
            await self.world.send_notice(self.gateway, trade)
        self.wallet.false_notices = {}

    async def run_jobs(self) -> None:
        await self.world.run_jobs_until_idle(self.services, Process())

    async def run_unmatched(self, services: Services | None = None) -> None:
        """Run only the job of unmatched payments, once."""
        await run_jobs_of("poll.unmatched_payments", services or self.services, self.world.clock)

    async def reset(self) -> None:
        """Empty our books and the wallet's."""
        for table in ("payment", "reference", "ledger_entry", "incident", "unmatched_payment"):
            await self.store.database.execute(f"DELETE FROM {table}")
        self.wallet.trades.clear()
        self.wallet.refunds_asked.clear()

    async def incidents(self) -> list[Incident]:
        return await self.store.incidents.newest(None, with_resolved=True, limit=100)

    async def incident(self) -> Incident:
        (incident,) = await self.incidents()
        return incident

    async def all_unmatched(self) -> list[UnmatchedPayment]:
        return await self.store.unmatched_payments.newest(None, tuple(UnmatchedState), limit=100)

    async def unmatched(self) -> UnmatchedPayment:
        (unmatched,) = await self.all_unmatched()
        return unmatched

    async def unmatched_entries(self) -> list[tuple[str, str, str, Money]]:
        entries = [
            entry for entry in await all_entries(self.store) if entry.kind.value.startswith("unmatched")
        ]
        entries.sort(key=lambda entry: (entry.kind, entry.debit, entry.credit, entry.amount.amount_minor))
        return [(entry.kind.value, entry.debit, entry.credit, entry.amount) for entry in entries]

    async def assert_nothing_moved(self) -> None:
        assert await self.unmatched_entries() == []
        assert self.wallet.refunds_asked == []
        await self.assert_books_agree()

    async def assert_books_agree(self) -> None:
        audit = await audit_books(self.store.database, wallets_book(self.wallet))
        assert audit.first is None, audit.first


def scene_of(store: Store) -> Scene:
    clock = TestClock(NOW)
    world = World(store, clock, FakeWallet(clock, Payer.WAITS))
    return Scene(world, world.services(Process()))


async def ended(scene: Scene, state: State) -> Payment:
    """An online order that was not paid in time."""
    payment = await pay(scene.gateway, ONLINE, "A")
    if state is State.CLOSED:
        await close(scene.gateway, payment)
    else:
        scene.world.clock.at = payment.expires_at
        await run_jobs_of("poll.payments", scene.services, scene.world.clock)
    found = await current(scene.store, payment)
    assert found.state is state
    return found


class ConcurrentWriter(Process):
    """A process before whose n-th side effect another process updates the payment's row."""

    def __init__(self, store: Store, nth: int) -> None:
        super().__init__()
        self._store = store
        self._nth = nth

    @asynccontextmanager
    async def side_effect(self) -> AsyncIterator[None]:
        async with super().side_effect():
            if self.side_effects == self._nth:
                await self._store.database.execute("UPDATE payment SET version = version + 1")
            yield


def paid_with(amount_minor: int, payment: Payment) -> Paid:
    return Paid(Money(amount_minor, "HKD"), f"trade-{payment.syssn}", "payer-1", NOW)


async def only_payment(scene: Scene) -> Payment:
    (row,) = await scene.store.database.fetch("SELECT syssn FROM payment")
    found = await scene.store.payments.by_syssn(MCHID, row["syssn"])
    assert found is not None
    return found
