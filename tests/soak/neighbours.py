"""Compares payment times at one wallet while the other hangs with the times just before.

Meanwhile only payments run, so each of them must be answered as paid.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle
from typing import Final

from tests.end_to_end.merchant import WALLET_OF
from tests.soak.faulty import WalletFaults
from tests.soak.merchant import Members, Merchant, SoakClient
from tests.soak.plan import SHOPS, Hang, Pay
from tests.soak.story import Scenario

BARCODES: Final = {"alipay": "800108", "wechat": "800208"}
OTHER: Final = {"alipay": "wechat", "wechat": "alipay"}
#: Concurrent payments at the hanging wallet, more than one account's connections to it.
CROWD: Final = 120
GAP_S: Final = 0.1
BEFORE_S: Final = 3.0
CALM_LIMIT_S: Final = 20.0
PAID: Final = "0000"


class Neighbours:
    """Hangs one wallet at a time and pays at the other. `before` and `meanwhile` are its payment times in seconds."""

    def __init__(
        self, client: SoakClient, wallet_faults: WalletFaults, merchants: dict[str, Merchant]
    ) -> None:
        self._client = client
        self._wallet_faults = wallet_faults
        self._merchants = merchants
        self.is_measuring = False
        self.hangs = 0
        self.before: list[float] = []
        self.meanwhile: list[float] = []
        self.wrong: list[str] = []

    async def carry_out(self, hang: Hang, quiet: Callable[[], Awaitable[None]]) -> None:
        """`quiet` ends all other disturbances; none may start while `is_measuring`."""
        self.is_measuring = True
        try:
            await quiet()
            crowd = await self._measure(hang)
        finally:
            self.is_measuring = False
        await asyncio.gather(*crowd)

    async def _measure(self, hang: Hang) -> list[asyncio.Task[None]]:
        """Returns the payments still in flight at the hanging wallet."""
        other = OTHER[hang.wallet]
        if not await self._is_calm(other):
            self.wrong.append(f"payments at {other} were never answered at once before {hang.wallet} hung")
            return []
        self.before += await self._pay_for(BEFORE_S, other, f"before {hang.wallet} hung")
        async with self._wallet_faults.hanging(hang.wallet, 2 * hang.for_s):
            self.hangs += 1
            crowd = [asyncio.create_task(scenario.live()) for scenario in self._crowd(hang.wallet)]
            self.meanwhile += await self._pay_for(hang.for_s, other, f"while {hang.wallet} hung")
        return crowd

    async def _is_calm(self, wallet: str) -> bool:
        """Whether the gateway has recovered: several payments in a row are paid at once."""
        loop = asyncio.get_running_loop()
        until, paid = loop.time() + CALM_LIMIT_S, 0
        while loop.time() < until and paid < 5:
            paid = paid + 1 if (await self._pay(wallet) or {}).get("respcd") == PAID else 0
        return paid == 5

    async def _pay_for(self, seconds: float, wallet: str, when: str) -> list[float]:
        """Make a payment every GAP_S; returns the time of each in seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        asked = []
        while loop.time() < until:
            asked.append(asyncio.create_task(self._timed(wallet, when)))
            await asyncio.sleep(GAP_S)
        return list(await asyncio.gather(*asked))

    async def _timed(self, wallet: str, when: str) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await self._pay(wallet)
        took = loop.time() - began
        if answer is None or answer["respcd"] != PAID:
            found = "nothing" if answer is None else answer["respcd"]
            self.wrong.append(f"{when}, a payment at {wallet} was answered {found} after {took:.1f} s")
        return took

    async def _pay(self, wallet: str) -> Members | None:
        pay_type = BARCODES[wallet]
        params = {
            "pay_type": pay_type,
            "out_trade_no": self._client.reference(),
            "txamt": "100",
            "txdtm": self._client.moment(),
            "auth_code": await self._client.code(WALLET_OF[pay_type], "pays"),
        }
        return await self._client.call(self._merchants["demo"], "payment", params)

    def _crowd(self, wallet: str) -> list[Scenario]:
        """Payments of every merchant at the hanging wallet; they are checked with all others at the end."""
        shops = cycle([shop for shop in SHOPS if wallet == "wechat" or shop != "wechat_only"])
        pays = [Pay(0.0, next(shops), BARCODES[wallet], "pays", 100, None, 1, ()) for _ in range(CROWD)]
        return [Scenario(pay, self._merchants[pay.shop], {}, self._client) for pay in pays]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that is no less than this share of them; 0 of none."""
    return round(sorted(values)[max(0, math.ceil(share * len(values)) - 1)], 3) if values else 0.0
