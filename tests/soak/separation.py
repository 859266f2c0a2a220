"""Checks that merchants of the first cell are served while only the second cell's server is down.

A payment counts if nothing else that may delay it was down from `SETTLED_S` before its request to its response. One
that is refused late was out of time, as on a machine with too little CPU time for all processes of a soak.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tests.soak.plan import SERVERS

SECOND: Final = SERVERS[1]
#: By then the processes have connections again.
SETTLED_S: Final = 2.0
#: The gateway waits for longer before it refuses a payment for lack of time.
PROMPT_S: Final = 2.0
OUT_OF_SERVICE: Final = "1112"


@dataclass(frozen=True, slots=True)
class Mark:
    """A payment that counts, at its request."""

    at_s: float
    begun: int  #: how many times something had gone down


class Downtime:
    """What is down: servers, and frozen processes, by name."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self.clock = clock
        self._down: Counter[str] = Counter()
        self._begun: Counter[str] = Counter()
        self._ended_at: dict[str, float] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """It is down during this block."""
        self._down[name] += 1
        self._begun[name] += 1
        try:
            yield
        finally:
            self._down[name] -= 1
            self._ended_at[name] = self.clock()

    @property
    def has_server(self) -> bool:
        """Whether a server is down."""
        return any(self.is_down(server) for server in SERVERS)

    def is_down(self, name: str) -> bool:
        return self._down[name] > 0

    def is_alone(self, name: str) -> bool:
        """Whether it is down and nothing else is, or was a moment ago."""
        since = self.clock() - SETTLED_S
        others = self._begun.keys() - {name}
        return self.is_down(name) and not any(
            self.is_down(other) or self._ended_at[other] > since for other in others
        )

    @property
    def begun(self) -> int:
        """How many times something went down."""
        return self._begun.total()


class Separation:
    """Counts the payments of the first cell that were `served`, and refused `late`."""

    def __init__(self, downtime: Downtime) -> None:
        self._downtime = downtime
        self.mchids: Collection[str] = ()  #: of the first cell
        self.served = 0
        self.late = 0
        self.wrong: list[str] = []

    def begin(self, mchid: str) -> Mark | None:
        """A payment is requested. Returns what `end` needs; None if it does not count."""
        if mchid not in self.mchids or not self._downtime.is_alone(SECOND):
            return None
        return Mark(self._downtime.clock(), self._downtime.begun)

    def end(self, mark: Mark | None, reference: str, respcd: str) -> None:
        """It was answered. One that is answered when the server is back may have waited for that."""
        if mark is None or mark.begun != self._downtime.begun:
            return
        if respcd != OUT_OF_SERVICE:
            self.served += self._downtime.is_down(SECOND)
        elif self._downtime.clock() - mark.at_s < PROMPT_S:
            found = f"payment {reference} of cell_00 was answered {respcd} while only {SECOND} was down"
            self.wrong.append(found)
        else:
            self.late += 1
