"""A sample of an order's interleavings over the real services and PostgreSQL, two gateways side by side.

The wallet holds each question back before it decides, and each answer before it is heard, so that a seed fixes the
order of everything. Afterwards jobs run until nothing is due, and the judge of `tests/property/test_interleavings.py`
looks at the rows. The wallets' rules are those of that test too.
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
from tael.payments.domain.page_urls import pages_below
from tael.payments.domain.payment import State
from tael.payments.domain.refund import RefundState
from tael.payments.gateway import Gateway, InFlightRequests
from tael.payments.refunds import check_refund
from tests.support.alipay import TestClock
from tests.support.blocking_wallet import Activity, BlockingWallet
from tests.support.crashing import CrashingTransport, Process
from tests.support.interleaved import Play, told_of
from tests.support.services import services_of
from tests.support.store import ENCRYPTION_KEY, current
from tests.support.values import MCHID
from tests.support.verdict import FEE_RATE_PPM, contradictions
from tests.support.wallet_rules import rules_of
from tests.support.world import end_leases, run_jobs_until_idle

SAMPLE = range(30)
URL = "http://127.0.0.1:8000"


@dataclass
class Stage:
    """Two gateways over one database, one clock, and what was logged."""

    store: Store
    other_store: Store
    events: list[EventDict]
    clock: TestClock = field(default_factory=TestClock)

    def play(self, pay_type: PayType, reference: str, *, gives_back: bool = True) -> Play:
        wallet = BlockingWallet(rules_of(pay_type), self.clock, gives_back)
        opener, other = (self._gateway(store, pay_type, wallet) for store in (self.store, self.other_store))
        return Play(opener, other, wallet, self.clock, pay_type, reference)

    async def contradictions_of(self, play: Play) -> list[str]:
        """What the judge says once nothing is due any more."""
        await end_leases(self.store)
        services = services_of(play.other, CrashingTransport(Process(), []))
        await run_jobs_until_idle(services, self.store, self.clock, Process())
        return contradictions(await told_of(play, self.store, self.events))

    def _gateway(self, store: Store, pay_type: PayType, wallet: BlockingWallet) -> Gateway:
        credentials = CredentialCache(store.merchants, store.accounts, store.maintenance_windows)
        channels = {pay_type.wallet: wallet}
        pages = pages_below(URL, ENCRYPTION_KEY)
        return Gateway(store, channels, credentials, self.clock, InFlightRequests(), pages)


@pytest.fixture
async def stage(store: Store, other_store: Store) -> AsyncIterator[Stage]:
    await store.database.execute("UPDATE app SET notify_url = 'http://shop', notify_offline = true")
    await store.database.execute(f"UPDATE wallet_account SET fee_rate_ppm = {FEE_RATE_PPM}")
    with capture_logs() as events:
        yield Stage(store, other_store, events)


every_pay_type = pytest.mark.parametrize("pay_type", PAY_TYPES.values(), ids=PAY_TYPES)


@every_pay_type
async def test_interleavings_of_real_services_end_in_one_story(pay_type: PayType, stage: Stage) -> None:
    ends = set()
    for seed in SAMPLE:
        stage.events.clear()
        play = stage.play(pay_type, f"A{seed}")
        await play.at_random(Random(f"{pay_type.code} {seed}"))
        assert await stage.contradictions_of(play) == [], " | ".join(play.order)
        ends.add((await current(stage.store, play.payment)).state)
    assert ends == {State.PAID, State.CLOSED, State.EXPIRED if pay_type.is_online else State.FAILED}


# ---- some that were found, step by step --------------------------------------------------------------------------


async def test_a_swipe_that_arrives_after_its_reversal_is_undone_as_well(stage: Stage) -> None:
    """Alipay's cancel succeeds for an order that it does not know, and forgets it."""
    play = stage.play(PAY_TYPES["800108"], "A")
    await play.in_order(["open", "payer"])
    await play.in_order(["reversal"] * 4)  # meant; asked: no such order; heard; cancelled there
    await play.in_order(["open", "reversal", "open"])  # paid there; the cancel is recorded; the payment is
    assert await stage.contradictions_of(play) == []
    payment = await current(stage.store, play.payment)
    assert (payment.state, payment.is_reversed, payment.refunded_minor) == (State.PAID, True, 100)


async def test_an_answer_that_a_reversal_explains_is_no_late_money(stage: Stage) -> None:
    """WeChat calls an order revoked that was paid; the job hears it before the reversal and the opening do."""
    play = stage.play(PAY_TYPES["800208"], "A")
    await play.in_order(["open", "payer", "settle"])
    await play.in_order(["reversal", "reversal", "open", "reversal", "reversal"])  # paid before the reverse
    await play.in_order(["settle", "settle", "open", "reversal"])
    assert await stage.contradictions_of(play) == []
    payment = await current(stage.store, play.payment)
    assert (payment.state, payment.is_reversed, payment.refunded_minor) == (State.PAID, True, 100)


async def test_a_wallet_that_knew_no_order_is_heard_late(stage: Stage) -> None:
    """What WeChat said while the swipe was still on its way is as young as its question, whenever it is recorded."""
    play = stage.play(PAY_TYPES["800208"], "A")
    await play.in_order(["open", "payer"])
    await play.in_order(["reversal"] * 4)  # meant; asked: no such order; heard; no such order to reverse
    await play.in_order(["open", "open", "expire", "reversal"])
    assert await stage.contradictions_of(play) == []
    payment = await current(stage.store, play.payment)
    assert (payment.state, payment.is_reversed, payment.refunded_minor) == (State.PAID, True, 100)


async def test_a_repeated_refund_that_was_refused_early_is_not_failed_late(stage: Stage) -> None:
    """The first question may still be on its way when the repeat is refused, though its answer comes a minute later."""
    play = stage.play(PAY_TYPES["800201"], "A")
    await play.in_order(["open", "open", "payer", "open", "settle", "settle", "settle", "refund"])
    (promised,) = await stage.store.refunds.of_payment(MCHID, play.payment.syssn)
    play.wallet.refuses_refunds = True  # the shop has no balance yet
    repeat = Activity(check_refund(promised, play.other))
    for _ in range(4):  # asked what became of it, and told; sent again, and refused
        await repeat.go_on()
    stage.clock.at += timedelta(seconds=61)
    await repeat.go_on()
    play.wallet.refuses_refunds = False
    await play.in_order(["refund", "refund"])  # the first one arrives
    assert await stage.contradictions_of(play) == []
    (refund,) = await stage.store.refunds.of_payment(MCHID, play.payment.syssn)
    assert refund.state is RefundState.DONE


# ---- the judge can say no ----------------------------------------------------------------------------------------


@every_pay_type
async def test_a_wallet_that_keeps_what_it_says_it_refunded_is_named(pay_type: PayType, stage: Stage) -> None:
    play = stage.play(pay_type, "A", gives_back=False)
    await play.in_order(["open", "open", "payer"])
    if play.wallet.rules.has_log_in:
        await play.in_order(["payer"])
    await play.in_order(["open", "settle", "settle", "settle", "refund", "refund", "refund"])
    said = await stage.contradictions_of(play)
    assert "our refunds [70] are not the wallet's []" in said
    assert "the ledger holds 30, the wallet 100" in said


async def test_a_wallet_that_keeps_what_it_says_it_undid_is_named(stage: Stage) -> None:
    play = stage.play(PAY_TYPES["800108"], "A", gives_back=False)
    await play.in_order(["open", "payer", "open", "open", "reversal", "reversal", "reversal"])
    said = await stage.contradictions_of(play)
    assert "a reversal is done and the wallet still holds money" in said
