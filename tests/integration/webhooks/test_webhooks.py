"""Webhooks over a real store and real sockets: no app waits for another's receiver, a payment is delivered before its
refunds, every attempt is logged, and exhausted webhooks can be resent."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from tael.base.egress import EgressPolicy
from tael.base.transport import NOT_ALLOWED, Transport
from tael.jobs import webhooks
from tael.jobs.app_slots import INITIAL_SLOTS, MAX_SLOTS
from tael.jobs.runner import run_for_ever, run_once
from tael.jobs.webhooks import Deliveries, app_slots_of_process, webhook_job
from tael.merchants.domain.merchant import Style
from tael.operations.store import Store
from tael.payments.domain.payment import Payment
from tael.webhooks.delivery import DeliveryContext, prepare
from tael.webhooks.domain.webhook import RETRY_GAPS, WebhookKind, WebhookState
from tael.webhooks.store.queue import AppLimits, Attempt, Delivery, DueWebhook
from tael.webhooks.store.webhooks import NewWebhook, NotificationStatus, write_webhooks
from tests.integration.payments.test_recording import gateway_over
from tests.support.alipay import TestClock
from tests.support.metrics import growth
from tests.support.services import services_of
from tests.support.serving import serving
from tests.support.store import paid
from tests.support.values import NOW, ORIGIN, a_payment, an_app, new_syssn, origin_at

PATIENCE_S = 10.0
LEASE = timedelta(seconds=15)
DEMO = EgressPolicy(loopback=True, any_port=True)
Respond = Callable[[], Awaitable[web.Response]]


async def success() -> web.Response:
    return web.Response(text="success")


@dataclass
class Receivers:
    """Every app's receiver: `responses` to its calls, `received` bodies in order, `limit`: most calls at a time."""

    url: str = ""
    responses: dict[str, Respond] = field(default_factory=dict)
    received: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    open: Counter[str] = field(default_factory=Counter)
    limit: Counter[str] = field(default_factory=Counter)
    change: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        name = request.path.strip("/")
        body = await request.read()
        async with self.change:
            self.received[name].append(body)
            self.open[name] += 1
            self.limit[name] = max(self.limit[name], self.open[name])
            self.change.notify_all()
        try:
            return await self.responses.get(name, success)()
        finally:
            self.open[name] -= 1

    async def wait_for(self, is_there: Callable[[], bool]) -> None:
        async with self.change:
            await asyncio.wait_for(self.change.wait_for(is_there), PATIENCE_S)

    def in_turn(self, name: str, *answers: web.Response) -> None:
        left = list(answers)

        async def respond() -> web.Response:
            return left.pop(0) if left else await success()

        self.responses[name] = respond


@pytest.fixture
async def receivers() -> AsyncIterator[Receivers]:
    held = Receivers()
    async with serving(held.take) as held.url:
        yield held


@pytest.fixture
async def context(store: Store) -> AsyncIterator[DeliveryContext]:
    async with Transport(DEMO) as transport:
        yield services_of(gateway_over(store), transport).deliveries


async def payments_due(store: Store, appcode: str, count: int, at: datetime = NOW) -> list[Payment]:
    """`count` paid payments whose webhooks are due at `at`."""
    return [
        await paid(store, a_payment(appcode=appcode, created_at=at + timedelta(milliseconds=n)))
        for n in range(count)
    ]


async def with_app(store: Store, receivers: Receivers, appcode: str, **changes: Any) -> None:
    await store.merchants.add_app(an_app(appcode, notify_url=f"{receivers.url}/{appcode}", **changes), ORIGIN)


async def row_of(store: Store, payment: Payment) -> NotificationStatus:
    (row,) = await store.webhooks.of_causes(payment.mchid, [payment.syssn])
    return row


def clock_of(context: DeliveryContext) -> TestClock:
    assert isinstance(context.clock, TestClock)
    return context.clock


# ---- no app waits for another's receiver -------------------------------------------------------------------------


async def test_a_hanging_receiver_delays_no_other(
    store: Store, context: DeliveryContext, receivers: Receivers
) -> None:
    let_go = asyncio.Event()

    async def hang() -> web.Response:
        await let_go.wait()
        return await success()

    receivers.responses["hangs"] = hang
    for appcode in ("hangs", "good", "better"):
        await with_app(store, receivers, appcode)
    await payments_due(store, "hangs", 60, NOW - timedelta(hours=1))  # its webhooks are the longest overdue
    await payments_due(store, "good", 30)
    stop = asyncio.Event()
    clock_of(context).at = NOW + timedelta(hours=1)
    running = asyncio.create_task(run_for_ever([webhook_job(context)], context.clock, stop))
    await receivers.wait_for(lambda: len(receivers.received["good"]) == 30)
    await payments_due(store, "better", 30)  # and those that come while it hangs
    await receivers.wait_for(lambda: len(receivers.received["better"]) == 30)
    assert receivers.open["hangs"] == len(receivers.received["hangs"]) == INITIAL_SLOTS
    stop.set()
    let_go.set()
    await asyncio.wait_for(running, PATIENCE_S)
    assert {len(receivers.received[name]) for name in ("good", "better")} == {30}


