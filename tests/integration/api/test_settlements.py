"""Settlements at the merchants' API: /settlement/v1/query, and the members of query rows that tell of settlements."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any, Final, cast

import asyncpg
import httpx

from tael.channels.alipay_mapi.statements import STATEMENTS
from tael.db.database import Database
from tael.merchants.domain.changes import AppChanges
from tael.merchants.domain.rate_limits import NO_LIMITS
from tael.operations.store import Store
from tael.payments.domain.payment import Payment
from tael.payments.domain.refund import Refund, RefundState
from tael.payments.store.rows import REFUND
from tael.statements.domain.remittance import Remittance
from tael.statements.files import read_file
from tael.statements.imports import ImportOptions, import_statement
from tael.statements.store.remittances import REMITTANCE
from tael.statements.store.settlements import DAYS
from tests.integration.api.test_rate_limits import gateway, signed
from tests.support.alipay import TestClock
from tests.support.store import opened
from tests.support.values import (
    ALIPAY_ONLINE,
    BARCODE,
    MCHID,
    NOW,
    ORIGIN,
    a_merchant,
    a_paid_payment,
    a_payment,
    a_refund,
    a_wechat_account,
    an_alipay_account,
    an_app,
)

#: The example of QFPay's documentation, with its merchant at WeChat Pay.
EXAMPLE: Final = Remittance(
    mchid="mch2",
    remittance_id="r1",
    statement_id="s1",
    account_id="wechat-direct",
    protocol="wechat_v2",
    batch_no="1",
    settled_on=date(2016, 2, 29),
    trades_from=date(2016, 2, 23),
    trades_to=date(2016, 2, 29),
    currency="HKD",
    paid_minor=433280000,
    refunded_minor=0,
    fee_minor=4309600,
    net_minor=428970400,
)
EXAMPLE_ROW: Final = (
    rb'{"chnl_mch_id": "1315135101", "refund_amt": 0, "date_settlement": "2016-02-29", '
    rb'"paymethod": "\u5fae\u4fe1", "date_start": "2016-02-23", "date_end": "2016-02-29", "currency": "HKD", '
    rb'"pay_amt": 433280000, "pay_net_amt": 433280000, "chnl_poundage_amt": 4309600, "settlement_amt": 428970400}'
)
ALIPAY: Final = an_alipay_account("alipay-online", scene="online", pid="2088000000000001")
DIRECT: Final = replace(
    a_wechat_account("wechat-direct", "mch2", sub_mch_id=""), mch_id="1315135101", sub_appid=""
)


async def store_remittances(store: Store, *remittances: Remittance) -> None:
    await store.database.execute(REMITTANCE.insert(), *REMITTANCE.arrays(remittances, REMITTANCE.columns))


async def with_the_example(store: Store) -> None:
    await store.merchants.add_merchant(a_merchant("mch2"), ORIGIN)
    await store.accounts.add(DIRECT, ORIGIN)
    await store_remittances(store, EXAMPLE)


async def ask(
    store: Store, path: str = "/settlement/v1/query", appcode: str = "app1", key: str = "", **params: str
) -> httpx.Response:
    sign = signed(params, key or f"key-of-{appcode}")
    async with gateway(store, TestClock(NOW), NO_LIMITS) as client:
        return await client.get(path, params=params, headers={"X-QF-APPCODE": appcode, "X-QF-SIGN": sign})


async def settled(store: Store, first: str = "20160101", last: str = "20161231", **more: str) -> list[Any]:
    answer = await ask(store, date_start=first, date_end=last, **{"mchid": MCHID} | more)
    assert answer.json()["respcd"] == "0000", answer.json()
    return cast(list[Any], answer.json()["data"])


def a_remittance(number: int, **changes: Any) -> Remittance:
    """Of the merchant's account at Alipay: paid 100, refunded 10, fee 1."""
    usual = {"mchid": MCHID, "account_id": ALIPAY.account_id, "protocol": ALIPAY.protocol}
    sums = {"paid_minor": 10000, "refunded_minor": 1000, "fee_minor": 100, "net_minor": 8900}
    numbers = {"remittance_id": f"r{number}", "statement_id": f"s{number}", "batch_no": f"{number}"}
    return replace(EXAMPLE, **cast(dict[str, Any], {**usual, **sums, **numbers, **changes}))


# ---- the query -------------------------------------------------------------------------------------------------


