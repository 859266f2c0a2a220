"""Concurrent payments in one or two cells while their servers fail, and what must be in the database afterwards.

The gateway's process is a real one, which recovers by itself; the wallet approves everything.
"""

import asyncio
import base64
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp

from tael.db.cells import Cells
from tael.stores import stores_over
from tests.end_to_end.rig import END_LIMIT_S, ROOT
from tests.integration.api.test_rate_limits import signed
from tests.support.micropay import Micropay
from tests.support.ports import reserved_ports
from tests.support.postgres import connect_to_cell
from tests.support.store import CIPHER, ENCRYPTION_KEY, NODE
from tests.support.values import APPCODE, MCHID, ORIGIN, a_merchant, a_wechat_account, an_app

#: Concurrent payments.
SENDERS: Final = 64
#: Acknowledged before the kill, and after the restart.
ENOUGH: Final = 400
LIMIT_S: Final = 60.0
AMOUNT_MINOR: Final = 1000
#: 0.6 %
FEE_RATE_PPM: Final = 6000
FEE_MINOR: Final = 6
#: In the second cell.
OTHER_MCHID: Final = "mch2"
ACKNOWLEDGED: Final = "0000"
#: Not done, or not known: then the merchant repeats the request, or queries.
UNACKNOWLEDGED: Final = {"1112", "1145"}

BOOKED: Final = """
SELECT p.syssn, p.reference, p.state, p.has_initial_response, p.check_at IS NOT NULL,
    (SELECT array_agg(e.amount_minor) FROM ledger_entry e WHERE e.mchid = p.mchid AND e.cause = p.syssn),
    (SELECT count(*) FROM webhook w WHERE w.mchid = p.mchid AND w.cause = p.syssn)
FROM payment p
"""


#: By syssn.
Rows = Mapping[str, tuple[Any, ...]]


@dataclass
class Load:
    """Senders on a thread, each with one payment at a time, and the wallet. PostgreSQL needs the main thread."""

    gateway: str
    mchids: Sequence[str] = (MCHID,)
    wallet: Micropay = field(default_factory=Micropay)
    acknowledged: dict[str, str] = field(default_factory=dict)  #: syssn by reference
    of_merchant: Counter[str] = field(default_factory=Counter)  #: how many of these, by mchid
    others: Counter[str] = field(default_factory=Counter)  #: further responses, by respcd
    refused: Counter[str] = field(default_factory=Counter)  #: how many of these, by mchid
    changed: threading.Condition = field(default_factory=threading.Condition)
    is_over: bool = False

    async def send_until_over(self, sender: int) -> None:
        async with aiohttp.ClientSession() as session:
            number = 0
            while not self.is_over:
                number += 1
                await self._pay(session, self.mchids[sender % len(self.mchids)], f"{sender}-{number}")

    async def _pay(self, session: aiohttp.ClientSession, mchid: str, reference: str) -> None:
        params = {
            "mchid": mchid,
            "out_trade_no": reference,
            "pay_type": "800208",
            "txamt": str(AMOUNT_MINOR),
            "txcurrcd": "HKD",
            "txdtm": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
            "auth_code": "131234567890120000",
        }
        headers = {"X-QF-APPCODE": APPCODE, "X-QF-SIGN": signed(params, f"key-of-{APPCODE}")}
        url = f"{self.gateway}/trade/v1/payment"
        async with session.post(url, data=params, headers=headers) as response:
            answer = await response.json()
        self._note(mchid, reference, answer)

    def _note(self, mchid: str, reference: str, answer: dict[str, Any]) -> None:
        with self.changed:
            if answer["respcd"] == ACKNOWLEDGED:
                self.acknowledged[reference] = answer["syssn"]
                self.of_merchant[mchid] += 1
            else:
                self.others[answer["respcd"]] += 1
                self.refused[mchid] += 1
            self.changed.notify_all()

    def wait_for(self, acknowledged: int = 0, others: int = 0) -> None:
        self._wait_until(lambda: len(self.acknowledged) >= acknowledged and self.others.total() >= others)

    def wait_for_more(self, number: int, *mchids: str) -> None:
        """Until so many more payments of each of these merchants are acknowledged."""
        wanted = {mchid: self.of_merchant[mchid] + number for mchid in mchids}
        self._wait_until(lambda: all(self.of_merchant[mchid] >= wanted[mchid] for mchid in mchids))

    def wait_for_refusals(self, number: int, mchid: str) -> None:
        """Until so many more payments of this merchant are not."""
        wanted = self.refused[mchid] + number
        self._wait_until(lambda: self.refused[mchid] >= wanted)

    def _wait_until(self, is_reached: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(is_reached, LIMIT_S), (self.of_merchant, self.others)


@contextmanager
def under_load(url: str, folder: Path, *mchids: str) -> Iterator[Load]:
    """A gateway on the database at `url`, a wallet and senders. Raises what ended a sender."""
    with reserved_ports(1) as (port,):
        yield from _loaded(Load(f"http://127.0.0.1:{port}", mchids or (MCHID,)), port, url, folder)


def _loaded(load: Load, port: int, url: str, folder: Path) -> Iterator[Load]:
    failures = []

    async def run() -> None:
        async with load.wallet.serving() as wallet_url:
            with gateway(port, url, wallet_url, folder / "gateway.log"):
                await until_served(load.gateway)
                async with asyncio.TaskGroup() as senders:
                    for sender in range(SENDERS):
                        senders.create_task(load.send_until_over(sender))

    def run_noting_failures() -> None:
        try:
            asyncio.run(asyncio.wait_for(run(), 2 * LIMIT_S))
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=run_noting_failures)
    thread.start()
    try:
        yield load
    finally:
        load.is_over = True
        thread.join()
    for failure in failures:
        raise failure


