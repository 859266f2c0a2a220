"""Queries of settlements: the request, and the values that are read from the documented example."""

import hashlib
from datetime import date, datetime
from typing import Final

import pytest
from tael_client import OutcomeUnknown, Settlement

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
