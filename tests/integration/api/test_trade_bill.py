"""The bill of a day: its files, who is in it, its limits, and what a download may take from others."""

import csv
import hashlib
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zipfile import ZipFile

import httpx
import pytest
from msgspec import structs

from tael.api import trade_bill
from tael.base.money import Money
from tael.merchants.domain.merchant import MerchantState
from tael.merchants.domain.rate_limits import NO_LIMITS, RateLimits
from tael.operations.store import Store
from tael.payments.domain.entries import fee_entries
from tael.payments.domain.payment import Payment
from tests.integration.api.test_rate_limits import gateway, signed
from tests.integration.api.test_settlements import write_refund
from tests.support.alipay import TestClock
from tests.support.store import being_paid, opened
from tests.support.values import MCHID, NOW, ORIGIN, a_merchant, a_payment, an_app

PATH: Final = "/download/v1/trade_bill"
#: 00:00 on 2026-01-02 in UTC+8.
BEGIN: Final = datetime(2026, 1, 1, 16, tzinfo=UTC)
DAY, SECOND, HOUR = timedelta(days=1), timedelta(seconds=1), timedelta(hours=1)
#: When the day can be downloaded.
READY: Final = BEGIN + DAY + HOUR
HEADINGS: Final = (
    "sysdtm,order_type,syssn,origssn,out_trade_no,pay_type,txamt,txcurrcd,amount,fee,state,respcd,errmsg,cancel,"
    "refunded_amt,paydtm,date_settlement,refundable_until,chnlsn,cardcd,txdtm,goods_name"
)


async def download(
    store: Store,
    at: datetime = READY,
    limits: RateLimits = NO_LIMITS,
    appcode: str = "app1",
    key: str = "",
    **params: str,
) -> httpx.Response:
    given = {"trade_date": "2026-01-02"} | params
    headers = {"X-QF-APPCODE": appcode, "X-QF-SIGN": signed(given, key or f"key-of-{appcode}")}
    async with gateway(store, TestClock(at), limits) as client:
        return await client.get(PATH, params=given, headers=headers)


