"""A sample of all orders of events over the services and a real PostgreSQL, at two gateways; each ends in one story.

Dice with a seed choose what begins next and whose question or answer goes on. All orders there are, over the pure
domain: `tests/property/test_interleavings.py`.
"""

import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from tael.domain.errors import TaelError
from tael.domain.incident import IncidentKind
from tael.domain.payment import Payment
from tael.domain.paytype import PAY_TYPES, PayType, Wallet
from tael.service.gateway import Gateway
from tael.service.notices import receive_notice
from tael.service.settling import settle_payment
from tael.store.store import Store
from tests.support.alipay import TestClock
from tests.support.crashing import Process
from tests.support.fake_wallet import FakeWallet, Payer
from tests.support.gates import GatedChannel, Gates
from tests.support.two_books import compare, our_book
from tests.support.values import MCHID, NOW
from tests.support.world import World, close, pay, refund, reverse

SEEDS = range(12)
REFERENCE = "A"
#: More choices than any order of these events has.
MOST_CHOICES = 200
#: What a merchant asks about a payment is decided once its first question is answered.
WAIT_FOR_THE_ANSWER = ("close", "reversal", "refund")
Begin = Callable[[], Coroutine[Any, Any, object]]


@dataclass
class Street:
    """One payment, and everybody who does something about it."""

    world: World
    gates: Gates
    gateways: tuple[Gateway, Gateway]
    pay_type: PayType
    dice: random.Random

    def gateway(self) -> Gateway:
        return self.dice.choice(self.gateways)

    async def payment(self) -> Payment:
        found = await self.world.watch.payments.by_reference(MCHID, REFERENCE)
        assert found is not None
        return found

    def begin(self) -> dict[str, Begin]:
        events: dict[str, Begin] = {
            "payer pays": self._payer_pays,
            "close": self._close,
            "reversal": self._reverse,
            "refund": self._refund,
            "settle": self._settle,
            "sixteen seconds pass": self._sixteen_seconds,
            "expire": self._expire,
        }
        if self.pay_type.is_online:
            events |= {"notice": self._notice, "notice again": self._notice}
        return events

    async def open(self) -> None:
        await pay(self.gateway(), self.pay_type, REFERENCE)

    async def _payer_pays(self) -> None:
        self.world.wallet.confirm((await self.payment()).syssn)

    async def _close(self) -> None:
        await close(self.gateway(), await self.payment())

    async def _reverse(self) -> None:
        with suppress(TaelError):  # of an online order, or one whose part went back
            await reverse(self.gateway(), await self.payment())

    async def _refund(self) -> None:
        with suppress(TaelError):  # of an order that is not paid yet
            await refund(self.gateway(), await self.payment(), "R", 40)

    async def _settle(self) -> None:
        await settle_payment(await self.payment(), self.gateway())

    async def _notice(self) -> None:
        """Wallets tell of money only."""
        payment = await self.payment()
        trade = self.world.wallet.trades.get(payment.syssn)
        if trade is not None and trade.is_paid:
            await receive_notice(
                payment.pay_type.wallet, payment.account_id, {}, payment.syssn.encode(), self.gateway()
            )

    async def _sixteen_seconds(self) -> None:
        self.world.clock.at += timedelta(seconds=16)

    async def _expire(self) -> None:
        self.world.clock.at = (await self.payment()).expires_at + timedelta(seconds=1)


def street_of(store: Store, pay_type: PayType, seed: int) -> Street:
    clock = TestClock(NOW)
    remembers_paid = pay_type.wallet is Wallet.ALIPAY and not pay_type.is_online
    world = World(store, clock, FakeWallet(clock, Payer.WAITS, remembers_paid=remembers_paid))
    gates = Gates()
    channel = GatedChannel(world.wallet, gates)
    channels = {Wallet.ALIPAY: channel, Wallet.WECHAT: channel}
    one, other = (replace(world.gateway(Process()), channels=channels) for _ in range(2))
    return Street(world, gates, (one, other), pay_type, random.Random(seed))


async def live(street: Street) -> list[str]:
    """Everything in the order that the dice choose; what was chosen, for a reader of a failure."""
    dice, gates, chosen = street.dice, street.gates, ["open"]
    opening = gates.start(street.open())
    await gates.quiet()
    left = street.begin()
    for _ in range(MOST_CHOICES):
        choices = len(left) + len(gates.waiting)
        if not choices:
            await gates.results()
            return chosen
        choice = dice.randrange(choices)
        if choice < len(left):
            name = list(left)[choice]
            gates.start(left.pop(name)(), after=opening if name in WAIT_FOR_THE_ANSWER else None)
        else:
            name = f"gate {choice - len(left)}"
            gates.release(choice - len(left))
        chosen.append(name)
        await gates.quiet()
    raise AssertionError(f"it never ends: {chosen}")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("code", sorted(PAY_TYPES))
async def test_an_order_of_events_ends_in_one_story_over_the_real_store(
    code: str, seed: int, store: Store
) -> None:
    await store.database.execute("UPDATE app SET notify_url = 'http://shop', tells_offline = true")
    street = street_of(store, PAY_TYPES[code], seed)
    chosen = await live(street)
    await street.world.restart()

    compare(street.world, await our_book(store), ", ".join(chosen))
    kinds = {incident.kind for incident in await store.incidents.newest(None, with_resolved=True, most=10)}
    assert kinds <= {IncidentKind.LATE_MONEY}, chosen
