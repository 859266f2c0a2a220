"""What a measured gateway runs with: an app, a merchant with an account at the stub wallet, and the settings."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from bench import wallet
from bench.requests import APPCODE, KEY
from tael.audit_log.domain.entry import Origin
from tael.base.cipher import Cipher
from tael.base.key_ring import key_ring
from tael.base.secret import Secret
from tael.db.cells import Cells
from tael.merchants.domain.merchant import App, Merchant
from tael.operations.store import Store, store_over
from tael.payments.domain.payment import Payment
from tael.stores import stores_over

MCHID: Final = "BENCHMERCHANT001"
ACCOUNT_ID: Final = "benchaccount000000000001"
#: A merchant whose wallet is slow.
SLOW_MCHID: Final = "BENCHMERCHANT002"
SLOW_ACCOUNT_ID: Final = "benchaccount000000000002"
#: Of this benchmark's databases only.
ENCRYPTION_KEY: Final = bytes(range(32))
NODE: Final = 9
#: Where webhooks go that no worker sends.
NOWHERE: Final = "http://127.0.0.1:9/"


def store_on(cells: Cells) -> Store:
    return store_over(cells.directory, cells.databases.first, Cipher(key_ring(ENCRYPTION_KEY)), NODE)


async def add_merchant(url: str, notify_url: str) -> None:
    """Two, to an empty database. Each payment of theirs has a webhook to `notify_url`."""
    origin = Origin("bench", "127.0.0.1", "bench", datetime.now(UTC))
    app = App(APPCODE, Secret(KEY), notify_url, None, notify_offline=True)
    async with Cells(url) as cells:
        store = store_on(cells)
        await store.merchants.add_app(app, origin)
        await store.merchants.add_merchant(Merchant(MCHID, APPCODE, "Bench", "HKD"), origin)
        await store.accounts.add(wallet.account(MCHID, ACCOUNT_ID), origin)
        slow = wallet.account(SLOW_MCHID, SLOW_ACCOUNT_ID, wallet.SLOW_SUB_MCH_ID)
        await store.merchants.add_merchant(Merchant(SLOW_MCHID, APPCODE, "Slow", "HKD"), origin)
        await store.accounts.add(slow, origin)


async def add_merchants(url: str, number_of_cells: int) -> list[str]:
    """One to each cell of an empty database; their mchids. The first one is `MCHID`."""
    origin = Origin("bench", "127.0.0.1", "bench", datetime.now(UTC))
    mchids = [f"BENCHMERCHANT{cell + 1:03d}" for cell in range(number_of_cells)]
    async with Cells(url) as cells:
        store = stores_over(cells, Cipher(key_ring(ENCRYPTION_KEY)), NODE).first
        await store.merchants.add_app(App(APPCODE, Secret(KEY), NOWHERE, None, notify_offline=True), origin)
        for cell, mchid in enumerate(mchids):
            await store.merchants.add_merchant(Merchant(mchid, APPCODE, "Bench", "HKD", cell=cell), origin)
            account = wallet.account(mchid, f"benchaccount{cell + 1:012d}", f"19{cell:08d}")
            await store.accounts.add(account, origin)
    return mchids


def environment(database_url: str, wallet_url: str) -> Mapping[str, str]:
    """The settings of a process of the gateway: those of a deployment, without limits of requests."""
    return {
        "TAEL_DATABASE_URL": database_url,
        "TAEL_ENCRYPTION_KEY": base64.b64encode(ENCRYPTION_KEY).decode(),
        "TAEL_PUBLIC_URL": "https://pay.example",
        "TAEL_WECHAT_URL": wallet_url,
        "TAEL_MERCHANT_MAX_PER_SECOND": "0",
        "TAEL_MERCHANT_MAX_PER_MINUTE": "0",
        "TAEL_ADDRESS_MAX_PER_SECOND": "0",
        "TAEL_WEBHOOK_LOOPBACK": "on",
        "TAEL_WEBHOOK_ANY_PORT": "on",
    }


async def a_paid_payment(url: str) -> Payment | None:
    async with Cells(url) as cells:
        rows = await cells.databases.first.fetch(
            "SELECT syssn FROM payment WHERE mchid = $1 AND state = 'PAID' LIMIT 1", MCHID
        )
        return await store_on(cells).payments.by_syssn(MCHID, rows[0]["syssn"]) if rows else None