async def test_the_documented_example(store: Store) -> None:
    await with_the_example(store)
    answer = await ask(store, mchid="mch2", date_start="20160201", date_end="20160229", paymethod="3")
    head = b'{"respcd": "0000", "respmsg": "", "resperr": "", "data": ['
    assert answer.content == head + EXAMPLE_ROW + b"]}"
    assert answer.headers["X-QF-SIGN"] == signed({}, answer.text + "key-of-app1").upper()


async def test_the_days_are_those_of_settlement_and_both_included(store: Store) -> None:
    await with_the_example(store)
    in_range = [("20160229", "20160229"), ("20160228", "20160301"), ("20160229", "20170227")]
    outside = [("20160223", "20160228"), ("20160301", "20160331")]
    found = [len(await settled(store, *days, mchid="mch2")) for days in in_range + outside]
    assert found == [1, 1, 1, 0, 0]
    english = {"mchid": "mch2", "Date_start": "20160229", "Date_end": "20160229"}
    assert len((await ask(store, **english)).json()["data"]) == 1


async def test_each_wallet_and_currency_is_a_row_in_the_order_of_days(store: Store) -> None:
    alipay = [
        a_remittance(number, settled_on=date(2016, 3, number), currency=currency)
        for number, currency in enumerate(("CNY", "HKD", "USD", "JPY", "KRW"), 1)
    ]
    wechat = a_remittance(6, settled_on=date(2016, 2, 1), account_id="wechat1", protocol="wechat_v2")
    await store_remittances(store, *reversed(alipay), wechat)

    rows = await settled(store)
    assert [row["currency"] for row in rows] == ["HKD", "CNY", "HKD", "USD", "JPY", "KRW"]
    assert [row["paymethod"] for row in rows] == ["微信", *["支付宝"] * 5]
    assert {row["chnl_mch_id"] for row in rows} == {"1900000110", "2088000000000001"}
    sums = ("pay_amt", "refund_amt", "pay_net_amt", "chnl_poundage_amt", "settlement_amt")
    assert {tuple(row[name] for name in sums) for row in rows} == {(10000, 1000, 9000, 100, 8900)}
    assert [row["currency"] for row in await settled(store, paymethod="3")] == ["HKD"]
    assert len(await settled(store, paymethod="2")) == 5


async def imported(store: Store, *lines: str, is_replacing: bool = False) -> None:
    file = read_file(BytesIO("\n".join((*lines, "")).encode()))
    options = ImportOptions(is_replacing=is_replacing)
    await import_statement(store.statements, ALIPAY, STATEMENTS, file, "", options, ORIGIN, lambda line: None)


async def test_a_replaced_statement_has_new_figures(store: Store) -> None:
    await imported(store, "a|100.00|HKD|20260102000000|20260105090000|P|1.20|L|")
    (before,) = await settled(store, "20260105", "20260105")
    await imported(store, "a|90.00|HKD|20260103235959|20260105090000|P|1.00|L|", is_replacing=True)
    (after,) = await settled(store, "20260105", "20260105")
    assert (before["pay_amt"], before["date_start"], before["settlement_amt"]) == (10000, "2026-01-02", 9880)
    assert (after["pay_amt"], after["date_start"], after["settlement_amt"]) == (9000, "2026-01-03", 8900)


async def test_more_settlements_than_an_answer_has_are_refused_and_not_cut(store: Store) -> None:
    few = [a_remittance(number) for number in range(1000)]
    await store_remittances(store, *few)
    assert len(await settled(store)) == 1000
    await store_remittances(store, a_remittance(1000))
    refused = (await ask(store, mchid=MCHID, date_start="20160101", date_end="20161231")).json()
    assert refused["respcd"] == "1104"
    assert refused["respmsg"] == "date_end must be closer to date_start: there are more than 1000 settlements"


async def test_another_apps_settlements_are_not_shown(store: Store) -> None:
    await store.merchants.add_app(an_app("app2"), ORIGIN)
    await store.merchants.add_merchant(a_merchant("mch3", "app2"), ORIGIN)
    await store_remittances(store, a_remittance(1))
    days = {"date_start": "20160101", "date_end": "20161231"}
    answer = await ask(store, appcode="app2", mchid=MCHID, **days)
    assert (answer.json()["respcd"], "X-QF-SIGN" in answer.headers) == ("1108", False)
    assert (await ask(store, appcode="app2", **days)).json()["data"] == []
    assert (await ask(store, key="another", mchid=MCHID, **days)).json()["respcd"] == "1108"
    await store.merchants.change_app("app1", lambda app: replace(app, is_disabled=True), ORIGIN)
    assert (await ask(store, mchid=MCHID, **days)).json()["respcd"] == "1114"


