"""SIGSTOP and, after a while, SIGCONT: a process that lives, holds what it holds, and does nothing."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.soak.faulty import Faulty
from tests.soak.kills import Reaper
from tests.soak.plan import DATABASE, Freeze
from tests.soak.rig import SoakRig


class Freezer:
    """Freezes as planned; `frozen` counts the processes by name."""

    def __init__(self, soak: SoakRig, reaper: Reaper, faulty: Faulty) -> None:
        self._soak = soak
        self._reaper = reaper
        self._faulty = faulty
        self._database = asyncio.Lock()
        self._thaw = asyncio.Event()
        self.frozen: Counter[str] = Counter()

    async def carry_out(self, freeze: Freeze) -> None:
        if freeze.whom == (DATABASE,):
            await self._freeze_database(freeze.for_s)
        else:
            await self._freeze_processes(freeze)

    def thaw(self) -> None:
        """End all that is frozen now."""
        self._thaw.set()
        self._thaw = asyncio.Event()

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._thaw.wait(), seconds)

    async def kill_database(self) -> bool:
        """Never while it is frozen: stopped children of a dead server would hold its memory."""
        async with self._database:
            return self._soak.kill_database()

    async def _freeze_database(self, for_s: float) -> None:
        async with self._database:
            postgres = self._soak.rig.postgres
            if postgres is None or postgres.pid is None:
                return
            with frozen_server(postgres.pid):
                self.frozen[DATABASE] += 1
                await self._wait(for_s)

    async def _freeze_processes(self, freeze: Freeze) -> None:
        children = []
        try:
            async with self._faulty.thinking():
                await self._reaper.wait_for(freeze.step, freeze.whom)
                for child in self._soak.running(freeze.whom):
                    child.send_signal(signal.SIGSTOP)
                    children.append(child)
            self.frozen["api" if "api-0" in freeze.whom or "api-1" in freeze.whom else "worker"] += 1
            await self._wait(freeze.for_s)
        finally:
            for child in children:
                child.send_signal(signal.SIGCONT)


@contextmanager
def frozen_server(postmaster: int) -> Iterator[None]:
    """PostgreSQL does not run: the kernel takes connections for it, and nothing answers."""
    os.kill(postmaster, signal.SIGSTOP)  # first, so that it starts no more children
    everybody = [postmaster, *_children_of(postmaster)]
    try:
        for pid in everybody:
            _send(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in everybody:
            _send(pid, signal.SIGCONT)


def _children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _send(pid: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, what)
