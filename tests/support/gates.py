"""A wallet that answers when a test says so: each question waits before it is heard, and its answer before it is told.

So concurrency is deterministic: a test releases one gate, waits until nothing moves any more, and chooses the next.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from tael.channels.base import Acknowledgement, Channel, Notice, Order, RefundOrder
from tael.domain.account import Account
from tael.domain.outcome import Outcome, RefundOutcome, Reversal

#: Far more turns of the event loop than any statement takes.
MOST_TURNS: Final = 1_000_000


@dataclass
class Gates:
    """The tasks that wait, each at a gate of its own, in the order in which they came."""

    waiting: dict["asyncio.Task[Any]", asyncio.Event] = field(default_factory=dict)
    tasks: dict["asyncio.Task[Any]", "asyncio.Task[Any] | None"] = field(default_factory=dict)

    def start(
        self, work: Coroutine[Any, Any, object], after: "asyncio.Task[Any] | None" = None
    ) -> "asyncio.Task[Any]":
        """Begin `work`, which may wait for the task `after` by itself, wherever that is."""
        task = asyncio.create_task(work)
        self.tasks[task] = after
        return task

    def release(self, number: int) -> None:
        """Let the task at this place go on."""
        task = list(self.waiting)[number % len(self.waiting)]
        self.waiting.pop(task).set()

    async def quiet(self) -> None:
        """Until every task is done, or waits at a gate or for another one."""
        for _ in range(MOST_TURNS):
            if all(self._rests(task, after) for task, after in self.tasks.items()):
                return
            await asyncio.sleep(0)
        lost = [task.get_coro() for task, after in self.tasks.items() if not self._rests(task, after)]
        raise AssertionError(f"neither at its end nor at a gate: {lost}")

    def _rests(self, task: "asyncio.Task[Any]", after: "asyncio.Task[Any] | None") -> bool:
        return task.done() or task in self.waiting or (after is not None and not after.done())

    async def results(self) -> None:
        """Raise what a task raised."""
        await asyncio.gather(*self.tasks)

    async def wait(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        gate = self.waiting[task] = asyncio.Event()
        await gate.wait()

    @asynccontextmanager
    async def both(self) -> AsyncIterator[None]:
        """Around a question: a gate before it is heard, one before its answer is told."""
        await self.wait()
        yield
        await self.wait()


class GatedChannel:
    """`channel` as a gateway reaches it through gates. Notices are told by the test, so they have none."""

    def __init__(self, channel: Channel, gates: Gates) -> None:
        self._channel = channel
        self._gates = gates
        self.acknowledgement: Acknowledgement = channel.acknowledgement
        self.reversal_after: timedelta = channel.reversal_after

    def deadline(self, order: Order) -> datetime:
        return self._channel.deadline(order)

    async def open(self, order: Order) -> Outcome:
        async with self._gates.both():
            said = await self._channel.open(order)
        return said

    async def query(self, order: Order) -> Outcome:
        async with self._gates.both():
            said = await self._channel.query(order)
        return said

    async def close(self, order: Order) -> Outcome:
        async with self._gates.both():
            said = await self._channel.close(order)
        return said

    async def reverse(self, order: Order) -> Reversal:
        async with self._gates.both():
            said = await self._channel.reverse(order)
        return said

    async def refund(self, order: RefundOrder) -> RefundOutcome:
        async with self._gates.both():
            said = await self._channel.refund(order)
        return said

    async def query_refund(self, order: RefundOrder) -> RefundOutcome:
        async with self._gates.both():
            said = await self._channel.query_refund(order)
        return said

    async def read_notice(self, account: Account, headers: Mapping[str, str], body: bytes) -> Notice:
        return await self._channel.read_notice(account, headers, body)

    def read_return(self, account: Account, query: Mapping[str, str]) -> str | None:
        return self._channel.read_return(account, query)