async def test_an_app_has_no_more_calls_at_a_time_than_its_places(
    store: Store, context: DeliveryContext, receivers: Receivers
) -> None:
    await with_app(store, receivers, "busy")
    await payments_due(store, "busy", 80)
    stop = asyncio.Event()
    running = asyncio.create_task(run_for_ever([webhook_job(context)], context.clock, stop))
    clock_of(context).at = NOW + timedelta(hours=1)
    await receivers.wait_for(lambda: len(receivers.received["busy"]) == 80)
    stop.set()
    await asyncio.wait_for(running, PATIENCE_S)
    assert len(set(receivers.received["busy"])) == 80
    assert receivers.limit["busy"] <= MAX_SLOTS


async def test_an_app_whose_webhooks_come_meanwhile_waits_for_no_long_queue_of_another(
    store: Store, context: DeliveryContext, receivers: Receivers
) -> None:
    for appcode in ("busy", "other"):
        await with_app(store, receivers, appcode)
    await payments_due(store, "busy", 30)
    deliveries, clock = Deliveries(context, app_slots_of_process()), clock_of(context)
    clock.at = NOW + timedelta(hours=1)

    async def claim() -> Counter[str]:
        real_now = datetime.now(UTC)
        rows = await deliveries.claim(clock.at, real_now, real_now + LEASE, 50)
        await asyncio.gather(*map(deliveries.deliver, rows))
        return Counter(row.appcode for row in rows)

    assert await claim() == {"busy": INITIAL_SLOTS}
    await payments_due(store, "other", 1, NOW - timedelta(hours=1))
    claimed: Counter[str] = Counter()
    while rows := await claim():
        claimed += rows
    assert claimed == {"busy": 30 - INITIAL_SLOTS, "other": 1}


async def test_an_app_without_a_claim_so_far_waits_for_no_queue_that_never_ends(
    store: Store, context: DeliveryContext, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "FULL_CLAIM_EVERY_S", 0.0)
    monkeypatch.setattr(webhooks, "PAUSE_PER_FULL_CLAIM", 0)
    for appcode in ("busy", "other"):
        await with_app(store, receivers, appcode)
    await payments_due(store, "busy", 3 * INITIAL_SLOTS)
    job, clock = webhook_job(context), clock_of(context)
    clock.at = NOW + timedelta(hours=1)
    assert await run_once(job, clock) == INITIAL_SLOTS
    await payments_due(store, "other", 1)
    await run_once(job, clock)
    assert len(receivers.received["other"]) == 1


async def test_a_claim_that_finds_nothing_where_the_last_one_ended_begins_again(
    store: Store, context: DeliveryContext, receivers: Receivers
) -> None:
    """Webhooks may become due late: after a lost lease, or by a host whose clock is behind."""
    await with_app(store, receivers, "shop")
    await payments_due(store, "shop", 1)
    job, clock = webhook_job(context), clock_of(context)
    clock.at = NOW + timedelta(seconds=1)
    assert await run_once(job, clock) == 1
    await payments_due(store, "shop", 1, NOW - timedelta(hours=1))
    assert await run_once(job, clock) == 1
    assert len(set(receivers.received["shop"])) == 2


async def test_a_claim_takes_up_to_the_places_of_each_app_longest_overdue_first(store: Store) -> None:
    for appcode, count in (("a", 5), ("b", 3), ("c", 4), ("d", 2)):
        await payments_due(store, appcode, count, NOW if appcode != "d" else NOW + timedelta(days=2))
    real_now = datetime.now(UTC)

    async def claim(limit: int, rooms: AppLimits) -> Counter[str]:
        due = NOW + timedelta(hours=1)
        rows = await store.webhooks.due.claim(due, real_now, real_now + LEASE, limit, rooms)
        return Counter(row.appcode for row in rows)

    assert await claim(50, AppLimits(2, {"a": 0, "c": 3, "unknown": 9})) == {"b": 2, "c": 3}
    assert await claim(4, AppLimits(9, {})) == {"a": 3, "b": 1}  # 0, 1, 2 and 2 ms after the first
    assert await claim(50, AppLimits(9, {})) == {"a": 2, "c": 1}


