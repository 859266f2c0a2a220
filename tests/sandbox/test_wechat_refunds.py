"""refund and refundquery."""

from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import Shop, both_kinds, code, new_number, shop, spent


@pytest.fixture
def demo(request: pytest.FixtureRequest, sandbox: Sandbox) -> Shop:
    return shop(sandbox, getattr(request, "param", "demo"))


@pytest.fixture
def paid(sandbox: Sandbox, demo: Shop) -> str:
    """The number of a micropay of 88.00 HKD."""
    number = new_number()
    assert demo.scan_code(code(sandbox), out_trade_no=number)["result_code"] == "SUCCESS"
    return number


def refunded(sandbox: Sandbox, number: str) -> int:
    rows = sandbox.control("GET", "book?wallet=wechat")["trades"]
    return int(next(row for row in rows if row["order"] == number)["refunded"])


@both_kinds
def test_a_refund_is_accepted_and_done_two_seconds_later(sandbox: Sandbox, demo: Shop, paid: str) -> None:
    number = new_number("R")
    with spent(sandbox, "chen", 0):
        reply = demo.refund(paid, 8800, out_refund_no=number, refund_fee_type="HKD").fields
    assert (reply["result_code"], reply["out_refund_no"], reply["out_trade_no"]) == ("SUCCESS", number, paid)
    assert (reply["refund_fee"], reply["refund_fee_type"], reply["total_fee"]) == ("8800", "HKD", "8800")
    assert (reply["cash_fee"], reply["cash_refund_fee"], reply["rate"]) == ("8028", "8028", "91230000")
    assert reply["refund_id"].startswith("50")
    assert demo.state(paid) == "REFUND"
    seen = demo.call("/pay/refundquery", out_refund_no=number).fields
    assert (seen["refund_status_0"], seen["refund_count"]) == ("PROCESSING", "1")
    assert "refund_success_time_0" not in seen
    with spent(sandbox, "chen", -8028):
        sandbox.advance(2)
    seen = demo.call("/pay/refundquery", refund_id=reply["refund_id"], out_refund_no="wrong").fields
    assert (seen["refund_status_0"], seen["out_refund_no_0"]) == ("SUCCESS", number)
    assert len(seen["refund_success_time_0"]) == 19
    assert seen["refund_recv_accout_0"] == "支付用户零钱"
    rows = sandbox.control("GET", "book?wallet=wechat")["refunds"]
    assert {
        "wallet": "wechat",
        "order": paid,
        "refund_order": number,
        "state": "SUCCESS",
        "amount": 8800,
    } in rows


def test_partial_refunds_add_up_to_the_payers_amount(sandbox: Sandbox, demo: Shop, paid: str) -> None:
    parts = (3333, 3333, 2134)
    with spent(sandbox, "chen", -8028):
        cash = [int(demo.refund(paid, part)["cash_refund_fee"]) for part in parts]
        sandbox.advance(2)
    assert sum(cash) == 8028
    full = demo.refund(paid, 1)
    assert (full.error, full["err_code_des"]) == ("ERROR", "订单已全额退款")
    assert refunded(sandbox, paid) == 8800
    seen = demo.call("/pay/refundquery", out_trade_no=paid).fields
    assert (seen["refund_count"], seen["refund_fee_2"]) == ("3", "2134")


@both_kinds
def test_the_same_refund_is_done_once(sandbox: Sandbox, demo: Shop, paid: str) -> None:
    number = new_number("R")
    first = demo.refund(paid, 500, out_refund_no=number).fields
    sandbox.advance(2)
    again = demo.refund(paid, 500, out_refund_no=number).fields
    for unlike in ("nonce_str", "sign"):
        assert first.pop(unlike) != again.pop(unlike)
    assert first == again
    assert refunded(sandbox, paid) == 500
    other = new_number()
    demo.scan_code(code(sandbox), out_trade_no=other)
    assert demo.refund(paid, 501, out_refund_no=number).error == "PARAM_ERROR"
    assert demo.refund(other, 500, out_refund_no=number).error == "PARAM_ERROR"
    assert demo.refund(paid, 500, out_refund_no=number, total_fee=8801).error == "PARAM_ERROR"


