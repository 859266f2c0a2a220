"""The slots of each app: how many webhooks are sent to its receiver at a time.

An app has more slots while its receiver is fast and one while it is slow, so that a hanging receiver delays its own
webhooks only. For a fast receiver some webhooks are claimed ahead: they wait here for a slot, so that none is free
during the next claim. If the receiver becomes slow, those that have waited too long are given up; their leases end.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

#: Per app: initially, while slow, and at most. Each fast response adds one.
INITIAL_SLOTS: Final = 4
SLOW_SLOTS: Final = 1
MAX_SLOTS: Final = 50
SLOW_MS: Final = 1000
#: Claimed ahead for a fast receiver, for each of its slots, and in total for all. A slot is free again in less than
#: SLOW_MS, so all are sent before a lease would end.
AHEAD_PER_SLOT: Final = 3
TOTAL_AHEAD: Final = 300
#: How long a webhook may wait for a slot of a receiver that has become slow.
MAX_WAIT_S: Final = 5.0
#: Beyond this number of apps, only slow ones are remembered.
MAX_REMEMBERED: Final = 1000


@dataclass(slots=True)
class AppSlots:
    """The slots of one app in one process. `unsent` are its webhooks that are claimed and not sent yet."""

    clock_s: Callable[[], float]
    slots: int = INITIAL_SLOTS
    unsent: int = 0
    _used: int = 0
    _waiting: deque[tuple[float, "asyncio.Future[bool]"]] = field(default_factory=deque)

    @property
    def free(self) -> int:
        """How many more webhooks may be claimed to be sent at once."""
        return max(0, self.slots - self.unsent)

    @property
    def is_fast(self) -> bool:
        return self.slots > INITIAL_SLOTS

    async def take(self) -> bool:
        """Wait for a slot, which the caller must release. False if the webhook must not be sent now."""
        if self._used < self.slots:
            self._used += 1
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((self.clock_s(), turn))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.release()
            raise

    def release(self) -> None:
        """Free a slot, for the webhook that has waited longest."""
        self._used -= 1
        self._start_waiting()

    def learn(self, took_ms: int) -> None:
        """A fast response of any kind adds a slot; a slow one, or none, leaves one slot."""
        if took_ms < SLOW_MS:
            self.slots = min(MAX_SLOTS, self.slots + 1)
            self._start_waiting()
        else:
            self.slots = SLOW_SLOTS
            self._give_up_waiting()

    def _start_waiting(self) -> None:
        while self._waiting and self._used < self.slots:
            _, turn = self._waiting.popleft()
            if not turn.done():
                self._used += 1
                turn.set_result(True)

    def _give_up_waiting(self) -> None:
        too_long = self.clock_s() - MAX_WAIT_S
        while self._waiting and self._waiting[0][0] <= too_long:
            _, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(False)


class AppSlotTable:
    """The slots of the apps that a process has claimed webhooks of, by appcode."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._apps: dict[str, AppSlots] = {}

    def of(self, appcode: str) -> AppSlots:
        app = self._apps.get(appcode)
        if app is None:
            self._forget_some()
            app = self._apps[appcode] = AppSlots(self._clock_s)
        return app

    def room(self) -> Mapping[str, int]:
        """How many webhooks of each known app may be claimed now, those ahead included."""
        fast = sum(app.is_fast for app in self._apps.values())
        share = TOTAL_AHEAD // max(1, fast)
        return {appcode: _room(app, share) for appcode, app in self._apps.items()}

    def _forget_some(self) -> None:
        if len(self._apps) >= MAX_REMEMBERED:
            self._apps = {
                appcode: app for appcode, app in self._apps.items() if app.unsent or app.slots < INITIAL_SLOTS
            }


def _room(app: AppSlots, share: int) -> int:
    ahead = min(AHEAD_PER_SLOT * app.slots, share) if app.is_fast else 0
    return max(0, app.slots + ahead - app.unsent)