# ---- a payment before its refunds --------------------------------------------------------------------------------


async def with_refunds(store: Store, count: int, at: datetime) -> tuple[Payment, list[str]]:
    """A paid payment, and due webhooks of its refunds."""
    payment = await paid(store, a_payment())
    causes = sorted(new_syssn() for _ in range(count))
    async with store.database.transaction() as connection:
        await write_webhooks(
            connection,
            [
                NewWebhook(payment.mchid, cause, WebhookKind.REFUND, payment.appcode, payment.syssn, at)
                for cause in causes
            ],
        )
    return payment, causes


async def claimed(store: Store, now: datetime) -> list[DueWebhook]:
    real_now = datetime.now(UTC)
    return await store.webhooks.due.claim(now, real_now, real_now + LEASE, 50)


def failed(webhook: DueWebhook, again_at: datetime) -> Delivery:
    return Delivery(webhook, WebhookState.DUE, Attempt(NOW, 1, 500, "HTTP 500"), deliver_at=again_at)


def ended(webhook: DueWebhook, state: WebhookState, at: datetime = NOW) -> Delivery:
    attempt = Attempt(at, 1, 200, "acknowledged")
    return Delivery(webhook, state, attempt, delivered_at=at if state is WebhookState.DELIVERED else None)


@pytest.mark.parametrize("end", [WebhookState.DELIVERED, WebhookState.EXHAUSTED, WebhookState.NOT_WANTED])
@pytest.mark.parametrize("skew", [timedelta(seconds=-5), timedelta(0), timedelta(seconds=5)])
async def test_refunds_are_delivered_after_their_payment_one_after_the_other(
    store: Store, end: WebhookState, skew: timedelta
) -> None:
    payment, refunds = await with_refunds(store, 2, NOW + skew)
    late = NOW + timedelta(hours=1)
    (first,) = await claimed(store, late)
    assert first.cause == payment.syssn
    assert await claimed(store, late) == []
    await store.webhooks.report([failed(first, late)])
    (again,) = await claimed(store, late)
    assert again.cause == payment.syssn
    await store.webhooks.report([ended(again, end)])
    for cause in refunds:
        (following,) = await claimed(store, late)
        assert following.cause == cause
        await store.webhooks.report([ended(following, WebhookState.DELIVERED)])
    assert await claimed(store, late) == []


async def test_refunds_that_wait_for_a_payment_are_not_claimed_before_its_next_attempt(store: Store) -> None:
    payment, refunds = await with_refunds(store, 2, NOW)
    other = await paid(store, a_payment())
    turn, late = NOW + timedelta(hours=2), NOW + timedelta(hours=1)
    first = next(row for row in await claimed(store, late) if row.cause == payment.syssn)
    await store.webhooks.report([failed(first, turn)])
    waiting = await store.webhooks.of_causes(payment.mchid, [payment.syssn, *refunds])
    assert {row.deliver_at for row in waiting} == {turn}
    assert (await row_of(store, other)).deliver_at == NOW
    (again,) = await claimed(store, turn)
    await store.webhooks.report([ended(again, WebhookState.DELIVERED, at=late)])
    assert [row.cause for row in await claimed(store, late)] == refunds[:1]


# ---- bodies -------------------------------------------------------------------------------------------------------


async def test_all_bodies_of_a_claim_are_stored_before_the_first_is_sent(
    store: Store, context: DeliveryContext, receivers: Receivers
) -> None:
    await with_app(store, receivers, "shop")
    payments = await payments_due(store, "shop", INITIAL_SLOTS)
    stored: list[set[bytes]] = []

    async def look() -> web.Response:
        stored.append({row.body or b"" for row in await store.webhooks.to_send("shop", 50)})
        return await success()

    receivers.responses["shop"] = look
    clock_of(context).at = NOW + timedelta(seconds=1)
    assert await run_once(webhook_job(context), context.clock) == INITIAL_SLOTS
    assert stored == [set(receivers.received["shop"])] * len(payments)
    assert len(stored[0]) == len(payments)


async def test_a_body_that_was_stored_meanwhile_is_the_one_that_is_sent(
    store: Store, context: DeliveryContext, receivers: Receivers
) -> None:
    await with_app(store, receivers, "shop")
    await payments_due(store, "shop", 1)
    (webhook,) = await claimed(store, NOW + timedelta(seconds=1))
    await store.webhooks.fix_bodies([replace(webhook, style=Style.OLD)], [b"stored"])
    (prepared,) = await prepare([webhook], context)
    assert (prepared.style, prepared.body) == (Style.OLD, b"stored")