def test_a_full_refund_can_be_repeated_under_its_number(demo: Shop, paid: str) -> None:
    number = new_number("R")
    demo.refund(paid, 8800, out_refund_no=number)
    assert demo.refund(paid, 8800, out_refund_no=number).error == ""


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"total_fee": 8801}, "PARAM_ERROR"),
        ({"refund_fee_type": "CNY"}, "PARAM_ERROR"),
        ({"refund_fee": 8801}, "PARAM_ERROR"),
        ({"refund_fee": 0}, "refund_fee参数格式错误"),
        ({"refund_account": "PETTY_CASH"}, "refund_account参数格式错误"),
        ({"notify_url": "http://shop.example/n?x=1"}, "notify_url参数格式错误"),
        ({"out_refund_no": ""}, "缺少参数out_refund_no"),
        ({"out_trade_no": ""}, "缺少参数transaction_id或out_trade_no"),
        ({"transaction_id": "12"}, "INVALID_TRANSACTIONID"),
        ({"transaction_id": "4" * 28}, "ORDERNOTEXIST"),
    ],
    ids=str,
)
def test_a_wrong_refund_moves_nothing(
    sandbox: Sandbox, demo: Shop, paid: str, change: dict[str, Any], error: str
) -> None:
    request = {
        "out_trade_no": paid,
        "out_refund_no": new_number("R"),
        "total_fee": 8800,
        "refund_fee": 100,
        **change,
    }
    assert demo.call("/secapi/pay/refund", **request).error == error
    assert (demo.state(paid), refunded(sandbox, paid)) == ("SUCCESS", 0)


@both_kinds
def test_unpaid_unknown_and_exceeding_refunds_are_refused(sandbox: Sandbox, demo: Shop, paid: str) -> None:
    unpaid = new_number()
    demo.order(out_trade_no=unpaid)
    assert demo.refund(unpaid, 1).error == "ERROR"
    assert demo.refund(new_number(), 1).error == "ORDERNOTEXIST"
    assert shop(sandbox, "wechat_only").refund(paid, 1).error == "ORDERNOTEXIST"
    assert demo.refund(paid, 4400).error == ""
    assert demo.refund(paid, 4401).error == "PARAM_ERROR"


def test_fifty_refunds_of_an_order_are_the_limit(demo: Shop, paid: str) -> None:
    for _ in range(50):
        assert demo.refund(paid, 1).error == ""
    assert demo.refund(paid, 1).error == "PARAM_ERROR"
    first = demo.call("/pay/refundquery", out_trade_no=paid).fields
    assert (first["refund_count"], first["total_refund_count"]) == ("10", "50")
    last = demo.call("/pay/refundquery", out_trade_no=paid, offset=45).fields
    assert (last["refund_count"], "refund_id_4" in last, "refund_id_5" in last) == ("5", True, False)


def test_a_refund_is_refused_after_a_year(sandbox: Sandbox, demo: Shop, paid: str) -> None:
    number = new_number("R")
    sandbox.advance(364 * 86_400)
    assert demo.refund(paid, 1, out_refund_no=number).error == ""
    sandbox.advance(2 * 86_400)
    assert demo.refund(paid, 1).error == "TRADE_OVERDUE"
    assert demo.refund(paid, 1, out_refund_no=number).error == ""


@both_kinds
def test_refunds_that_do_not_exist(sandbox: Sandbox, demo: Shop, paid: str) -> None:
    path = "/pay/refundquery"
    queries: list[dict[str, Any]] = [
        {"out_refund_no": "R0"},
        {"refund_id": "50"},
        {"out_trade_no": paid},
        {"out_trade_no": "none"},
    ]
    for request in queries:
        missing = demo.call(path, **request)
        assert (missing.error, missing["err_code_des"]) == ("REFUNDNOTEXIST", "not exist")
    number = new_number("R")
    demo.refund(paid, 1, out_refund_no=number)
    assert shop(sandbox, "wechat_only").call(path, out_refund_no=number).error == "REFUNDNOTEXIST"
    assert demo.call(path).error == "缺少参数refund_id或out_refund_no或transaction_id或out_trade_no"
