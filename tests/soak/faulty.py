"""The wallets' faults of a soak: merges several at a time into the sandbox's one list, and counts hits by kind."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tests.soak.merchant import SoakClient
from tests.soak.plan import WALLETS, Fault

Row = dict[str, object]
#: The names of a wallet in the sandbox's faults.
PARTS_OF: Final = {"alipay": ("alipay",), "wechat": ("wechat", "wechat_hk")}
#: The delay of every wallet call while a kill waits for its moment.
SLOW_S: Final = 0.8


class WalletFaults:
    """The active faults of the wallets."""

    def __init__(self, client: SoakClient) -> None:
        self._client = client
        self._rows: dict[object, list[Row]] = {}
        self._lock = asyncio.Lock()
        self.hits: Counter[str] = Counter()

    async def live(self, fault: Fault) -> None:
        """Keep the planned fault active for its time."""
        async with self._among(fault, [_row(fault)]):
            await asyncio.sleep(fault.for_s)

    @asynccontextmanager
    async def slow(self) -> AsyncIterator[None]:
        """Slow every wallet down, so that requests stay between their two commits for a while."""
        rows: list[Row] = [{"wallet": wallet, "kind": "slow", "delay_s": SLOW_S} for wallet in WALLETS]
        async with self._among(object(), rows):
            yield

    @asynccontextmanager
    async def hanging(self, wallet: str, hold_s: float) -> AsyncIterator[None]:
        """Answer no call to this wallet; its connection ends after `hold_s`."""
        rows: list[Row] = [
            {"wallet": name, "kind": "timeout_before", "hold_s": hold_s} for name in PARTS_OF[wallet]
        ]
        async with self._among(object(), rows):
            yield

    async def end(self) -> None:
        """Remove all faults."""
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
        """Replacing the list resets its counts, so they are read first."""
        for row in await self._client.control("faults", "GET"):
            if row["delay_s"] != SLOW_S:  # the delay of a kill is not a fault of the plan
                self.hits[row["kind"]] += row["hits"]
        await self._client.control("faults", "PUT", [row for rows in self._rows.values() for row in rows])


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