async def test_a_webhook_whose_payment_is_missing_delays_no_other_of_its_claim(
    store: Store, context: DeliveryContext, receivers: Receivers
) -> None:
    await with_app(store, receivers, "shop")
    (payment,) = await payments_due(store, "shop", 1)
    lost = new_syssn()
    async with store.database.transaction() as connection:
        await write_webhooks(
            connection, [NewWebhook(payment.mchid, lost, WebhookKind.PAYMENT, "shop", lost, NOW)]
        )
    clock_of(context).at = NOW + timedelta(seconds=1)
    assert await run_once(webhook_job(context), context.clock) == 2
    assert (await row_of(store, payment)).state is WebhookState.DELIVERED
    (row,) = await store.webhooks.of_causes(payment.mchid, [lost])
    assert (row.state, row.style, row.attempts) == (WebhookState.DUE, None, 0)
    assert len(receivers.received["shop"]) == 1


async def test_apps_of_both_styles_share_a_claim(
    store: Store, context: DeliveryContext, receivers: Receivers
) -> None:
    await with_app(store, receivers, "new", webhook_style=Style.NEW)
    await with_app(store, receivers, "old", webhook_style=Style.OLD)
    payments = {appcode: (await payments_due(store, appcode, 1))[0] for appcode in ("new", "old")}
    causes = {appcode: new_syssn() for appcode in payments}
    async with store.database.transaction() as connection:
        await write_webhooks(
            connection,
            [
                NewWebhook(payment.mchid, causes[appcode], WebhookKind.REFUND, appcode, payment.syssn, NOW)
                for appcode, payment in payments.items()
            ],
        )
    job, clock = webhook_job(context), clock_of(context)
    clock.at = NOW + timedelta(seconds=1)
    assert [await run_once(job, clock), await run_once(job, clock)] == [2, 2]
    assert [b'"notify_type"' in receivers.received[appcode][0] for appcode in payments] == [True, False]
    (not_wanted,) = await store.webhooks.of_causes(payments["old"].mchid, [causes["old"]])
    assert (not_wanted.state, not_wanted.attempts) == (WebhookState.NOT_WANTED, 1)


# ---- the log of attempts ------------------------------------------------------------------------------------------


async def test_every_attempt_is_logged_with_its_response_and_sends_the_same_bytes(
    store: Store, context: DeliveryContext, receivers: Receivers
) -> None:
    await with_app(store, receivers, "shop")
    (payment,) = await payments_due(store, "shop", 1)
    long = b"\xff" + b"n" * 5000
    receivers.in_turn(
        "shop",
        web.Response(status=500, body=long),
        web.Response(status=302, headers={"Location": f"{receivers.url}/elsewhere"}),
        web.Response(text="no"),
    )
    job, clock = webhook_job(context), clock_of(context)
    started = []
    for gap in (timedelta(seconds=1), *RETRY_GAPS[:3]):
        clock.at += gap
        started.append(clock.at)
        assert await run_once(job, clock) == 1
    logged = await store.webhooks.attempts_of(payment.syssn)
    assert [(one.number, one.attempt.status, one.attempt.result) for one in logged] == [
        (1, 500, "HTTP 500"),
        (2, 302, "HTTP 302"),
        (3, 200, "HTTP 200"),
        (4, 200, "acknowledged"),
    ]
    assert [one.attempt.answer for one in logged] == [long[:1024], b"", b"no", b"success"]
    assert [one.attempt.started_at for one in logged] == started
    assert {one.kind for one in logged} == {WebhookKind.PAYMENT}
    assert len(set(receivers.received["shop"])) == 1
    assert receivers.received["elsewhere"] == []
    row = await row_of(store, payment)
    assert (row.state, row.attempts, row.delivered_at) == (WebhookState.DELIVERED, 4, clock.at)


async def test_a_call_without_a_response_is_logged_without_a_status(
    store: Store, context: DeliveryContext
) -> None:
    await store.merchants.add_app(an_app("inside", notify_url="http://10.0.0.1/"), ORIGIN)
    await store.merchants.add_app(an_app("nowhere"), ORIGIN)
    payments = [(await payments_due(store, appcode, 1))[0] for appcode in ("inside", "nowhere", "gone")]
    clock_of(context).at = NOW + timedelta(seconds=1)
    assert await run_once(webhook_job(context), context.clock) == 3
    logged = [(await store.webhooks.attempts_of(payment.syssn))[0].attempt for payment in payments]
    assert [(one.status, one.result) for one in logged] == [
        (None, NOT_ALLOWED),
        (None, "the app has no notify URL"),
        (None, "no such app"),
    ]
    states = [(await row_of(store, payment)).state for payment in payments]
    assert states == [WebhookState.DUE, WebhookState.DUE, WebhookState.EXHAUSTED]


