"""The wallets' faults of a soak: several at a time in the sandbox's one list, and a count of what each kind did."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tests.soak.merchant import Street
from tests.soak.plan import WALLETS, Fault

Row = dict[str, object]
#: A wallet by the names that its faults have.
PARTS_OF: Final = {"alipay": ("alipay",), "wechat": ("wechat", "wechat_hk")}
#: How long a wallet thinks while a kill waits for its moment.
THINKING_S: Final = 0.8


class Faulty:
    """What the wallets do wrong at the moment."""

    def __init__(self, street: Street) -> None:
        self._street = street
        self._rows: dict[object, list[Row]] = {}
        self._lock = asyncio.Lock()
        self.hits: Counter[str] = Counter()

    async def live(self, fault: Fault) -> None:
        """The planned fault, for as long as it is planned."""
        async with self._among(fault, [_row(fault)]):
            await asyncio.sleep(fault.for_s)

    @asynccontextmanager
    async def thinking(self) -> AsyncIterator[None]:
        """Every wallet takes its time, so that what is asked of it stays between two commits for a while."""
        rows: list[Row] = [{"wallet": wallet, "kind": "slow", "delay_s": THINKING_S} for wallet in WALLETS]
        async with self._among(object(), rows):
            yield

    @asynccontextmanager
    async def hanging(self, wallet: str, hold_s: float) -> AsyncIterator[None]:
        """No call to this wallet is answered; after `hold_s` its connection ends."""
        rows: list[Row] = [
            {"wallet": one, "kind": "timeout_before", "hold_s": hold_s} for one in PARTS_OF[wallet]
        ]
        async with self._among(object(), rows):
            yield

    async def end(self) -> None:
        """No fault any more, whatever had been left behind."""
        async with self._lock:
            self._rows.clear()
            await self._write()

    @asynccontextmanager
    async def _among(self, name: object, rows: list[Row]) -> AsyncIterator[None]:
        async with self._lock:
            self._rows[name] = rows
            await self._write()
        try:
            yield
        finally:
            async with self._lock:
                self._rows.pop(name, None)
                await self._write()

    async def _write(self) -> None:
        """A list that is replaced forgets its counts, so they are read first."""
        for row in await self._street.control("faults", "GET"):
            if row["delay_s"] != THINKING_S:  # what a kill waits for is no fault
                self.hits[row["kind"]] += row["hits"]
        await self._street.control("faults", "PUT", [row for rows in self._rows.values() for row in rows])


def _row(fault: Fault) -> Row:
    row: Row = {
        "wallet": fault.wallet,
        "kind": fault.kind,
        "times": fault.times,
        "probability": fault.probability,
        "seed": fault.seed,
    }
    if fault.kind in ("timeout_before", "timeout_after"):
        row["hold_s"] = fault.wait_s
    if fault.kind in ("slow", "delay_notice"):
        row["delay_s"] = fault.wait_s
    return row
