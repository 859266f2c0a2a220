"""Numbers are unique across processes."""

import asyncio
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import tael
from tael.base.serial import SEQUENCES
from tael.db.serials import BLOCK, MAX_STEP, Serials
from tael.operations.store import Store
from tests.support.store import NODE
from tests.support.values import NOW

REPOSITORY = Path(tael.__file__).resolve().parent.parent
NUMBERS = """
import asyncio, sys
from datetime import UTC, datetime
from tael.db.database import Database
from tael.db.serials import Serials

async def main() -> None:
    async with Database(sys.argv[1], schema="cell_00") as database:
        serials = Serials(database, 9)
        for _ in range(3000):
            print(await serials.syssn(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)))

asyncio.run(main())
"""


def sequence_of(syssn: str) -> int:
    return int(syssn[14:])


async def test_two_pools_never_give_the_same_number(store: Store, other_store: Store) -> None:
    numbers = await asyncio.gather(
        *((store, other_store)[n % 2].serials.syssn(NOW) for n in range(8_000)),
    )
    assert len(set(numbers)) == len(numbers)


def test_two_processes_never_give_the_same_number(database_url: str) -> None:
    command = [sys.executable, "-c", NUMBERS, database_url]
    processes = [
        subprocess.Popen(command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE) for _ in range(2)
    ]
    numbers = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [len(each) for each in numbers] == [3000, 3000]
    assert set(numbers[0]).isdisjoint(numbers[1])


async def test_numbers_rise_by_small_random_steps(store: Store) -> None:
    numbers = [sequence_of(await store.serials.syssn(NOW)) for _ in range(500)]
    steps = {later - earlier for earlier, later in pairwise(numbers)}
    assert steps <= set(range(1, MAX_STEP + 1))
    assert len(steps) > 1


async def test_the_sequence_wraps_without_giving_a_number_twice(store: Store) -> None:
    near_the_end = SEQUENCES - BLOCK // 2
    await store.database.execute("INSERT INTO serial VALUES ($1, $2)", NODE, near_the_end)
    numbers = [await store.serials.syssn(NOW) for _ in range(3_000)]
    sequences = [sequence_of(number) for number in numbers]
    assert {len(number) for number in numbers} == {24}
    assert len(set(numbers)) == len(numbers)
    assert sequences[0] > near_the_end
    assert max(sequences) < SEQUENCES
    assert sequences[-1] < BLOCK * 4


async def test_each_node_has_its_own_sequence(store: Store) -> None:
    others = Serials(store.database, 8)
    ours, theirs = await store.serials.syssn(NOW), await others.syssn(NOW)
    assert (ours[8:10], theirs[8:10]) == ("09", "08")
    rows = await store.database.fetch("SELECT node, next_sequence FROM serial ORDER BY node")
    assert [tuple(row) for row in rows] == [(8, BLOCK), (9, BLOCK)]
