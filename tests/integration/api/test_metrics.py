"""What `/metrics` counts of a payment, from the call of the merchant to the rows in the database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from tael.api.health import OLDEST_DUE_S, QueueFigures
from tael.base.metrics import QUEUE_OLDEST_DUE
from tael.base.transport import Transport
from tael.main import application
from tael.operations.store import Store
from tests.integration.api.test_overload import BARCODE
from tests.integration.api.test_rate_limits import call
from tests.integration.payments.test_recording import gateway_over, over_channels
from tests.support.alipay import TestClock
from tests.support.fake_wallet import FakeWallet
from tests.support.metrics import growth, sample
from tests.support.services import services_of
from tests.support.store import opened
from tests.support.values import NOW, PROTOCOLS, a_payment

ALIPAY = {"protocol": "alipay_mapi"}
WECHAT = {"protocol": "wechat_v2"}


@asynccontextmanager
async def gateway(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    clock = TestClock(NOW)
    payments = over_channels(gateway_over(store), dict.fromkeys(PROTOCOLS.values(), FakeWallet(clock)))
    services = services_of(replace(payments, clock=clock), Transport())
    transport = httpx.ASGITransport(application(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


async def test_a_payment_and_its_refund_are_counted_at_each_stage(store: Store) -> None:
    calls = {
        name: growth("tael_call_duration_seconds_count", call=name, result="done")
        for name in ("payment", "refund")
    }
    paid = growth("tael_payment_state_changes_total", state="PAID", **WECHAT)
    refunded = growth("tael_refund_state_changes_total", state="DONE", **WECHAT)
    batches = {
        name: (
            growth("tael_batch_rows_sum", batch=name),
            growth("tael_batch_duration_seconds_count", batch=name),
        )
        for name in ("write_payment", "reserve_refund", "record_refund")
    }
    async with gateway(store) as client:
        payment = (await call(client, "payment", out_trade_no="A-1", **BARCODE)).json()
        assert payment["respcd"] == "0000"
        refund = await call(
            client, "refund", syssn=payment["syssn"], out_trade_no="R-1", txamt="100", txdtm=BARCODE["txdtm"]
        )
        assert refund.json()["respcd"] == "0000"
    assert {name: counted() for name, counted in calls.items()} == {"payment": 1, "refund": 1}
    assert (paid(), refunded()) == (1, 1)
    assert {name: (rows(), times()) for name, (rows, times) in batches.items()} == {
        "write_payment": (2, 2),  # the opening and the outcome
        "reserve_refund": (1, 1),
        "record_refund": (1, 1),
    }


@pytest.mark.parametrize(
    ("params", "sign", "respcd", "result"),
    [
        ({"syssn": "1"}, "", "0000", "done"),
        ({"syssn": "1"}, "0" * 32, "1108", "final"),
        ({"page": "x"}, "", "1104", "final"),
    ],
)
async def test_a_call_is_counted_by_what_its_code_asks_the_client_to_do(
    store: Store, params: dict[str, str], sign: str, respcd: str, result: str
) -> None:
    counted = growth("tael_call_duration_seconds_count", call="query", result=result)
    async with gateway(store) as client:
        assert (await call(client, "query", sign=sign, **params)).json()["respcd"] == respcd
    assert counted() == 1


async def test_a_call_without_a_database_is_to_be_sent_again(store: Store) -> None:
    counted = growth("tael_call_duration_seconds_count", call="query", result="retry")
    async with gateway(store) as client:
        await store.database.execute("ALTER TABLE payment RENAME TO away")
        try:
            assert (await call(client, "query", syssn="1")).json()["respcd"] == "1112"
        finally:
            await store.database.execute("ALTER TABLE away RENAME TO payment")
    assert counted() == 1


async def test_the_connections_of_each_pool_are_reported(store: Store) -> None:
    """Both connections of one pool are in use, and a third task waits."""
    pool = {"schema": store.database.schema, "pool": "rest"}
    limit = int(sample("tael_database_connections_max", **pool))
    released, holding = asyncio.Event(), asyncio.Semaphore(0)

    async def hold() -> None:
        async with store.database.connection(is_long=True):
            holding.release()
            await released.wait()

    tasks = [asyncio.create_task(hold()) for _ in range(limit)]
    for _ in range(limit):
        await holding.acquire()
    tasks.append(asyncio.create_task(hold()))
    await asyncio.sleep(0)
    assert sample("tael_database_connections", **pool) == limit
    assert sample("tael_database_connections_in_use", **pool) == limit
    assert sample("tael_database_connections_waiting", **pool) == 1
    released.set()
    await asyncio.gather(*tasks)
    assert sample("tael_database_connections_in_use", **pool) == 0
    assert sample("tael_database_connections_waiting", **pool) == 0


async def test_the_connections_of_batches_are_reported(store: Store) -> None:
    await opened(store, a_payment())
    pool = {"schema": store.database.schema, "pool": "pipeline"}
    assert 1 <= sample("tael_database_connections", **pool) <= sample("tael_database_connections_max", **pool)
    assert sample("tael_database_connections_in_use", **pool) == 0
    assert sample("tael_database_connections_waiting", **pool) == 0


async def test_the_age_of_due_rows_is_read_again_after_a_while(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await opened(store, a_payment())
    assert payment.check_at is not None
    figures = QueueFigures()
    await figures.read("cell_00", store.due_work, payment.check_at + timedelta(seconds=90))
    assert ages(figures)["payments"] == 90
    assert ages(figures)["webhooks"] == 0
    await figures.read("cell_00", store.due_work, payment.check_at + timedelta(seconds=95))
    assert ages(figures)["payments"] == 90
    loop = asyncio.get_running_loop()
    later = loop.time() + OLDEST_DUE_S
    monkeypatch.setattr(loop, "time", lambda: later)
    await figures.read("cell_00", store.due_work, payment.check_at + timedelta(seconds=110))
    assert ages(figures)["payments"] == 110


def ages(figures: QueueFigures) -> dict[str, float]:
    (family,) = figures.collect()
    assert family.name == QUEUE_OLDEST_DUE.name
    return {each.labels["queue"]: each.value for each in family.samples}
