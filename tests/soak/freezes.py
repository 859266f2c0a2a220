"""SIGSTOP and, after a while, SIGCONT: a process that keeps its locks and connections and does nothing."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from tael.cli.processes import Child
from tests.soak.faulty import WalletFaults
from tests.soak.kills import Reaper
from tests.soak.plan import Freeze
from tests.soak.rig import SoakStack
from tests.soak.separation import SECOND, Downtime

PROCESS: Final = "process"


class Freezer:
    """Carries out planned freezes of processes; `frozen` counts them by kind."""

    def __init__(
        self, stack: SoakStack, reaper: Reaper, wallet_faults: WalletFaults, downtime: Downtime
    ) -> None:
        self._stack = stack
        self._reaper = reaper
        self._wallet_faults = wallet_faults
        self._downtime = downtime
        self._thaw = asyncio.Event()
        self.frozen: Counter[str] = Counter()

    async def carry_out(self, freeze: Freeze) -> None:
        if self._downtime.is_down(SECOND):  # the merchants of the first cell have to be served
            return
        with ExitStack() as frozen:
            async with self._wallet_faults.slow():
                await self._reaper.wait_for(freeze.step, freeze.whom)
                frozen.enter_context(self._downtime.of(PROCESS))
                frozen.enter_context(_frozen(self._stack.running(freeze.whom)))
            self.frozen["api" if "api-0" in freeze.whom or "api-1" in freeze.whom else "worker"] += 1
            await self.wait(freeze.for_s)

    def thaw(self) -> None:
        """Resume everything that is frozen."""
        self._thaw.set()
        self._thaw = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Or until `thaw`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._thaw.wait(), seconds)


@contextmanager
def _frozen(children: Sequence[Child]) -> Iterator[None]:
    for child in children:
        child.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for child in children:
            child.send_signal(signal.SIGCONT)
