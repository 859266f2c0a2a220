"""The dependencies of the use cases of payments."""

import asyncio
from dataclasses import dataclass

from tael.base.clock import Clock
from tael.payments.store.tables import PaymentTables
from tael.payments.wallets import Wallets


class InFlightRequests:
    """Payments whose initial request is in flight in this process; repeats wait for the event."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}

    def begin(self, syssn: str) -> None:
        self._events[syssn] = asyncio.Event()

    def end(self, syssn: str) -> None:
        self._events.pop(syssn).set()

    def of(self, syssn: str) -> asyncio.Event | None:
        return self._events.get(syssn)


@dataclass(frozen=True, slots=True)
class PaymentContext:
    """Created once per process."""

    store: PaymentTables
    wallets: Wallets
    clock: Clock
    in_flight_requests: InFlightRequests