# ---- members of query rows -------------------------------------------------------------------------------------


@contextmanager
def counted(store: Store) -> Iterator[list[str]]:
    """The statements that reach the database."""
    seen: list[str] = []
    database: Any = store.database
    real = Database.fetch

    async def fetch(sql: str, *values: object) -> "list[asyncpg.Record]":
        seen.append(sql)
        return await real(database, sql, *values)

    database.fetch = fetch
    yield seen
    del database.fetch


async def opt_in(store: Store) -> None:
    await store.merchants.change_app("app1", AppChanges(include_settlement=True).applied_to, ORIGIN)


async def rows_of(store: Store) -> dict[str, dict[str, str]]:
    times = {"start_time": "2026-01-01 00:00:00", "end_time": "2026-01-31 23:59:59"}
    answer = await ask(store, "/trade/v1/query", mchid=MCHID, page_size="100", **times)
    assert answer.json()["respcd"] == "0000", answer.json()
    return {row["syssn"]: row for row in answer.json()["data"]}


async def write_refund(store: Store, payment: Payment, **changes: Any) -> Refund:
    done = a_refund(payment, state=RefundState.DONE, done_at=NOW + timedelta(hours=1), **changes)
    await store.database.execute(REFUND.insert_one(), *REFUND.values(done, REFUND.columns))
    return done


async def test_a_row_has_the_day_of_the_line_that_settles_it(store: Store) -> None:
    await opt_in(store)
    usual = {"account_id": ALIPAY.account_id}
    paid, other = [await opened(store, a_paid_payment(ALIPAY_ONLINE, **usual)) for _ in range(2)]
    refund = await write_refund(store, paid)
    await imported(store, f"{paid.syssn}|1.00|HKD|20260102110405|20260105090000|P|0.01|L|")
    await imported(store, f"{refund.syssn}|0.40|HKD|20260102120405|20260106000000|R|0|L|")

    rows = await rows_of(store)
    # `other` was paid on a day that the remittance covers, and is not one of its lines.
    days = [rows[each.syssn]["date_settlement"] for each in (paid, refund, other)]
    assert days == ["2026-01-05", "2026-01-06", ""]
    assert rows[paid.syssn]["refundable_until"] == "2027-01-02 11:04:05"
    assert rows[refund.syssn]["refundable_until"] == ""

    await imported(
        store, f"{other.syssn}|1.00|HKD|20260102110405|20260105090000|P|0.01|L|", is_replacing=True
    )
    rows = await rows_of(store)
    assert [rows[each.syssn]["date_settlement"] for each in (paid, other)] == ["", "2026-01-05"]


async def test_without_lines_the_days_of_the_remittance_decide_in_utc_8(store: Store) -> None:
    await opt_in(store)
    covering = {"trades_from": date(2026, 1, 2), "trades_to": date(2026, 1, 2)}
    of_wechat = {"account_id": "wechat1", "protocol": "wechat_v2", "settled_on": date(2026, 1, 4)}
    await store_remittances(
        store,
        a_remittance(1, **covering, **of_wechat),
        a_remittance(2, **covering, **of_wechat | {"settled_on": date(2026, 1, 3)}, superseded_at=NOW),
    )
    begin = datetime(2026, 1, 1, 16, tzinfo=UTC)  # 00:00 on the 2nd in UTC+8
    day, second = timedelta(days=1), timedelta(seconds=1)
    payments = [
        await opened(store, a_paid_payment(BARCODE, paid_at=at))
        for at in (begin - second, begin, begin + day - second, begin + day)
    ]
    pending = await opened(store, a_payment(BARCODE))

    rows = await rows_of(store)
    days = [rows[each.syssn]["date_settlement"] for each in payments]
    assert days == ["", "2026-01-04", "2026-01-04", ""]
    assert [rows[pending.syssn][name] for name in ("date_settlement", "refundable_until")] == ["", ""]


async def test_they_cost_one_statement_a_page_and_none_without_the_setting(store: Store) -> None:
    for _ in range(5):
        await opened(store, a_paid_payment(BARCODE))
    with counted(store) as without:
        rows = await rows_of(store)
    assert not any({"date_settlement", "refundable_until"} & row.keys() for row in rows.values())
    await opt_in(store)
    with counted(store) as with_members:
        rows = await rows_of(store)
    assert all({"date_settlement", "refundable_until"} <= row.keys() for row in rows.values())
    assert len(rows) == 5
    assert [sql for sql in with_members if sql not in without] == [DAYS]
    assert len(with_members) == len(without) + 1
