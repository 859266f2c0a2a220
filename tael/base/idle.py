"""Waits that end when the event loop has nothing else to do, so that what can be done together is.

Under load a process is faster if it does one step for several calls in a row, and calls that are under way should be
answered before new ones begin. A fixed delay would make every call slower. An event loop has no callback for "nothing
else is ready", but a turn in which nothing was done takes little CPU time.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from tael.base.metrics import timer_s

#: A turn of the event loop that took less CPU time did nothing else. On a slower machine fewer turns count as such, and
#: waits are longer.
IDLE_TURN_S: Final = 60e-6
#: In a process that always has something to do.
MAX_WAIT_S: Final = 0.003


class IdleWait:
    """Waits of one kind. All that have begun end together, in the order in which they began.

    They end after an idle turn. `cpu_s` is the CPU time of the thread: the time of a turn in which another process had
    the processor says nothing.
    """

    def __init__(
        self,
        max_wait_s: float = MAX_WAIT_S,
        cpu_s: Callable[[], float] = time.thread_time,
        timer: Callable[[], float] = timer_s,
    ) -> None:
        self._max_wait_s = max_wait_s
        self._cpu_s = cpu_s
        self._timer = timer
        self._waiting: list[asyncio.Future[None]] = []
        self._began_s = 0.0
        self._turn_began_s = 0.0  #: in CPU time

    async def __call__(self) -> None:
        """Returns after a turn in which nothing else was done, or after `max_wait_s`."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            self._began_s, self._turn_began_s = self._timer(), self._cpu_s()
            loop.call_soon(self._end_turn, loop)
        self._waiting.append(waiter)
        await waiter

    def _end_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = self._cpu_s()
        is_idle = now_s - self._turn_began_s < IDLE_TURN_S
        if not is_idle and self._timer() - self._began_s < self._max_wait_s:
            self._turn_began_s = now_s
            loop.call_soon(self._end_turn, loop)
            return
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
