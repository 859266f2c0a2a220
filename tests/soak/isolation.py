"""`python -m tests.soak.isolation`: at full size, how a hanging wallet or process affects the others.

First WeChat answers nothing under a crowd of payments. Measured: how long Alipay payments without an open connection
take, and how long the worker takes to see others paid. Then one gateway process is stopped with a payment's row locked.
Measured: how long refunds of other payments take. The last line is JSON; the exit code is 0 if every response was right
and within its bound and the soak's three books agree.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Final

import asyncpg

from tael.base.serial import cell_of
from tael.db.cells import schema_of
from tests.end_to_end.rig import free_port_block
from tests.soak.merchant import Members
from tests.soak.neighbours import quantile
from tests.soak.plan import APIS, SHOPS
from tests.soak.rig import SoakStack, running_soak
from tests.soak.run import Figures, Soak
from tests.support.postgres import open_folder

#: More than the connections that two gateway processes may have to one wallet.
CROWD: Final = 600
BARCODES: Final = 20
PASSWORDS: Final = 6
REFUNDS: Final = 40
HOLD_S: Final = 60.0
CROWD_START_S: Final = 5.0
WATCH_S: Final = 0.1
LOOK_S: Final = 0.005
LIMIT_S: Final = 120.0
ATTEMPTS: Final = 10
#: Time limits on an otherwise idle machine.
BARCODE_LIMIT_S: Final = 5.0
DECIDED_LIMIT_S: Final = 30.0
REFUND_LIMIT_S: Final = 8.0
WAITS_FOR_LOCK: Final = (
    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%payment%'"
)
IDLE_WITH_LOCK: Final = "SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction' AND pid <> $1"


class Isolation(Soak):
    """A soak of only these two scenarios."""

    def __init__(self, stack: SoakStack) -> None:
        super().__init__(stack, (), ends_early=False)
        self.figures: dict[str, float] = {}

    async def _carry_out(self) -> None:
        async with self._wallet_faults.hanging("wechat", HOLD_S):
            crowd = [asyncio.create_task(self._barcode("wechat", shop)) for shop in self._shops(CROWD)]
            await asyncio.sleep(CROWD_START_S)
            self.figures["other_wallet_max_s"] = await self._barcodes_of_alipay()
            await asyncio.gather(*crowd)
            self.figures["other_wallet_decided_s"] = await self._passwords_of_alipay()
        self.figures["other_refunds_max_s"] = await self._refunds_beside_a_frozen_process()

    # ---- a wallet that hangs -------------------------------------------------------------------------------------

    async def _barcodes_of_alipay(self) -> float:
        """Send the initial requests to that wallet. Returns the longest, in seconds."""
        return max(
            await asyncio.gather(*(self._timed("payment", "alipay", "demo", {}) for _ in range(BARCODES)))
        )

    async def _passwords_of_alipay(self) -> float:
        """Seconds until all payments are paid whose result only the worker can see."""
        loop = asyncio.get_running_loop()
        answers = await asyncio.gather(
            *(self._barcode("alipay", "demo", "password_then_pays") for _ in range(PASSWORDS))
        )
        began = loop.time()
        numbers = [answer["syssn"] for answer in answers if answer is not None and "syssn" in answer]
        self._expect(len(numbers) == PASSWORDS, "a payment with a password was never answered")
        while loop.time() < began + LIMIT_S:
            rows = await self._reader.rows("SELECT state FROM payment WHERE syssn = ANY($1)", numbers)
            if {row["state"] for row in rows} == {"PAID"}:
                break
            await asyncio.sleep(WATCH_S)
        return loop.time() - began

    @staticmethod
    def _shops(number: int) -> list[str]:
        return [SHOPS[index % len(SHOPS)] for index in range(number)]

    async def _barcode(self, wallet: str, shop: str, behaviour: str = "pays") -> Members | None:
        params = await self._params(wallet, behaviour)
        return await self._client.call(self._merchants[shop], "payment", params)

    async def _params(self, wallet: str, behaviour: str) -> dict[str, str]:
        return {
            "pay_type": {"alipay": "800108", "wechat": "800208"}[wallet],
            "out_trade_no": self._client.reference(),
            "txamt": "1000",
            "txdtm": self._client.moment(),
            "auth_code": await self._client.code(wallet, behaviour),
        }

    async def _timed(self, name: str, wallet: str, shop: str, params: dict[str, str]) -> float:
        """Seconds of a call that must be answered 0000."""
        loop = asyncio.get_running_loop()
        params = params or await self._params(wallet, "pays")
        began = loop.time()
        answer = await self._client.call(self._merchants[shop], name, params)
        took = loop.time() - began
        found = "nothing" if answer is None else answer["respcd"]
        self._expect(found == "0000", f"a {name} at {wallet} was answered {found} after {took:.1f} s")
        return took

    # ---- a process that is stopped in a transaction --------------------------------------------------------------

    async def _refunds_beside_a_frozen_process(self) -> float:
        """The longest refund of another payment, in seconds."""
        paid = await asyncio.gather(*(self._barcode("alipay", "demo") for _ in range(REFUNDS + ATTEMPTS)))
        numbers = [answer["syssn"] for answer in paid if answer is not None and answer["respcd"] == "0000"]
        self._expect(len(numbers) == len(paid), "a payment before the freeze was not paid")
        others, locked = numbers[:REFUNDS], numbers[REFUNDS:]
        for number in locked:
            async with self._stopped_while_it_refunds(number) as is_in_transaction:
                if is_in_transaction:
                    return max(await asyncio.gather(*(self._refund_timed(other) for other in others)))
        self._expect(False, "no process could be stopped inside a transaction")
        return 0.0

    @asynccontextmanager
    async def _stopped_while_it_refunds(self, syssn: str) -> AsyncIterator[bool]:
        """Stop one process. Yields whether it has this payment's row locked in an open transaction."""
        server = self._stack.servers[cell_of(syssn) or 0]
        settings = {"search_path": schema_of(server.cell)}
        connection = await asyncpg.connect(server.url, server_settings=settings)
        [child] = self._stack.running(APIS[:1])
        try:
            async with connection.transaction():
                await connection.execute("SELECT 1 FROM payment WHERE syssn = $1 FOR UPDATE", syssn)
                refund = asyncio.create_task(self._refund(syssn))
                await self._until_found(connection, WAITS_FOR_LOCK)
                child.send_signal(signal.SIGSTOP)
            await asyncio.sleep(WATCH_S)
            yield bool(await connection.fetch(IDLE_WITH_LOCK, connection.get_server_pid()))
        finally:
            child.send_signal(signal.SIGCONT)
            await connection.close()
        await refund

    async def _until_found(self, connection: asyncpg.Connection, query: str) -> None:
        async with asyncio.timeout(LIMIT_S):
            while True:
                if await connection.fetch(query):
                    return
                await asyncio.sleep(LOOK_S)

    async def _refund(self, syssn: str) -> Members | None:
        return await self._client.call(self._merchants["demo"], "refund", self._refund_params(syssn))

    async def _refund_timed(self, syssn: str) -> float:
        return await self._timed("refund", "alipay", "demo", self._refund_params(syssn))

    def _refund_params(self, syssn: str) -> dict[str, str]:
        return {
            "syssn": syssn,
            "out_trade_no": self._client.reference(),
            "txamt": "1000",
            "txdtm": self._client.moment(),
        }

    # ---- the end -------------------------------------------------------------------------------------------------

    def _expect(self, is_so: bool, otherwise: str) -> None:
        if not is_so:
            self._found[otherwise] = None

    def _report(self, found: list[str]) -> Figures:
        return Figures(operations=sum(self._client.operations.values()), mismatches=found)