def files_of(answer: httpx.Response) -> dict[str, bytes]:
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/zip"), answer.text
    with ZipFile(io.BytesIO(answer.content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def csv_rows(content: bytes) -> list[dict[str, str]]:
    assert content.startswith(f"\ufeff{HEADINGS}\r\n".encode())
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


async def test_a_bill_has_the_days_transactions_of_each_merchant(store: Store) -> None:
    await store.merchants.add_merchant(a_merchant("mch2"), ORIGIN)
    await store.merchants.add_merchant(a_merchant("mch3", state=MerchantState.DISABLED), ORIGIN)
    created = [BEGIN - SECOND, BEGIN, BEGIN + DAY - SECOND, BEGIN + DAY]
    payments = [await opened(store, a_payment(created_at=at)) for at in created]
    other = await opened(store, a_payment(mchid="mch2", created_at=BEGIN))

    answer = await download(store)
    files = files_of(answer)
    assert list(files) == [
        f"{mchid}_2026-01-02.{kind}" for mchid in (MCHID, "mch2") for kind in ("csv", "json")
    ]
    assert answer.headers["Content-Disposition"] == 'attachment; filename="trade_bill_2026-01-02.zip"'
    shown = {
        name: [row["syssn"] for row in csv_rows(files[f"{name}_2026-01-02.csv"])] for name in (MCHID, "mch2")
    }
    assert shown == {MCHID: [payments[2].syssn, payments[1].syssn], "mch2": [other.syssn]}
    for mchid, syssns in shown.items():
        read = json.loads(files[f"{mchid}_2026-01-02.json"])
        assert (read["mchid"], read["trade_date"]) == (mchid, "2026-01-02")
        assert [row["syssn"] for row in read["data"]] == syssns
    only = files_of(await download(store, mchid="mch2"))
    assert list(only) == ["mch2_2026-01-02.csv", "mch2_2026-01-02.json"]


async def paid_with_a_fee(store: Store, payment: Payment) -> Payment:
    change = being_paid(await opened(store, payment))
    with_fee = (*change.entries, *fee_entries(change.after, NOW))
    assert await store.payments.record(structs.replace(change, entries=with_fee))
    return change.after


async def test_a_row_is_that_of_a_query_with_what_a_bookkeeper_needs(store: Store) -> None:
    payment = await paid_with_a_fee(
        store,
        a_payment(created_at=BEGIN, subject="=HYPERLINK(1)", amount=Money(12345, "HKD"), fee_rate_ppm=10_000),
    )
    refund = await write_refund(store, payment, created_at=BEGIN + SECOND)

    files = files_of(await download(store))
    back, row = csv_rows(files["mch1_2026-01-02.csv"])
    assert row == {
        "sysdtm": "2026-01-02 00:00:00",
        "order_type": "payment",
        "syssn": payment.syssn,
        "origssn": "",
        "out_trade_no": payment.reference,
        "pay_type": "800201",
        "txamt": "12345",
        "txcurrcd": "HKD",
        "amount": "123.45",
        "fee": "1.23",  # 1 per cent, rounded half up
        "state": "PAID",
        "respcd": "0000",
        "errmsg": "交易成功",
        "cancel": "0",
        "refunded_amt": "0",
        "paydtm": "2026-01-02 11:04:05",
        "date_settlement": "",
        "refundable_until": "2027-01-02 11:04:05",
        "chnlsn": "wallet-1",
        "cardcd": "payer-1",
        "txdtm": "2026-01-02 11:04:05",
        "goods_name": "'=HYPERLINK(1)",
    }
    assert (back["order_type"], back["syssn"], back["origssn"]) == ("refund", refund.syssn, payment.syssn)
    assert (back["amount"], back["state"], back["refunded_amt"]) == ("0.40", "DONE", "")
    as_json = json.loads(files["mch1_2026-01-02.json"])["data"][1]
    assert as_json == row | {"goods_name": "=HYPERLINK(1)"}


async def test_a_bill_is_signed_over_its_bytes_and_the_same_each_time(store: Store) -> None:
    await opened(store, a_payment(created_at=BEGIN))
    first, second = await download(store), await download(store)
    assert first.content == second.content
    assert first.headers["X-QF-SIGN"] == digest(first.content)
    assert first.headers["Content-Length"] == str(len(first.content))


def digest(body: bytes, key: bytes = b"key-of-app1") -> str:
    return hashlib.md5(body + key).hexdigest().upper()


async def test_a_day_without_transactions_is_headings_alone(store: Store) -> None:
    files = files_of(await download(store))
    assert csv_rows(files["mch1_2026-01-02.csv"]) == []
    assert json.loads(files["mch1_2026-01-02.json"])["data"] == []


async def test_a_day_is_ready_an_hour_after_its_end(store: Store) -> None:
    assert files_of(await download(store, READY))
    early = await download(store, READY - SECOND)
    assert (early.json()["respcd"], early.json()["respmsg"]) == (
        "1104",
        "trade_date must be a day that ended at least an hour ago, in UTC+8",
    )
    assert early.headers["X-QF-SIGN"] == digest(early.content)


@pytest.mark.parametrize(
    ("params", "respcd"),
    [
        ({"trade_date": ""}, "1104"),
        ({"trade_date": "20260102"}, "1104"),
        ({"trade_date": "2026-02-30"}, "1104"),
        ({"mchid": "mch3"}, "1108"),
        ({"mchid": "mch4"}, "1114"),
        ({"mchid": "unknown"}, "1108"),
        ({"key": "another"}, "1108"),
    ],
)
async def test_a_refused_bill_has_a_code_and_no_file(
    store: Store, params: dict[str, Any], respcd: str
) -> None:
    await store.merchants.add_app(an_app("app2"), ORIGIN)
    await store.merchants.add_merchant(a_merchant("mch3", "app2"), ORIGIN)
    await store.merchants.add_merchant(a_merchant("mch4", state=MerchantState.DISABLED), ORIGIN)
    refused = await download(store, **params)
    assert (refused.json()["respcd"], "X-QF-SIGN" in refused.headers) == (respcd, respcd != "1108")


async def test_a_disabled_app_gets_no_bill(store: Store) -> None:
    await store.merchants.change_app("app1", lambda app: replace(app, is_disabled=True), ORIGIN)
    assert (await download(store)).json()["respcd"] == "1114"


async def test_bills_count_for_the_app_and_not_for_its_merchants(store: Store) -> None:
    given = {"trade_date": "2026-01-02"}
    headers = {"X-QF-APPCODE": "app1", "X-QF-SIGN": signed(given, "key-of-app1")}
    query = {"X-QF-APPCODE": "app1", "X-QF-SIGN": signed({"mchid": MCHID}, "key-of-app1")}
    async with gateway(store, TestClock(READY), RateLimits(0, 1)) as client:
        statuses = [(await client.get(PATH, params=given, headers=headers)).status_code for _ in range(2)]
        asked = await client.get("/trade/v1/query", params={"mchid": MCHID}, headers=query)
    assert (statuses, asked.status_code) == ([200, 429], 200)


async def test_a_bill_with_too_many_rows_is_refused_and_not_cut(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trade_bill, "PAGE_ROWS", 2)
    monkeypatch.setattr(trade_bill, "MAX_ROWS", 5)
    payments = [await opened(store, a_payment(created_at=BEGIN + n * SECOND)) for n in range(5)]
    shown = csv_rows(files_of(await download(store))["mch1_2026-01-02.csv"])
    assert [row["syssn"] for row in shown] == [each.syssn for each in reversed(payments)]
    await opened(store, a_payment(created_at=BEGIN))
    refused = (await download(store)).json()
    assert refused["respcd"] == "1104"
    assert refused["respmsg"].startswith("trade_date has more than")
