"""The dependencies of the use cases of payments."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tael.base.clock import Clock
from tael.base.serial import cell_of
from tael.db.cells import NoSuchCell
from tael.payments.store.payments import Payments
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
    """Of one cell, created once per process."""

    store: PaymentTables
    wallets: Wallets
    clock: Clock
    in_flight_requests: InFlightRequests
    #: The payments of every cell, if there are several.
    of_cell: Callable[[int], Awaitable[Payments]] | None = None

    async def is_ours(self, syssn: str) -> bool:
        """Whether any merchant has a payment with this number. Raises StoreUnavailable."""
        cell, payments = cell_of(syssn), self.store.payments
        if cell is not None and self.of_cell is not None:
            try:
                payments = await self.of_cell(cell)
            except NoSuchCell:
                return False
        return await payments.find_anywhere(syssn) is not None


#: The context of a merchant's cell, by mchid, or of a transaction's, by syssn. Raises StoreUnavailable.
ContextOf = Callable[[str], Awaitable[PaymentContext]]
