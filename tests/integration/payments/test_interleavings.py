"""A sample of an order's interleavings over the real services and PostgreSQL, two gateways side by side.

The wallet blocks each request before its decision and each response before it returns, so a seed determines the order
of all events. Afterwards jobs run until nothing is due, and the rows are checked as in
`tests/property/test_interleavings.py`. The wallets' rules are those of that test too.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tael.base.pay_types import PAY_TYPES, PayType
from tael.merchants.credential_cache import CredentialCache
from tael.operations.store import Store
from tael.payments.context import InFlightRequests, PaymentContext
from tael.payments.domain.payment import State
from tael.payments.domain.refund import RefundState
from tael.payments.refunds import check_refund
from tael.payments.wallets import Wallets
from tests.support.alipay import TestClock
from tests.support.blocking_wallet import Activity, BlockingWallet
from tests.support.crashing import CrashingTransport, Process
from tests.support.interleaved import Play, final_state_of
from tests.support.services import services_of
from tests.support.store import current
from tests.support.values import KINDS, MCHID, PROTOCOLS
from tests.support.verdict import FEE_RATE_PPM, contradictions
from tests.support.wallet_rules import rules_of
from tests.support.world import end_leases, run_jobs_until_idle

SAMPLE = range(30)
URL = "http://127.0.0.1:8000"


@dataclass
class Stage:
    """Two gateways over one database, one clock, and the logged events."""

    store: Store
    other_store: Store
    events: list[EventDict]
    clock: TestClock = field(default_factory=TestClock)

    def play(self, pay_type: PayType, reference: str, *, gives_back: bool = True) -> Play:
        wallet = BlockingWallet(rules_of(pay_type), self.clock, gives_back)
        opener, other = (self._gateway(store, pay_type, wallet) for store in (self.store, self.other_store))
        return Play(opener, other, wallet, self.clock, pay_type, reference)

    async def contradictions_of(self, play: Play) -> list[str]:
        """The contradictions once nothing is due."""
        await end_leases(self.store)
        services = services_of(play.other, CrashingTransport(Process(), []))
        await run_jobs_until_idle(services, self.store, self.clock, Process())
        return contradictions(await final_state_of(play, self.store, self.events))

    def _gateway(self, store: Store, pay_type: PayType, wallet: BlockingWallet) -> PaymentContext:
        credentials = CredentialCache(store.merchants, store.accounts, store.maintenance_windows)
        channels = dict.fromkeys(PROTOCOLS.values(), wallet)
        wallets = Wallets(channels, credentials, URL)
        return PaymentContext(store, wallets, self.clock, InFlightRequests())


@pytest.fixture
async def stage(store: Store, other_store: Store) -> AsyncIterator[Stage]:
    await store.directory.execute("UPDATE app SET notify_url = 'http://shop', notify_offline = true")
    await store.directory.execute(f"UPDATE wallet_account SET fee_rate_ppm = {FEE_RATE_PPM}")
    with capture_logs() as events:
        yield Stage(store, other_store, events)


every_pay_type = pytest.mark.parametrize("pay_type", KINDS.values(), ids=KINDS)


@every_pay_type
async def test_interleavings_of_real_services_end_consistently(pay_type: PayType, stage: Stage) -> None:
    ends = set()
    for seed in SAMPLE:
        stage.events.clear()
        play = stage.play(pay_type, f"A{seed}")
        await play.at_random(Random(f"{pay_type.code} {seed}"))
        assert await stage.contradictions_of(play) == [], " | ".join(play.order)
        ends.add((await current(stage.store, play.payment)).state)
    assert ends == {State.PAID, State.CLOSED, State.EXPIRED if pay_type.is_online else State.FAILED}


# ---- interleavings that once failed, step by step ----------------------------------------------------------------


async def test_a_swipe_that_arrives_after_its_reversal_is_undone_as_well(stage: Stage) -> None:
    """Alipay's cancel of an unknown order succeeds, and leaves no record."""
    play = stage.play(PAY_TYPES["800108"], "A")
    await play.in_order(["open", "payer"])
    await play.in_order(
        ["reversal"] * 4
    )  # created; queried: no such order; recorded; cancelled at the wallet
    await play.in_order(
        ["open", "reversal", "open"]
    )  # paid at the wallet; the cancel is recorded; the payment is
    assert await stage.contradictions_of(play) == []
    payment = await current(stage.store, play.payment)
    assert (payment.state, payment.is_reversed, payment.refunded_minor) == (State.PAID, True, 100)


