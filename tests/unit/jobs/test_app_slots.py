"""An app's slots: more while its receiver is fast, one while it is slow, and webhooks that wait for one in order."""

import asyncio
from dataclasses import dataclass

from tael.jobs.app_slots import (
    AHEAD_PER_SLOT,
    INITIAL_SLOTS,
    MAX_REMEMBERED,
    MAX_SLOTS,
    MAX_WAIT_S,
    SLOW_MS,
    SLOW_SLOTS,
    TOTAL_AHEAD,
    AppSlots,
    AppSlotTable,
)


@dataclass
class Timer:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


def fast(app: AppSlots) -> AppSlots:
    """The app once its receiver was fast for long."""
    for _ in range(MAX_SLOTS):
        app.learn(SLOW_MS - 1)
    return app


async def waiting(app: AppSlots, count: int) -> "list[asyncio.Task[bool]]":
    """So many webhooks that take a slot or wait for one, in this order."""
    tasks = [asyncio.create_task(app.take()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


def test_quick_responses_earn_slots_and_a_slow_one_costs_all_but_one() -> None:
    app = AppSlots(Timer())
    assert app.free == INITIAL_SLOTS
    fast(app)
    assert app.free == MAX_SLOTS
    app.learn(SLOW_MS)
    assert app.free == SLOW_SLOTS
    app.learn(0)
    assert app.free == SLOW_SLOTS + 1


def test_webhooks_are_claimed_ahead_for_a_fast_receiver_only() -> None:
    table = AppSlotTable(Timer())
    fast(table.of("fast"))
    table.of("new").unsent = 1
    table.of("slow").learn(SLOW_MS)
    room = table.room()
    assert room == {"fast": MAX_SLOTS * (1 + AHEAD_PER_SLOT), "new": INITIAL_SLOTS - 1, "slow": SLOW_SLOTS}
    table.of("fast").unsent = 200
    assert table.room()["fast"] == 0


def test_many_fast_receivers_share_what_is_claimed_ahead() -> None:
    table = AppSlotTable(Timer())
    for number in range(10):
        fast(table.of(f"app{number}"))
    assert sum(table.room().values()) == 10 * MAX_SLOTS + TOTAL_AHEAD


async def test_a_released_slot_goes_to_the_webhook_that_has_waited_longest() -> None:
    app = AppSlots(Timer())
    tasks = await waiting(app, INITIAL_SLOTS + 3)
    assert [task.done() for task in tasks] == [True] * INITIAL_SLOTS + [False] * 3
    app.release()
    await asyncio.sleep(0)
    assert [task.done() for task in tasks] == [True] * (INITIAL_SLOTS + 1) + [False] * 2
    app.learn(0)  # a slot more
    await asyncio.sleep(0)
    assert [task.done() for task in tasks] == [True] * (INITIAL_SLOTS + 2) + [False]
    app.release()
    assert await tasks[-1]


async def test_after_a_slow_response_webhooks_start_one_after_the_other() -> None:
    app = AppSlots(Timer())
    tasks = await waiting(app, INITIAL_SLOTS + 2)
    app.learn(SLOW_MS)
    for _ in range(INITIAL_SLOTS - 1):
        app.release()
    await asyncio.sleep(0)
    assert not tasks[-2].done()
    app.release()
    assert await tasks[-2]
    assert not tasks[-1].done()
    app.release()
    assert await tasks[-1]


async def test_webhooks_that_waited_too_long_for_a_receiver_that_hangs_are_given_up() -> None:
    timer = Timer()
    app = AppSlots(timer)
    await waiting(app, INITIAL_SLOTS)
    (old,) = await waiting(app, 1)
    timer.now_s += MAX_WAIT_S
    (young,) = await waiting(app, 1)
    app.learn(SLOW_MS)
    await asyncio.sleep(0)
    assert not await old
    assert not young.done()
    for _ in range(INITIAL_SLOTS):
        app.release()
    assert await young


async def test_a_cancelled_webhook_leaves_its_slot_to_others() -> None:
    app = AppSlots(Timer(), slots=1)
    assert await app.take()
    waits, granted, last = await waiting(app, 3)
    waits.cancel()
    await asyncio.sleep(0)
    app.release()  # given to the second, which is cancelled before it runs
    granted.cancel()
    await asyncio.wait({waits, granted})
    assert await asyncio.wait_for(last, 1)


def test_only_slow_apps_and_those_with_webhooks_are_remembered_beyond_the_limit() -> None:
    table = AppSlotTable(Timer())
    table.of("slow").learn(SLOW_MS)
    table.of("sending").unsent = 1
    for number in range(MAX_REMEMBERED):
        fast(table.of(f"app{number}"))
    known = table.room().keys()
    assert {"slow", "sending"} < known
    assert len(known) < MAX_REMEMBERED
