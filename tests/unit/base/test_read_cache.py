"""The read-through cache: a value lives for its time to live, counted from before it was read, and no longer."""

import asyncio
from weakref import ReferenceType, ref

import pytest

from tael.base import read_cache
from tael.base.read_cache import REFRESH_AFTER, RETRY_S, ReadCache

TTL_S = 2.0
STALE_S = 60.0


class Rows:
    """Rows that count how often each is read, with a timer that a test moves."""

    def __init__(self, **rows: str) -> None:
        self.rows = rows
        self.reads: list[str] = []
        self.now_s = 100.0
        self.read_takes_s = 0.0

    def timer(self) -> float:
        return self.now_s

    async def read(self, name: str) -> str | None:
        self.reads.append(name)
        self.now_s += self.read_takes_s
        return self.rows.get(name)


def cache_of(rows: Rows) -> ReadCache[str]:
    return ReadCache(ttl_s=TTL_S, timer=rows.timer)


async def test_a_value_is_read_again_once_its_time_to_live_is_over() -> None:
    rows = Rows(shop="old")
    cache = cache_of(rows)
    assert await cache.get("shop", rows.read) == "old"

    rows.rows["shop"] = "new"
    rows.now_s += TTL_S - 0.25
    assert await cache.get("shop", rows.read) == "old"
    rows.now_s += 0.25
    assert await cache.get("shop", rows.read) == "new"
    assert rows.reads == ["shop", "shop"]


async def test_a_slow_read_does_not_prolong_a_life() -> None:
    rows = Rows(shop="old")
    cache = cache_of(rows)
    rows.read_takes_s = TTL_S * 0.75
    await cache.get("shop", rows.read)
    rows.now_s += TTL_S * 0.25
    await cache.get("shop", rows.read)
    assert len(rows.reads) == 2


async def test_that_there_is_no_such_row_is_cached_too() -> None:
    rows = Rows()
    cache = cache_of(rows)
    assert [await cache.get("nobody", rows.read) for _ in range(3)] == [None, None, None]
    assert rows.reads == ["nobody"]


async def test_an_invalidated_value_is_read_again_and_others_are_not() -> None:
    rows = Rows(shop="old", other="kept")
    cache = cache_of(rows)
    for name in ("shop", "other"):
        await cache.get(name, rows.read)

    rows.rows["shop"] = "new"
    cache.invalidate("shop")
    cache.invalidate("never read")

    assert await cache.get("shop", rows.read) == "new"
    assert await cache.get("other", rows.read) == "kept"
    assert rows.reads == ["shop", "other", "shop"]


async def test_what_was_being_read_when_it_was_invalidated_is_not_kept() -> None:
    rows = Rows(shop="old")
    cache = cache_of(rows)
    goes_on = asyncio.Event()

    async def slow(name: str) -> str | None:
        value = await rows.read(name)
        await goes_on.wait()
        return value

    under_way = asyncio.create_task(cache.get("shop", slow))
    await asyncio.sleep(0)
    rows.rows["shop"] = "new"
    cache.invalidate("shop")
    goes_on.set()

    assert await under_way == "old"
    assert await cache.get("shop", rows.read) == "new"


async def test_a_read_that_fails_leaves_nothing_behind() -> None:
    rows = Rows(shop="there")
    cache = cache_of(rows)

    async def fail(_: str) -> str | None:
        raise OSError

    with pytest.raises(OSError):
        await cache.get("shop", fail)
    assert await cache.get("shop", rows.read) == "there"


class SlowRows(Rows):
    """Rows whose reads wait until `goes_on` is set."""

    def __init__(self, **rows: str) -> None:
        super().__init__(**rows)
        self.goes_on = asyncio.Event()
        self.fails = False

    async def read(self, name: str) -> str | None:
        value = await super().read(name)
        await self.goes_on.wait()
        if self.fails:
            raise OSError(name)
        return value