async def test_a_response_that_a_reversal_explains_is_no_late_money(stage: Stage) -> None:
    """WeChat reports a paid order as revoked; the job sees that before the reversal and the opening do."""
    play = stage.play(PAY_TYPES["800208"], "A")
    await play.in_order(["open", "payer", "poll"])
    await play.in_order(["reversal", "reversal", "open", "reversal", "reversal"])  # paid before the reverse
    await play.in_order(["poll", "poll", "open", "reversal"])
    assert await stage.contradictions_of(play) == []
    payment = await current(stage.store, play.payment)
    assert (payment.state, payment.is_reversed, payment.refunded_minor) == (State.PAID, True, 100)


async def test_a_response_without_an_order_is_recorded_late(stage: Stage) -> None:
    """A response from before the swipe arrived is as old as its request, whenever it is recorded."""
    play = stage.play(PAY_TYPES["800208"], "A")
    await play.in_order(["open", "payer"])
    await play.in_order(
        ["reversal"] * 4
    )  # created; queried: no such order; recorded; no such order to reverse
    await play.in_order(["open", "open", "expire", "reversal"])
    assert await stage.contradictions_of(play) == []
    payment = await current(stage.store, play.payment)
    assert (payment.state, payment.is_reversed, payment.refunded_minor) == (State.PAID, True, 100)


async def test_a_repeated_refund_that_was_refused_early_is_not_failed_late(stage: Stage) -> None:
    """The initial request may be in flight when the repeat is refused, though the refusal arrives a minute later."""
    play = stage.play(PAY_TYPES["800201"], "A")
    await play.in_order(["open", "open", "payer", "open", "poll", "poll", "poll", "refund"])
    (reserved,) = await stage.store.refunds.of_payment(MCHID, play.payment.syssn)
    play.wallet.refuses_refunds = True  # the shop has no balance yet
    repeat = Activity(check_refund(reserved, play.other))
    for _ in range(4):  # queried and answered; sent again and refused
        await repeat.resume()
    stage.clock.at += timedelta(seconds=61)
    await repeat.resume()
    play.wallet.refuses_refunds = False
    await play.in_order(["refund", "refund"])  # the first one arrives
    assert await stage.contradictions_of(play) == []
    (refund,) = await stage.store.refunds.of_payment(MCHID, play.payment.syssn)
    assert refund.state is RefundState.DONE


# ---- the checks detect wrong wallets -----------------------------------------------------------------------------


@every_pay_type
async def test_a_wallet_that_keeps_refunded_money_is_detected(pay_type: PayType, stage: Stage) -> None:
    play = stage.play(pay_type, "A", gives_back=False)
    await play.in_order(["open", "open", "payer"])
    if play.wallet.rules.has_log_in:
        await play.in_order(["payer"])
    await play.in_order(["open", "poll", "poll", "poll", "refund", "refund", "refund"])
    found = await stage.contradictions_of(play)
    assert "our refunds [70] are not the wallet's []" in found
    assert "the ledger holds 30, the wallet 100" in found


async def test_a_wallet_that_keeps_reversed_money_is_detected(stage: Stage) -> None:
    play = stage.play(PAY_TYPES["800108"], "A", gives_back=False)
    await play.in_order(["open", "payer", "open", "open", "reversal", "reversal", "reversal"])
    found = await stage.contradictions_of(play)
    assert "a reversal is done and the wallet still holds money" in found
