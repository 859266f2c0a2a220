"""Faults of one server: killed and started again, frozen, or its wire cut or held. One at a time for each server."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.soak.freezes import Freezer
from tests.soak.plan import Cut, DatabaseDeath, ServerFreeze
from tests.soak.rig import SoakStack
from tests.soak.separation import Downtime
from tests.soak.servers import Server
from tests.support.wire import Wire

COMMIT_LIMIT_S: Final = 5.0


class ServerFaults:
    """Carries out planned faults. `killed`, `frozen` and `cut` count them by server, `cut` also by the way."""

    def __init__(self, stack: SoakStack, freezer: Freezer, downtime: Downtime) -> None:
        self._stack = stack
        self._freezer = freezer
        self._downtime = downtime
        self.killed: Counter[str] = Counter()
        self.frozen: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()

    async def kill(self, death: DatabaseDeath) -> None:
        """While the second is down, the first is not, and no process is frozen."""
        first, second = self._stack.servers
        async with first.lock:
            if death.server == first.name:
                await self._stay_down(first, death.down_s)
                return
            async with second.lock:
                self._freezer.thaw()
                await self._stay_down(second, death.down_s)

    async def freeze(self, freeze: ServerFreeze) -> None:
        async with self._down(self._stack.server(freeze.server)) as server:
            with frozen_server(server.pid):
                self.frozen[server.name] += 1
                await self._freezer.wait(freeze.for_s)

    async def cut_wire(self, cut: Cut) -> None:
        async with self._down(self._stack.server(cut.server)) as server:
            how = cut.how
            if how == "after_commit":
                how = await asyncio.to_thread(_cut_after_commit, server.wire, cut.after_commit)
            else:
                await asyncio.to_thread(server.wire.cut if how == "cut" else server.wire.hold)
            self.cut[f"{server.name}: {how}"] += 1
            await asyncio.sleep(cut.for_s)
            if how == "lost":
                await asyncio.to_thread(server.wire.cut)
            await asyncio.to_thread(server.wire.join)

    async def _stay_down(self, server: Server, down_s: float) -> None:
        """Its lock is held, since stopped children of a killed server would hold its memory."""
        with self._downtime.of(server.name):
            server.kill()
            self.killed[server.name] += 1
            with server.stopped():
                await asyncio.sleep(down_s)

    @asynccontextmanager
    async def _down(self, server: Server) -> AsyncIterator[Server]:
        async with server.lock:
            with self._downtime.of(server.name):
                yield server


def _cut_after_commit(wire: Wire, marker: bytes) -> str:
    """Cut the wire after such a commit, or without one if none came in time. Returns how it was cut."""
    wire.swallow(marker)
    if wire.wait_until_swallowed(COMMIT_LIMIT_S):
        return f"cut after {marker.decode()}"
    wire.swallow(b"")
    wire.cut()
    return "cut"


@contextmanager
def frozen_server(postmaster: int) -> Iterator[None]:
    """PostgreSQL is stopped: the kernel accepts connections, and nothing answers."""
    os.kill(postmaster, signal.SIGSTOP)  # first, so that it starts no more children
    pids = [postmaster, *_children_of(postmaster)]
    try:
        for pid in pids:
            _send(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            _send(pid, signal.SIGCONT)


def _children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _send(pid: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, what)
