"""settlementquery: each day's money is remitted on the next day at ten, minus a fee of 0.60 %."""

from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.days import compact, move_to
from tests.sandbox.wechat_shop import Reply, Shop, both_kinds, code, new_number, shop


@pytest.fixture
def demo(request: pytest.FixtureRequest, own_sandbox: Sandbox) -> Shop:
    move_to(own_sandbox, 12)
    return shop(own_sandbox, getattr(request, "param", "demo"))


def query(caller: Shop, usetag: int, **fields: Any) -> Reply:
    request = {"offset": 0, "limit": 10, "date_start": "20260101", "date_end": "20991231", **fields}
    return caller.call("/pay/settlementquery", usetag=usetag, **request)


@both_kinds
def test_a_day_is_outstanding_until_ten_and_then_remitted(own_sandbox: Sandbox, demo: Shop) -> None:
    order = new_number()
    demo.scan_code(code(own_sandbox), out_trade_no=order)
    demo.refund(order, 3333)
    demo.order()
    day = move_to(own_sandbox, 13)
    # The fee on 88.00 is 0.528 and 0.53 is kept; on 33.33 it is 0.19998, and 0.20 comes back.
    sums = {"pay_fee": "8800", "refund_fee": "3333", "pay_net_fee": "5467", "poundage_fee": "33"}
    waiting = query(demo, 2).fields
    assert waiting | sums == waiting
    assert (waiting["record_num"], waiting["settlementfee_type"]) == ("1", "HKD")
    assert (waiting["settlement_fee"], waiting["unsettlement_fee"]) == ("0", "5434")
    assert (waiting["date_start"], waiting["date_end"]) == (compact(day), compact(day))
    assert (waiting["fbatchno"], waiting["date_settlement"]) == ("", "")
    assert query(demo, 1)["record_num"] == "0"

    move_to(own_sandbox, 9, 59)
    assert query(demo, 1)["record_num"] == "0"
    move_to(own_sandbox, 10)
    remitted = query(demo, 1).fields
    assert remitted | sums == remitted
    assert (remitted["settlement_fee"], remitted["unsettlement_fee"]) == ("5434", "0")
    assert (remitted["date_start"], remitted["date_settlement"]) == (compact(day), compact(day, 1))
    number = demo.account["sub_mch_id"] or demo.account["mch_id"]
    assert remitted["fbatchno"] == compact(day, 1) + number
    assert query(demo, 2)["record_num"] == "0"


def test_several_remittances_are_numbered_and_come_in_pages(own_sandbox: Sandbox, demo: Shop) -> None:
    days = []
    for _ in range(3):
        demo.scan_code(code(own_sandbox))
        days.append(move_to(own_sandbox, 12))
    move_to(own_sandbox, 11)
    reply = query(demo, 1).fields
    assert reply["record_num"] == "3"
    assert [reply[f"date_settlement_{place}"] for place in range(3)] == [compact(day) for day in days]
    assert reply["settlement_fee_2"] == "8747"
    assert query(demo, 1, offset=1, limit=1)["date_settlement"] == compact(days[1])
    assert query(demo, 1, offset=3)["record_num"] == "0"
    some = query(demo, 1, date_start=compact(days[1]), date_end=compact(days[1]))
    assert (some["record_num"], some["date_settlement"]) == ("1", compact(days[1]))


def test_a_day_with_only_returned_money_is_negative(own_sandbox: Sandbox, demo: Shop) -> None:
    order = new_number()
    demo.scan_code(code(own_sandbox), out_trade_no=order)
    move_to(own_sandbox, 12)
    demo.reverse(order)
    reply = query(demo, 2).fields
    assert (reply["pay_fee"], reply["refund_fee"], reply["poundage_fee"]) == ("0", "8800", "-53")
    assert reply["unsettlement_fee"] == "-8747"


def test_partial_refunds_add_up_to_the_payment_and_its_fee(own_sandbox: Sandbox, demo: Shop) -> None:
    order, dollars = new_number(), new_number()
    demo.scan_code(code(own_sandbox), out_trade_no=order, total_fee=200)
    for _ in range(2):  # 0.6 % of 1.00 is rounded up to a cent, of 2.00 down to the same cent
        demo.refund(order, 100, total_fee=200)
    reply = query(demo, 2).fields
    assert (reply["pay_net_fee"], reply["poundage_fee"]) == ("0", "0")
    demo.scan_code(code(own_sandbox), out_trade_no=dollars, total_fee=1000, fee_type="USD")
    for _ in range(10):  # 1 USD is 7.7863 HKD, 10 are 77.8625
        demo.refund(dollars, 100, total_fee=1000, refund_fee_type="USD")
    reply = query(demo, 2).fields
    assert (reply["pay_fee"], reply["refund_fee"], reply["poundage_fee"]) == ("7986", "7986", "0")


@both_kinds
def test_a_shop_sees_its_own_money_only(own_sandbox: Sandbox, demo: Shop) -> None:
    demo.scan_code(code(own_sandbox))
    assert query(shop(own_sandbox, "wechat_only"), 2)["record_num"] == "0"


def test_movements_after_a_closed_day_are_remitted_with_the_next(own_sandbox: Sandbox, demo: Shop) -> None:
    demo.scan_code(code(own_sandbox))
    day = move_to(own_sandbox, 13)
    own_sandbox.control("POST", "statements", {"wallet": "wechat", "day": f"{day:%Y-%m-%d}"})
    demo.scan_code(code(own_sandbox), total_fee=100)
    move_to(own_sandbox, 11)
    assert (query(demo, 1)["pay_fee"], query(demo, 2)["pay_fee"]) == ("8800", "100")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"usetag": 3}, "usetag参数格式错误"),
        ({"limit": 11}, "limit参数格式错误"),
        ({"limit": 0}, "limit参数格式错误"),
        ({"offset": -1}, "offset参数格式错误"),
        ({"date_start": "20260230"}, "date_start参数格式错误"),
        ({"date_end": "2026"}, "date_end参数格式错误"),
        ({"date_end": ""}, "缺少参数date_end"),
        ({"sub_mch_id": ""}, "受理机构必须传入sub_mch_id"),
    ],
    ids=str,
)
def test_an_invalid_query_is_refused(sandbox: Sandbox, change: dict[str, Any], error: str) -> None:
    assert query(shop(sandbox), **({"usetag": 1} | change)).error == error