async def started(cache: ReadCache[str], rows: SlowRows, count: int) -> "list[asyncio.Task[str | None]]":
    """Callers that need the same row and wait for it."""
    tasks = [asyncio.create_task(cache.get("shop", rows.read)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_callers_at_the_same_time_share_one_read() -> None:
    rows = SlowRows(shop="there")
    cache = cache_of(rows)
    callers = await started(cache, rows, 3)
    rows.goes_on.set()
    assert await asyncio.gather(*callers) == ["there"] * 3
    assert rows.reads == ["shop"]


async def test_callers_at_the_same_time_share_an_error_and_later_ones_do_not() -> None:
    rows = SlowRows(shop="there")
    cache = cache_of(rows)
    callers = await started(cache, rows, 3)
    rows.fails = True
    rows.goes_on.set()
    assert [type(error) for error in await asyncio.gather(*callers, return_exceptions=True)] == [OSError] * 3
    rows.fails = False
    assert await cache.get("shop", rows.read) == "there"


async def test_a_read_whose_caller_is_cancelled_is_made_by_another_caller() -> None:
    rows = SlowRows(shop="there")
    cache = cache_of(rows)
    first, *others = await started(cache, rows, 3)
    first.cancel()
    rows.goes_on.set()
    assert await asyncio.gather(*others) == ["there"] * 2
    assert rows.reads == ["shop", "shop"]


async def test_a_caller_shares_no_read_that_began_before_an_invalidation_or_a_life_ago() -> None:
    rows = SlowRows(shop="old")
    cache = cache_of(rows)
    stale = await started(cache, rows, 1)
    rows.rows["shop"] = "new"
    cache.invalidate("shop")
    after_invalidation = await started(cache, rows, 1)
    rows.rows["shop"] = "newer"
    rows.now_s += TTL_S
    a_life_later = await started(cache, rows, 1)
    rows.goes_on.set()
    callers = [*stale, *after_invalidation, *a_life_later]
    assert await asyncio.gather(*callers) == ["old", "new", "newer"]


async def test_a_value_in_use_is_read_again_before_its_life_is_over_and_no_caller_waits() -> None:
    rows = SlowRows(shop="old")
    cache = cache_of(rows)
    rows.goes_on.set()
    await cache.get("shop", rows.read)

    rows.goes_on.clear()
    rows.rows["shop"] = "new"
    rows.now_s += TTL_S * REFRESH_AFTER
    assert [await cache.get("shop", rows.read) for _ in range(3)] == ["old"] * 3
    await asyncio.sleep(0)
    rows.goes_on.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rows.goes_on.clear()
    assert await cache.get("shop", rows.read) == "new"
    rows.now_s += TTL_S * REFRESH_AFTER - 0.25
    assert await cache.get("shop", rows.read) == "new"
    assert rows.reads == ["shop", "shop"]


async def test_a_value_that_cannot_be_read_again_lives_no_longer() -> None:
    rows = SlowRows(shop="old")
    cache = cache_of(rows)
    rows.goes_on.set()
    await cache.get("shop", rows.read)

    rows.fails = True
    rows.now_s += TTL_S - 0.25
    assert await cache.get("shop", rows.read) == "old"
    await asyncio.sleep(0)
    assert await cache.get("shop", rows.read) == "old"
    rows.now_s += 0.25
    with pytest.raises(OSError):
        await cache.get("shop", rows.read)


async def test_a_full_cache_drops_only_what_was_not_used_for_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read_cache, "MAX_ENTRIES", 3)
    rows = Rows(a="1", b="2", c="3", d="4")
    cache = cache_of(rows)
    for name in ("a", "b", "c", "a", "d"):  # the last one is one too many
        await cache.get(name, rows.read)
    rows.reads.clear()

    for name in ("a", "c", "d", "b"):
        await cache.get(name, rows.read)
    assert rows.reads == ["b"]


class Shop:
    """A value that can be seen to be gone."""


async def test_values_that_are_used_no_more_are_dropped() -> None:
    rows, seen = Rows(), list[ReferenceType[Shop]]()
    cache: ReadCache[Shop] = ReadCache(ttl_s=TTL_S, timer=rows.timer)

    async def read(_: str) -> Shop:
        shop = Shop()
        seen.append(ref(shop))
        return shop

    for number in range(3):
        await cache.get(str(number), read)
    assert all(each() for each in seen)
    rows.now_s += TTL_S
    await cache.get("another", read)
    assert [each() is not None for each in seen] == [False, False, False, True]


class Unavailable(Exception):
    pass


class FailingRows(Rows):
    """Rows that cannot be read while `is_down`."""

    is_down = False

    async def read(self, name: str) -> str | None:
        value = await super().read(name)
        if self.is_down:
            raise Unavailable(name)
        return value


def stale_cache_of(rows: Rows) -> ReadCache[str]:
    return ReadCache(ttl_s=TTL_S, stale_s=STALE_S, unavailable=Unavailable, timer=rows.timer)


async def test_while_rows_are_unavailable_stale_values_are_used() -> None:
    rows = FailingRows(shop="old", other="kept")
    cache = stale_cache_of(rows)
    for name in ("shop", "other"):
        await cache.get(name, rows.read)
    rows.is_down = True
    rows.now_s += TTL_S + STALE_S - 0.5
    assert await cache.get("shop", rows.read) == "old"
    assert await cache.get("other", rows.read) == "kept"
    reads = len(rows.reads)
    assert [await cache.get(name, rows.read) for name in ("shop", "other")] == ["old", "kept"]
    assert len(rows.reads) == reads, "no caller waits for another failure"
    rows.now_s += 0.5
    for name in ("shop", "unknown"):
        with pytest.raises(Unavailable):
            await cache.get(name, rows.read)


async def test_a_stale_value_is_read_again_once_a_second_and_replaced() -> None:
    rows = FailingRows(shop="old")
    cache = stale_cache_of(rows)
    await cache.get("shop", rows.read)
    rows.is_down = True
    rows.now_s += TTL_S
    for _ in range(5):
        assert await cache.get("shop", rows.read) == "old"
        await read_in_background()
    assert rows.reads == ["shop"] * 2
    rows.now_s += RETRY_S
    assert await cache.get("shop", rows.read) == "old"
    await read_in_background()
    assert rows.reads == ["shop"] * 3
    rows.rows["shop"], rows.is_down = "new", False
    rows.now_s += RETRY_S
    assert await cache.get("shop", rows.read) == "old"
    await read_in_background()
    assert await cache.get("shop", rows.read) == "new"


async def test_a_stale_value_is_not_used_while_rows_can_be_read() -> None:
    rows = FailingRows(shop="old")
    cache = stale_cache_of(rows)
    await cache.get("shop", rows.read)
    rows.rows["shop"] = "new"
    rows.now_s += TTL_S
    assert await cache.get("shop", rows.read) == "new"


async def test_a_read_that_fails_makes_no_other_value_stale() -> None:
    """A key that was replaced before one short failure is not accepted because of it."""
    rows = FailingRows(shop="old", other="kept")
    cache = stale_cache_of(rows)
    for name in ("shop", "other"):
        await cache.get(name, rows.read)
    rows.rows["shop"], rows.is_down = "new", True
    rows.now_s += TTL_S
    assert await cache.get("other", rows.read) == "kept"
    rows.is_down = False
    assert await cache.get("shop", rows.read) == "new"


async def test_after_an_outage_stale_values_are_not_used() -> None:
    rows = FailingRows(shop="old", other="kept")
    cache = stale_cache_of(rows)
    for name in ("shop", "other"):
        await cache.get(name, rows.read)
    rows.is_down = True
    rows.now_s += TTL_S
    assert await cache.get("other", rows.read) == "kept"
    rows.rows["shop"], rows.is_down = "new", False
    assert await cache.get("third", rows.read) is None
    assert await cache.get("shop", rows.read) == "new"


async def test_another_error_than_unavailable_is_raised_although_there_is_a_stale_value() -> None:
    rows = SlowRows(shop="old")
    rows.goes_on.set()
    cache = stale_cache_of(rows)
    await cache.get("shop", rows.read)
    rows.fails = True
    rows.now_s += TTL_S
    with pytest.raises(OSError):
        await cache.get("shop", rows.read)


async def test_callers_that_share_a_read_that_fails_share_the_stale_value() -> None:
    rows = FailingRows(shop="old")
    cache = stale_cache_of(rows)
    await cache.get("shop", rows.read)
    rows.is_down, goes_on = True, asyncio.Event()
    rows.now_s += TTL_S

    async def slow(name: str) -> str | None:
        await goes_on.wait()
        return await rows.read(name)

    callers = [asyncio.create_task(cache.get("shop", slow)) for _ in range(3)]
    await asyncio.sleep(0)
    goes_on.set()
    assert await asyncio.gather(*callers) == ["old"] * 3
    assert rows.reads == ["shop"] * 2


async def read_in_background() -> None:
    """Let a read that the last call has begun end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others)
