"""SIGSTOP and, after a while, SIGCONT: a process that keeps its locks and connections and does nothing."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.soak.faulty import WalletFaults
from tests.soak.kills import Reaper
from tests.soak.plan import DATABASE, Freeze
from tests.soak.rig import SoakStack


class Freezer:
    """Carries out planned freezes; `frozen` counts the processes by name."""

    def __init__(self, stack: SoakStack, reaper: Reaper, wallet_faults: WalletFaults) -> None:
        self._stack = stack
        self._reaper = reaper
        self._wallet_faults = wallet_faults
        self._database = asyncio.Lock()
        self._thaw = asyncio.Event()
        self.frozen: Counter[str] = Counter()

    async def carry_out(self, freeze: Freeze) -> None:
        if freeze.whom == (DATABASE,):
            await self._freeze_database(freeze.for_s)
        else:
            await self._freeze_processes(freeze)

    def thaw(self) -> None:
        """Resume everything that is frozen."""
        self._thaw.set()
        self._thaw = asyncio.Event()

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._thaw.wait(), seconds)

    async def kill_database(self) -> bool:
        """Wait while it is frozen: stopped children of a killed server would hold its memory."""
        async with self._database:
            return self._stack.kill_database()

    async def _freeze_database(self, for_s: float) -> None:
        async with self._database:
            postgres = self._stack.demo_stack.postgres
            if postgres is None or postgres.pid is None:
                return
            with frozen_server(postgres.pid):
                self.frozen[DATABASE] += 1
                await self._wait(for_s)

    async def _freeze_processes(self, freeze: Freeze) -> None:
        children = []
        try:
            async with self._wallet_faults.slow():
                await self._reaper.wait_for(freeze.step, freeze.whom)
                for child in self._stack.running(freeze.whom):
                    child.send_signal(signal.SIGSTOP)
                    children.append(child)
            self.frozen["api" if "api-0" in freeze.whom or "api-1" in freeze.whom else "worker"] += 1
            await self._wait(freeze.for_s)
        finally:
            for child in children:
                child.send_signal(signal.SIGCONT)


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
