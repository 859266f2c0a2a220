"""Hundreds of payments whose wallet does not answer leave room for the payments of another merchant."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx

from tael.api.app import Application
from tael.base.clock import RealClock
from tael.base.transport import Transport
from tael.channels.base import note_nothing
from tael.channels.wechat_v2.adapter import WeChatV2
from tael.main import application
from tael.operations.store import Store
from tests.integration.api.test_rate_limits import call
from tests.integration.payments.test_recording import gateway_over, over_channels
from tests.support.micropay import Micropay
from tests.support.services import services_of
from tests.support.store import count_of
from tests.support.values import ORIGIN, a_merchant, a_wechat_account, an_app

PATIENCE_S: Final = 60.0
SLOW: Final = 500
#: Payments that are sent at once.
CROWD: Final = 25
#: Of an account, at its wallet.
AT_WALLET: Final = 100
BARCODE: Final = {
    "pay_type": "800208",
    "txamt": "100",
    "txcurrcd": "HKD",
    "txdtm": "2026-01-02 11:04:05",
    "auth_code": "131234567890120000",
}


@asynccontextmanager
async def gateway(
    store: Store, wallet_url: str
) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """A process's API with the limits of a deployment, as two merchants reach it.

    Its calls may wait longer for a connection to the wallet, so that none ends before the test.
    """
    async with Transport(connections=2 * AT_WALLET, wait_s=PATIENCE_S) as to_wallet:
        clock = RealClock()
        wechat = WeChatV2(to_wallet, clock, wallet_url, None, "127.0.0.1", note_nothing)
        payments = over_channels(gateway_over(store), {"wechat_v2": wechat}, clock)
        app = application(services_of(payments, Transport()))
        async with client_at("192.0.2.1", app) as one, client_at("192.0.2.2", app) as another:
            yield one, another


def client_at(address: str, app: Application) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=PATIENCE_S)


async def pay(client: httpx.AsyncClient, appcode: str, number: int) -> str:
    params = BARCODE | {"mchid": f"of-{appcode}", "out_trade_no": f"{appcode}-{number}"}
    return str((await call(client, "payment", appcode, **params)).json()["respcd"])


async def add_merchant(store: Store, appcode: str, sub_mch_id: str) -> None:
    await store.merchants.add_app(an_app(appcode), ORIGIN)
    await store.merchants.add_merchant(a_merchant(f"of-{appcode}", appcode), ORIGIN)
    await store.accounts.add(a_wechat_account(f"account-{appcode}", f"of-{appcode}", sub_mch_id), ORIGIN)


async def until_opened(store: Store, number: int) -> None:
    while await count_of(store, "payment") < number:
        pass


async def test_five_hundred_slow_payments_leave_room_for_another_merchant_at_the_same_wallet(
    store: Store,
) -> None:
    for appcode, sub_mch_id in (("slow", "1900000111"), ("other", "1900000112")):
        await add_merchant(store, appcode, sub_mch_id)
    wallet = Micropay(held="1900000111")
    async with (
        asyncio.timeout(PATIENCE_S),
        wallet.serving() as wallet_url,
        gateway(store, wallet_url) as (slow_client, client),
    ):
        slow: list[asyncio.Task[str]] = []
        while len(slow) < SLOW:
            first = len(slow)
            slow += [asyncio.create_task(pay(slow_client, "slow", first + each)) for each in range(CROWD)]
            await until_opened(store, len(slow))
        await wallet.until_taken(AT_WALLET)

        one_by_one = [await pay(client, "other", number) for number in range(CROWD)]
        together = await asyncio.gather(*(pay(client, "other", CROWD + each) for each in range(CROWD)))

        assert {*one_by_one, *together} == {"0000"}
        assert not any(task.done() for task in slow)
        assert len(wallet.taken) == AT_WALLET + 2 * CROWD
        wallet.released.set()
        assert set(await asyncio.gather(*slow)) == {"0000"}
