"""The gateway as `main` builds it, over real sockets: a hanging wallet takes nothing from the other."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from tael.base.money import Money
from tael.base.pay_types import PAY_TYPES
from tael.config import read_settings
from tael.operations.store import Store
from tael.payments.context import PaymentContext
from tael.payments.domain.payment import Payment, State
from tael.payments.opening import PaymentRequest, open_payment
from tael.qfpay import codes
from tael.qfpay.shown import shown_respcd
from tael.services import open_services
from tests.support.alipay import wallet_signature, xml_answer
from tests.support.serving import serving
from tests.support.store import ENCRYPTION_KEY
from tests.support.values import APPCODE, MCHID, ORIGIN, a_merchant, a_wechat_account
from tests.unit.base.test_transport_places import BlockingServer, blocking_server

ALIPAY_CODE = "280000000000000001"
WECHAT_CODE = "134567890123456789"
OTHER_MCHID = "mch2"
PATIENCE_S = 20.0


async def alipay(request: web.Request) -> web.Response:
    """Pays every barcode."""
    asked = dict(parse_qsl((await request.read()).decode()))
    answer = {
        "result_code": "SUCCESS",
        "partner_trans_id": asked["partner_trans_id"],
        "alipay_trans_id": f"trade-{asked['partner_trans_id']}",
        "trans_amount": asked["trans_amount"],
    }
    signature = wallet_signature(answer, "MD5", key="alipay-md5-key")
    return web.Response(body=xml_answer(answer, sign=signature))


@dataclass
class Shops:
    """Two merchants of one app at a gateway whose WeChat Pay hangs; Alipay has not been called yet."""

    gateway: PaymentContext
    wechat: BlockingServer
    orders: int = 0

    async def pay(self, pay_type: str, mchid: str = MCHID) -> Payment:
        known = await self.gateway.wallets.credentials.app(APPCODE)
        assert known is not None
        self.orders += 1
        ask = PaymentRequest(
            context=known,
            merchant=known.merchants[mchid],
            pay_type=PAY_TYPES[pay_type],
            reference=f"order-{self.orders}",
            amount=Money(100, "HKD"),
            auth_code=ALIPAY_CODE if pay_type == "800108" else WECHAT_CODE,
            openid="",
            subject="tea",
            client_time="2026-01-02 11:04:05",
            device="",
            expires_after_s=None,
        )
        return await asyncio.wait_for(open_payment(ask, self.gateway), PATIENCE_S)


@pytest.fixture
async def shops(store: Store, database_url: str) -> AsyncIterator[Shops]:
    await store.merchants.add_merchant(a_merchant(OTHER_MCHID), ORIGIN)
    await store.accounts.add(a_wechat_account("wechat2", OTHER_MCHID, "1900000111"), ORIGIN)
    async with blocking_server() as wechat, serving(alipay) as alipay_url:
        settings = read_settings(
            {
                "TAEL_DATABASE_URL": database_url,
                "TAEL_ENCRYPTION_KEY": base64.b64encode(ENCRYPTION_KEY).decode(),
                "TAEL_ALIPAY_URL": alipay_url,
                "TAEL_ALIPAY_INSTORE_URL": alipay_url,
                "TAEL_WECHAT_URL": wechat.url,
                "TAEL_WALLET_CONNECTIONS": "4",
                "TAEL_WALLET_WAIT_MS": "50",
            }
        )
        async with open_services(settings) as services:
            yield Shops(services.first.payments, wechat)
            wechat.open.set()


async def test_while_wechat_hangs_with_all_its_connections_alipay_is_paid_and_further_calls_are_not_sent(
    shops: Shops,
) -> None:
    hanging = [
        asyncio.create_task(shops.pay("800208", mchid)) for mchid in (MCHID, MCHID, OTHER_MCHID, OTHER_MCHID)
    ]
    await shops.wechat.until_received(4)

    for _ in range(20):
        assert (await shops.pay("800108")).state is State.PAID
    beyond = await asyncio.gather(*(shops.pay("800208", mchid) for mchid in [MCHID, OTHER_MCHID] * 10))

    assert {(one.state, shown_respcd(one), one.check_at) for one in beyond} == {
        (State.FAILED, codes.UNREACHABLE, None)
    }
    assert len(shops.wechat.received) == 4
    assert not any(one.done() for one in hanging)
    shops.wechat.open.set()
    assert {one.state for one in await asyncio.gather(*hanging)} == {State.PENDING}


async def test_one_merchant_cannot_use_up_the_connections_to_a_wallet(shops: Shops) -> None:
    own = [asyncio.create_task(shops.pay("800208")) for _ in range(10)]
    await shops.wechat.until_received(2)

    other = asyncio.create_task(shops.pay("800208", OTHER_MCHID))
    await shops.wechat.until_received(3)

    shops.wechat.open.set()
    await asyncio.gather(*own, other)
