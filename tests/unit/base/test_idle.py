"""Waits for an idle event loop. A turn takes as much time as the test says."""

import asyncio
from dataclasses import dataclass

import pytest
import uvloop

from tael.base.idle import IDLE_TURN_S, MAX_WAIT_S, IdleWait

LIMIT_S = 10.0
MILLISECOND = 0.001


@dataclass(slots=True)
class Machine:
    """The time on the wall, and the CPU time of this thread."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    turns: int = 0

    def idle_wait(self) -> IdleWait:
        return IdleWait(MAX_WAIT_S, lambda: self.cpu_s, lambda: self.wall_s)

    async def turn(self, *, cpu_s: float, wall_s: float | None = None) -> None:
        self.cpu_s += cpu_s
        self.wall_s += cpu_s if wall_s is None else wall_s
        self.turns += 1
        await asyncio.sleep(0)

    async def work(self, turns: int) -> None:
        for _ in range(turns):
            await self.turn(cpu_s=MILLISECOND)

    async def count_turns(self) -> None:
        while True:
            await self.turn(cpu_s=0.0)


@pytest.fixture(params=[asyncio.SelectorEventLoop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> asyncio.Runner:
    return asyncio.Runner(loop_factory=request.param)


def test_an_idle_process_does_not_wait(runner: asyncio.Runner) -> None:
    machine = Machine()

    async def run() -> None:
        counting = asyncio.create_task(machine.count_turns())
        await machine.idle_wait()()
        counting.cancel()

    with runner:
        runner.run(asyncio.wait_for(run(), LIMIT_S))
    assert machine.turns <= 3


def test_a_busy_process_does_what_is_ready_first(runner: asyncio.Runner) -> None:
    machine, turns = Machine(), 2
    assert turns * MILLISECOND < MAX_WAIT_S

    async def run() -> int:
        work = asyncio.create_task(machine.work(turns))
        await machine.idle_wait()()
        done = machine.turns
        await work
        return done

    with runner:
        assert runner.run(asyncio.wait_for(run(), LIMIT_S)) == turns


def test_a_process_that_is_always_busy_does_not_wait_for_ever(runner: asyncio.Runner) -> None:
    machine, limit = Machine(), round(MAX_WAIT_S / MILLISECOND)

    async def run() -> int:
        work = asyncio.create_task(machine.work(100))
        await machine.idle_wait()()
        done = machine.turns
        work.cancel()
        return done

    with runner:
        assert limit <= runner.run(asyncio.wait_for(run(), LIMIT_S)) <= limit + 2


def test_a_process_that_has_no_processor_is_not_busy(runner: asyncio.Runner) -> None:
    machine = Machine()

    async def run() -> int:
        turn = asyncio.create_task(machine.turn(cpu_s=IDLE_TURN_S / 2, wall_s=MAX_WAIT_S / 2))
        await machine.idle_wait()()
        await turn
        return machine.turns

    with runner:
        assert runner.run(asyncio.wait_for(run(), LIMIT_S)) == 1
    assert machine.wall_s < MAX_WAIT_S


def test_all_that_wait_go_on_together_in_their_order(runner: asyncio.Runner) -> None:
    machine = Machine()
    done: list[tuple[int, int]] = []

    async def run() -> None:
        until_idle = machine.idle_wait()

        async def wait(number: int) -> None:
            await until_idle()
            done.append((number, machine.turns))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(wait(1))
            work = tasks.create_task(machine.work(3))
            await asyncio.sleep(0)
            tasks.create_task(wait(2)).cancel()
            tasks.create_task(wait(3))
            await work

    with runner:
        runner.run(asyncio.wait_for(run(), LIMIT_S))
    assert done == [(1, 3), (3, 3)]


def test_a_wait_that_is_cancelled_leaves_the_others(runner: asyncio.Runner) -> None:
    machine = Machine()

    async def run() -> list[object]:
        until_idle = machine.idle_wait()
        waits = [asyncio.ensure_future(until_idle()) for _ in range(3)]
        asyncio.get_running_loop().call_soon(waits[0].cancel)
        machine.cpu_s += MILLISECOND
        return await asyncio.gather(*waits, return_exceptions=True)

    with runner:
        first, *others = runner.run(asyncio.wait_for(run(), LIMIT_S))
    assert isinstance(first, asyncio.CancelledError)
    assert others == [None, None]