@contextmanager
def gateway(port: int, database_url: str, wallet_url: str, log: Path) -> Iterator[None]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("TAEL_")} | {
        "TAEL_DATABASE_URL": database_url,
        "TAEL_ENCRYPTION_KEY": base64.b64encode(ENCRYPTION_KEY).decode(),
        "TAEL_WECHAT_URL": wallet_url,
        "TAEL_MERCHANT_MAX_PER_SECOND": "0",
        "TAEL_MERCHANT_MAX_PER_MINUTE": "0",
        "TAEL_ADDRESS_MAX_PER_SECOND": "0",
    }
    command = [sys.executable, "-m", "tael.cli", "serve", "--allow-http", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(END_LIMIT_S)


async def until_served(url: str) -> None:
    async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)  # the process has not begun to listen


def add_merchants(url: str, *mchids: str) -> None:
    """One in each cell, from the first on. Each of their payments has an entry, one of its fee, and a webhook."""
    asyncio.run(_add_merchants(url, mchids))


async def _add_merchants(url: str, mchids: Sequence[str]) -> None:
    async with Cells(url) as cells:
        store = stores_over(cells, CIPHER, NODE).first
        await store.merchants.add_app(an_app(), ORIGIN)
        for cell, mchid in enumerate(mchids):
            await store.merchants.add_merchant(a_merchant(mchid, cell=cell), ORIGIN)
            account = replace(a_wechat_account(f"wechat{cell}"), mchid=mchid, sub_mch_id=f"{cell}")
            await store.accounts.add(account, ORIGIN)
        await store.directory.execute("UPDATE app SET notify_url = 'http://shop', notify_offline = true")
        await store.directory.execute("UPDATE wallet_account SET fee_rate_ppm = $1", FEE_RATE_PPM)


def booked(url: str, cell: int = 0) -> Rows:
    with connect_to_cell(url, cell) as connection:
        return {row[0]: row[1:] for row in connection.execute(BOOKED)}


def check(load: Load, rows: Rows) -> None:
    """Everything that was acknowledged is there, and nothing is half done."""
    assert set(load.others) <= UNACKNOWLEDGED
    for reference, syssn in load.acknowledged.items():
        number, state, _, _, entries, webhooks = rows[syssn]
        assert (number, state, sorted(entries or ()), webhooks) == (
            reference,
            "PAID",
            [FEE_MINOR, AMOUNT_MINOR],
            1,
        )
    # The wallet was never asked for what was not committed, and what is not decided is due.
    assert set(load.wallet.taken) <= rows.keys()
    for _, state, has_initial_response, is_due, entries, webhooks in rows.values():
        if state != "PAID":
            assert (state, has_initial_response, is_due, entries, webhooks) == (
                "PENDING",
                False,
                True,
                None,
                0,
            )
