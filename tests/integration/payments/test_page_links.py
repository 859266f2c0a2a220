"""Link keys: created once, rotated while processes run, and looked for without a query for each made-up id."""

import asyncio

import asyncpg
import pytest

from tael.base.cipher import DecryptionFailed
from tael.db.cells import STALE_S
from tael.db.database import Database, StoreUnavailable
from tael.operations.link_keys import accepted_for, rotate_link_keys
from tael.operations.store import Store
from tael.payments.page_links import MAX_AGE_S, PageLinks
from tael.payments.store.link_keys import MAX_LINK_KEYS, LinkKeys, TooManyLinkKeys
from tests.support.alipay import TestClock
from tests.support.store import CIPHER
from tests.support.values import NOW, ORIGIN, origin_at

NUMBERS = ("mch1", "202601020900990000000001")
TTL_S = 1.0


class CountingDatabase(Database):
    """`real`, whose reads are counted."""

    def __init__(self, real: Database) -> None:
        super().__init__("", real.limits)
        self.connection = real.connection  # type: ignore[method-assign]
        self.reads = 0
        self.is_read = asyncio.Event()
        self.is_down = False

    async def fetch(self, sql: str, *values: object) -> "list[asyncpg.Record]":
        self.reads += 1
        self.is_read.set()
        if self.is_down:
            raise StoreUnavailable("ConnectionRefusedError")
        return await super().fetch(sql, *values)


class Running:
    """The links of one process. Its clocks stand still until the test moves them."""

    def __init__(self, store: Store) -> None:
        self.clock, self.timer_s = TestClock(NOW), 100.0
        self.database = CountingDatabase(store.directory)
        keys = LinkKeys(self.database, CIPHER)
        self.links = PageLinks("https://pay.example", keys, self.clock, TTL_S, lambda: self.timer_s)

    async def token(self) -> str:
        return (await self.links.pages()).token(*NUMBERS)

    async def accepts(self, token: str) -> bool:
        return (await self.links.pages_for(token)).is_token(token, *NUMBERS, self.clock.at)


@pytest.fixture
def process(store: Store) -> Running:
    return Running(store)


@pytest.fixture
def other(store: Store) -> Running:
    return Running(store)


async def test_processes_that_need_the_first_key_at_once_create_one(store: Store) -> None:
    processes = [Running(store) for _ in range(8)]
    tokens = await asyncio.gather(*(each.token() for each in processes))
    assert len(set(tokens)) == 1
    assert len(await store.link_keys.all()) == 1


async def test_a_new_key_is_followed_and_the_one_before_is_accepted_until_its_time_has_passed(
    store: Store, process: Running, other: Running
) -> None:
    before = await process.token()
    assert await other.accepts(before)
    new = await rotate_link_keys(store.link_keys, ORIGIN)
    assert await process.token() == before  # within the time of the settings' cache
    process.timer_s += TTL_S
    after = await process.token()
    assert after.startswith(f"{new.key_id}.")
    assert await other.accepts(after)  # at once: `other` does not know this key yet
    for each in (process, other):
        assert await each.accepts(before)
        each.clock.at = NOW + accepted_for()
        assert not await each.accepts(before)
        assert await each.accepts(after)


async def test_a_rotation_removes_keys_whose_time_has_passed(store: Store) -> None:
    first = (await store.link_keys.with_current(NOW))[0]
    second = await rotate_link_keys(store.link_keys, ORIGIN)
    third = await rotate_link_keys(store.link_keys, origin_at(NOW + accepted_for()))
    kept = await store.link_keys.all()
    assert [key.key_id for key in kept] == [third.key_id, second.key_id]
    assert first.key_id not in {key.key_id for key in kept}
    assert [key.accepted_until for key in kept] == [None, NOW + 2 * accepted_for()]


async def test_rotations_at_once_are_one_after_another(store: Store) -> None:
    await asyncio.gather(*(rotate_link_keys(store.link_keys, ORIGIN) for _ in range(6)))
    keys = await store.link_keys.all()
    assert [key.accepted_until for key in keys].count(None) == 1
    assert len(keys) == 6


async def test_there_are_at_most_sixteen_keys(store: Store) -> None:
    for _ in range(MAX_LINK_KEYS):
        await rotate_link_keys(store.link_keys, ORIGIN)
    with pytest.raises(TooManyLinkKeys):
        await rotate_link_keys(store.link_keys, ORIGIN)
    assert len(await store.link_keys.all()) == MAX_LINK_KEYS


async def test_addresses_cost_no_query_while_the_keys_are_fresh(process: Running) -> None:
    token = await process.token()
    reads = process.database.reads
    for _ in range(20):
        assert await process.token() == token
        assert await process.accepts(token)
    process.timer_s += MAX_AGE_S - 1
    assert await process.accepts(token)
    assert process.database.reads == reads


async def test_while_the_directory_is_down_known_keys_are_used(process: Running) -> None:
    token = await process.token()
    process.database.is_down = True
    process.timer_s += STALE_S - 1
    assert await process.token() == token
    assert await process.accepts(token)
    with pytest.raises(StoreUnavailable):
        await process.accepts(f"made0000.{token.partition('.')[2]}")
    process.timer_s += MAX_AGE_S
    with pytest.raises(StoreUnavailable):
        await process.token()
    with pytest.raises(StoreUnavailable):
        await process.accepts(token)


async def test_calls_during_a_read_of_the_keys_share_it_and_do_not_wait_for_another(process: Running) -> None:
    """A wait for the next look would be 100 ms of each payment that meets a read."""
    await process.token()
    process.timer_s += TTL_S
    reads = process.database.reads
    first = asyncio.create_task(process.token())
    process.database.is_read.clear()
    await process.database.is_read.wait()
    await asyncio.gather(first, *(process.token() for _ in range(5)))
    assert process.database.reads == reads + 1


async def test_made_up_ids_share_a_look_and_none_of_them_is_accepted(process: Running) -> None:
    token = await process.token()
    reads = process.database.reads
    mac = token.partition(".")[2]
    made_up = [f"made{number:04}.{mac}" for number in range(300)]
    assert not any(await asyncio.gather(*(process.accepts(each) for each in made_up)))
    assert process.database.reads <= reads + 2
    assert await process.accepts(token)


async def test_a_text_without_a_key_id_is_no_token(process: Running) -> None:
    token = await process.token()
    for text in ("", ".", token.replace(".", ""), token.partition(".")[2]):
        assert not await process.accepts(text)


async def test_a_key_that_was_moved_to_another_row_is_not_used(store: Store) -> None:
    await store.link_keys.with_current(NOW)
    await store.directory.execute("UPDATE link_key SET key_id = 'another1'")
    with pytest.raises(DecryptionFailed, match="changed or moved"):
        await store.link_keys.all()