async def test_a_worker_that_lost_its_lease_cannot_undo_an_acknowledgement(store: Store) -> None:
    payment = await paid(store, a_payment())
    real_now = datetime.now(UTC)
    (slow,) = await store.webhooks.due.claim(NOW, real_now, real_now, 50)
    (quick,) = await claimed(store, NOW)
    assert slow == quick
    await store.webhooks.report([ended(quick, WebhookState.DELIVERED)])
    late = Attempt(NOW + timedelta(seconds=9), 9000, None, "TimeoutError")
    await store.webhooks.report([replace(failed(slow, NOW), attempt=late)])
    assert (await row_of(store, payment)).state is WebhookState.DELIVERED
    assert [one.number for one in await store.webhooks.attempts_of(payment.syssn)] == [1, 1]


async def test_an_acknowledgement_that_is_written_late_still_counts(store: Store) -> None:
    payment = await paid(store, a_payment())
    real_now = datetime.now(UTC)
    (slow,) = await store.webhooks.due.claim(NOW, real_now, real_now, 50)
    (quick,) = await claimed(store, NOW)
    await store.webhooks.report([failed(quick, NOW + timedelta(hours=1))])
    await store.webhooks.report([ended(slow, WebhookState.DELIVERED, at=NOW + timedelta(seconds=9))])
    row = await row_of(store, payment)
    assert (row.state, row.attempts, row.deliver_at) == (WebhookState.DELIVERED, 2, None)


# ---- exhausted, and resent -------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_quick", [True, False])
async def test_a_webhook_is_exhausted_after_its_schedule_and_a_resend_restarts_it(
    store: Store, context: DeliveryContext, receivers: Receivers, is_quick: bool
) -> None:
    gaps = RETRY_GAPS if is_quick else RETRY_GAPS[4:]
    await with_app(store, receivers, "shop", quick_retries=is_quick)
    (payment,) = await payments_due(store, "shop", 1)

    async def refuse() -> web.Response:
        return web.Response(status=503)

    receivers.responses["shop"] = refuse
    job, clock = webhook_job(context), clock_of(context)
    for gap in (timedelta(seconds=1), *gaps):
        clock.at += gap
        assert await run_once(job, clock) == 1
    row = await row_of(store, payment)
    assert (row.state, row.attempts, row.deliver_at) == (WebhookState.EXHAUSTED, len(gaps) + 1, None)
    clock.at += timedelta(days=30)
    assert await run_once(job, clock) == 0

    (again,) = await store.webhooks.resend(payment.syssn, None, origin_at(clock.at))
    assert (again.state, again.deliver_at) == (WebhookState.DUE, clock.at)
    assert await run_once(job, clock) == 1
    row = await row_of(store, payment)
    assert (row.state, row.deliver_at) == (WebhookState.DUE, clock.at + gaps[0])
    del receivers.responses["shop"]
    clock.at += gaps[0]
    assert await run_once(job, clock) == 1
    assert (await row_of(store, payment)).state is WebhookState.DELIVERED
    assert len(set(receivers.received["shop"])) == 1


# ---- metrics -----------------------------------------------------------------------------------------------------


async def test_attempts_are_counted_by_result_and_exhausted_webhooks_once(
    store: Store, context: DeliveryContext, receivers: Receivers
) -> None:
    results = {
        result: growth("tael_webhook_attempt_duration_seconds_count", result=result)
        for result in ("acknowledged", "not_acknowledged", "no_answer", "not_sent")
    }
    exhausted = growth("tael_webhooks_exhausted_total")
    reported = growth("tael_batch_rows_sum", batch="report_webhooks")
    await with_app(store, receivers, "good")
    await with_app(store, receivers, "bad")
    await store.merchants.add_app(an_app("silent", notify_url=""), ORIGIN)
    receivers.in_turn("bad", *(web.Response(status=500) for _ in range(len(RETRY_GAPS) + 1)))
    for appcode in ("good", "bad", "silent"):
        await payments_due(store, appcode, 1)
    job = webhook_job(context)
    await run_once(job, context.clock)
    assert {result: counted() for result, counted in results.items()} == {
        "acknowledged": 1,
        "not_acknowledged": 1,
        "no_answer": 0,
        "not_sent": 1,
    }
    assert (reported(), exhausted()) == (3, 0)
    for gap in RETRY_GAPS:
        clock_of(context).at += gap
        await run_once(job, context.clock)
    assert exhausted() == 2
