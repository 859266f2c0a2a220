"""A scene for stories of stray and late money: one gateway, a wallet that may lie, and what an operator sees."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tael.audit.verification import audit_books
from tael.base.money import Money
from tael.channels.outcomes import Outcome, Paid
from tael.incidents.domain.incident import Incident
from tael.main import Services
from tael.operations.store import Store
from tael.payments.domain.payment import Payment, State
from tael.payments.gateway import Gateway
from tael.payments.notices import NoticeRefused
from tests.support.alipay import TestClock
from tests.support.crashing import Process
from tests.support.fake_wallet import FakeWallet, Payer
from tests.support.store import all_entries, current
from tests.support.unmatched import (
    Presentment,
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
    """One gateway that nothing crashes, and the wallet that it talks to."""

    world: World
    services: Services

    @property
    def gateway(self) -> Gateway:
        return self.services.gateway

    @property
    def store(self) -> Store:
        return self.world.watch

    @property
    def wallet(self) -> FakeWallet:
        return self.world.wallet

    async def come(self, way: Presentment) -> str:
        """Money comes in this way, and the wallet tells us; the name of the trade in its book."""
        self.wallet.payer = way.payer
        await way.come(self.world, self.gateway)
        (about,) = self.wallet.owed
        await self.world.send_notices(self.gateway)
        return about

    async def tell(self, about: str, lie: Outcome | None = None) -> None:
        """One notice, whatever is answered to it."""
        self.wallet.lies = {about: lie} if lie is not None else {}
        with suppress(NoticeRefused):
            await self.world.send_notice(self.gateway, about)
        self.wallet.lies = {}

    async def run_jobs(self) -> None:
        await self.world.run_jobs_until_idle(self.services, Process())

    async def run_unmatched(self, services: Services | None = None) -> None:
        """The job of unmatched payments alone, once, with whatever is due now."""
        await run_jobs_of("poll.unmatched_payments", services or self.services, self.world.clock)

    async def forget(self) -> None:
        """Begin again."""
        for table in ("payment", "reference", "ledger_entry", "incident"):
            await self.store.database.execute(f"DELETE FROM {table}")
        self.wallet.trades.clear()
        self.wallet.refunds_asked.clear()

    async def incidents(self) -> list[Incident]:
        return await self.store.incidents.newest(None, with_resolved=True, limit=100)

    async def incident(self) -> Incident:
        (found,) = await self.incidents()
        return found

    async def unmatched_entries(self) -> list[tuple[str, str, str, Money]]:
        found = [entry for entry in await all_entries(self.store) if entry.kind.value.startswith("unmatched")]
        found.sort(key=lambda entry: (entry.kind, entry.debit, entry.credit, entry.amount.amount_minor))
        return [(entry.kind.value, entry.debit, entry.credit, entry.amount) for entry in found]

    async def assert_nothing_moved(self) -> None:
        assert await self.unmatched_entries() == []
        assert self.wallet.refunds_asked == []
        await self.assert_books_agree()

    async def assert_books_agree(self) -> None:
        audit = await audit_books(self.store.database, wallets_book(self.wallet))
        assert audit.first is None, audit.first


def scene_of(store: Store, *, returns_unmatched_payments: bool = True) -> Scene:
    clock = TestClock(NOW)
    world = World(
        store, clock, FakeWallet(clock, Payer.WAITS), returns_unmatched_payments=returns_unmatched_payments
    )
    return Scene(world, world.services(Process()))


async def ended(scene: Scene, state: State) -> Payment:
    """An online order that nobody paid in time."""
    payment = await pay(scene.gateway, ONLINE, "A")
    if state is State.CLOSED:
        await close(scene.gateway, payment)
    else:
        scene.world.clock.at = payment.expires_at
        await run_jobs_of("poll.payments", scene.services, scene.world.clock)
    found = await current(scene.store, payment)
    assert found.state is state
    return found


class Crowd(Process):
    """A process before whose n-th word another one writes down an attempt at the payment."""

    def __init__(self, store: Store, nth: int) -> None:
        super().__init__()
        self._store = store
        self._nth = nth

    @asynccontextmanager
    async def word(self) -> AsyncIterator[None]:
        async with super().word():
            if self.said == self._nth:
                await self._store.database.execute("UPDATE payment SET version = version + 1")
            yield


def paid_with(amount_minor: int, payment: Payment) -> Paid:
    return Paid(Money(amount_minor, "HKD"), f"trade-{payment.syssn}", "payer-1", NOW)


async def only_payment(scene: Scene) -> Payment:
    (row,) = await scene.store.database.fetch("SELECT syssn FROM payment")
    found = await scene.store.payments.by_syssn(MCHID, row["syssn"])
    assert found is not None
    return found
