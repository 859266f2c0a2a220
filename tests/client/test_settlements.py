"""Queries of settlements and bills: the requests, and what is read from the responses."""

import hashlib
import json
from datetime import date, datetime
from typing import Final

import httpx
import pytest
from tael_client import AnswerNotProven, OutcomeUnknown, Refused, Settlement

from tests.client.world import KEY, MCHID, NOW, Members, Shop, page, signed, verdict

#: Of QFPay's documentation.
EXAMPLE: Final = {
    "chnl_mch_id": "1315135101",
    "refund_amt": 0,
    "date_settlement": "2016-02-29",
    "paymethod": "微信",
    "date_start": "2016-02-23",
    "date_end": "2016-02-29",
    "currency": "HKD",
    "pay_amt": 433280000,
    "pay_net_amt": 433280000,
    "chnl_poundage_amt": 4309600,
    "settlement_amt": 428970400,
}
DAYS: Final = (date(2016, 2, 1), date(2016, 2, 29))


def answer(*rows: Members) -> Members:
    return verdict("0000") | {"data": list(rows)}


def test_the_documented_example_is_read(shop: Shop) -> None:
    shop.server.will(signed(answer(EXAMPLE)))
    (settlement,) = shop.do("settlements", *DAYS, wallet="wechat")
    assert settlement == Settlement(
        settled_on=date(2016, 2, 29),
        wallet="微信",
        merchant_number="1315135101",
        first_day=date(2016, 2, 23),
        last_day=date(2016, 2, 29),
        currency="HKD",
        paid_minor=433280000,
        refunded_minor=0,
        net_minor=433280000,
        fee_minor=4309600,
        settled_minor=428970400,
        members=EXAMPLE,
    )


def test_the_request_is_a_signed_get(shop: Shop) -> None:
    shop.server.will(signed(answer()), signed(answer()))
    assert shop.do("settlements", *DAYS) == ()
    shop.do("settlements", *DAYS, wallet="alipay", client={"date_queries": True})
    plain, dated = shop.server.asked
    assert (plain.call, plain.body) == ("/settlement/v1/query", b"")
    assert plain.params == {"mchid": MCHID, "date_start": "20160201", "date_end": "20160229"}
    text = f"date_end=20160229&date_start=20160201&mchid={MCHID}{KEY}"
    assert plain.headers["X-QF-SIGN"] == hashlib.md5(text.encode()).hexdigest().upper()
    assert "Content-Type" not in plain.headers
    assert (dated.params["paymethod"], dated.params["txdtm"]) == ("2", "2017-09-06 14:56:43")


def test_the_order_of_the_days_decides_which_is_the_first(shop: Shop) -> None:
    swapped = EXAMPLE | {"date_start": EXAMPLE["date_end"], "date_end": EXAMPLE["date_start"]}
    shop.server.will(signed(answer(swapped)))
    (settlement,) = shop.do("settlements", *DAYS)
    assert (settlement.first_day, settlement.last_day) == (date(2016, 2, 23), date(2016, 2, 29))


@pytest.mark.parametrize(
    "changes",
    [{"settlement_amt": 1}, {"pay_amt": "1.0"}, {"date_settlement": "20160229x"}, {"pay_net_amt": None}],
)
def test_wrong_members_are_no_result(shop: Shop, changes: Members) -> None:
    shop.server.will(*[signed(answer(EXAMPLE | changes))] * 3)
    with pytest.raises(OutcomeUnknown):
        shop.do("settlements", *DAYS)


def test_a_page_of_transactions_is_no_list_of_settlements(shop: Shop) -> None:
    shop.server.will(*[signed(page())] * 3)
    with pytest.raises(OutcomeUnknown):
        shop.do("settlements", *DAYS)


def test_a_range_is_days_in_their_order(shop: Shop) -> None:
    with pytest.raises(ValueError, match="last must not be before first"):
        shop.do("settlements", *reversed(DAYS))
    with pytest.raises(TypeError, match="without a time"):
        shop.do("settlements", datetime(2016, 2, 1, tzinfo=NOW.tzinfo), DAYS[1])
    assert shop.server.asked == []


# ---- bills -------------------------------------------------------------------------------------------------------

FILE: Final = b"PK\x03\x04 and more"
BILL_DAY: Final = date(2016, 2, 29)


def signed_file(content: bytes = FILE, key: str = KEY, status: int = 200) -> httpx.Response:
    sign = hashlib.md5(content + key.encode()).hexdigest().upper()
    return httpx.Response(status, headers={"X-QF-SIGN": sign}, content=content)


def test_a_bill_is_of_the_whole_app_or_of_a_merchant_that_is_named(shop: Shop) -> None:
    shop.server.will(signed_file(), signed_file())
    assert shop.do("trade_bill", BILL_DAY) == FILE
    assert shop.do("trade_bill", BILL_DAY, mchid="mch2") == FILE
    app, merchant = shop.server.asked
    assert (app.call, app.params) == ("/download/v1/trade_bill", {"trade_date": "2016-02-29"})
    assert merchant.params == {"trade_date": "2016-02-29", "mchid": "mch2"}
    assert app.headers["Accept"] == "application/zip, application/json"


@pytest.mark.parametrize(
    "wrong",
    [
        signed_file(key="another"),
        httpx.Response(200, content=FILE),
        signed_file(status=500),
        httpx.Response(200, content=json.dumps(verdict("0000")).encode()),
    ],
)
def test_a_file_counts_only_with_its_signature(shop: Shop, wrong: httpx.Response) -> None:
    shop.server.will(*[wrong] * 3)
    with pytest.raises(AnswerNotProven):
        shop.do("trade_bill", BILL_DAY)


def test_a_refusal_and_an_answer_without_a_file_are_no_bill(shop: Shop) -> None:
    shop.server.will(signed(verdict("1104")))
    with pytest.raises(Refused):
        shop.do("trade_bill", BILL_DAY)
    shop.server.will(*[signed(verdict("0000"))] * 3)
    with pytest.raises(OutcomeUnknown, match="there is no file"):
        shop.do("trade_bill", BILL_DAY)


def test_a_file_is_no_result_of_another_call(shop: Shop) -> None:
    shop.server.will(*[signed_file()] * 3)
    with pytest.raises(OutcomeUnknown):
        shop.do("settlements", *DAYS)