def too_slow(figures: dict[str, float]) -> Sequence[str]:
    limits = {
        "other_wallet_max_s": BARCODE_LIMIT_S,
        "other_wallet_decided_s": DECIDED_LIMIT_S,
        "other_refunds_max_s": REFUND_LIMIT_S,
    }
    return [
        f"{name} is {figures.get(name, 0):.1f}, more than {limit:g}"
        for name, limit in limits.items()
        if figures.get(name, 0) > limit
    ]


def main() -> int:
    parser = argparse.ArgumentParser("tests.soak.isolation")
    parser.add_argument("--data", type=Path, help="an empty folder to keep everything in")
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("TAEL_")]:
        del os.environ[name]  # the caller's settings would redirect the soak
    with nullcontext(options.data) if options.data else open_folder() as folder:
        print(f"isolation   logs in {folder / 'logs'}", flush=True)
        with running_soak(free_port_block(), folder) as stack:
            isolation = Isolation(stack)
            found = [*asyncio.run(isolation.run()).mismatches, *too_slow(isolation.figures)]
    for sentence in found[:100]:
        print(f"MISMATCH    {sentence}")
    seconds = {name: quantile([value], 1.0) for name, value in isolation.figures.items()}
    print(json.dumps({**seconds, "mismatches": len(found)}), flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
