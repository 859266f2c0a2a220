"""Refunds of both families: partial and full, repeats, limits, and money returned at the payment's rate."""

from collections.abc import Callable

import pytest

from tests.sandbox.alipay_shop import Reply, Shop, balance, confirm, new_number, shop
from tests.sandbox.conftest import Sandbox

YEAR_S = 365 * 24 * 3600


@pytest.fixture
def offline(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "offline")


@pytest.fixture
def online(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "online")


@pytest.fixture
def spot(sandbox: Sandbox, offline: Shop) -> str:
    """A paid in-store order of HKD 39.25."""
    order = new_number()
    assert offline.pay_spot(sandbox.code(), order)["result_code"] == "SUCCESS"
    return order


@pytest.fixture
def bought(sandbox: Sandbox, online: Shop) -> str:
    """A paid online order of HKD 120.00."""
    order = new_number()
    assert confirm(sandbox, url=online.pc_link(order))["state"] == "TRADE_FINISHED"
    return order


def test_spot_refunds_add_up_to_the_payment(sandbox: Sandbox, offline: Shop, spot: str) -> None:
    before = balance(sandbox, "ada")
    part = offline.refund_spot(spot, new_number(), "10.01")
    assert part["result_code"] == "SUCCESS"
    assert (part["refund_amount"], part["refund_amount_cny"]) == ("10.01", "9.13")
    assert part["exchange_rate"] == "0.91230000"
    assert offline.query_spot(spot)["alipay_trans_status"] == "TRADE_SUCCESS"
    assert offline.refund_spot(spot, new_number(), "29.25")["error"] == "REFUND_AMT_RESTRICTION"
    rest = offline.refund_spot(spot, new_number(), "29.24")
    assert rest["refund_amount_cny"] == "26.68"
    assert balance(sandbox, "ada") == before + 3581
    assert offline.query_spot(spot)["alipay_trans_status"] == "TRADE_CLOSED"
    assert offline.refund_spot(spot, new_number(), "0.01")["error"] == "TRADE_HAS_CLOSE"
    assert offline.book_row(spot)["refunded"] == 3925
    rows = [row for row in sandbox.control("GET", "book")["refunds"] if row["order"] == spot]
    assert [row["amount"] for row in rows] == [1001, 2924]
    assert all(row["state"] == "SUCCESS" and row["wallet"] == "alipay" for row in rows)


def test_a_spot_refund_number_is_one_refund(sandbox: Sandbox, offline: Shop, spot: str) -> None:
    refund = new_number()
    first = offline.refund_spot(spot, refund, "39.25")
    after = balance(sandbox, "ada")
    assert offline.refund_spot(spot, refund, "39.25").node == first.node
    assert balance(sandbox, "ada") == after
    other = offline.refund_spot(spot, refund, "39.24")
    assert (other["result_code"], other["error"]) == ("FAILED", "DISCORDANT_REPEAT_REQUEST")


def test_a_spot_refund_number_belongs_to_one_order(sandbox: Sandbox, offline: Shop, spot: str) -> None:
    second, refund = new_number(), new_number()
    offline.pay_spot(sandbox.code(), second)
    offline.refund_spot(spot, refund, "1.00")
    assert offline.refund_spot(second, refund, "1.00")["error"] == "DISCORDANT_REPEAT_REQUEST"


def test_spot_refunds_of_what_is_not_paid(sandbox: Sandbox, offline: Shop) -> None:
    order = new_number()
    assert offline.refund_spot(order, new_number(), "1.00")["error"] == "TRADE_NOT_EXIST"
    offline.pay_spot(sandbox.code("password"), order)
    assert offline.refund_spot(order, new_number(), "1.00")["error"] == "TRADE_NOT_EXIST"


def test_a_spot_refund_checks_alipays_number_too(offline: Shop, spot: str) -> None:
    trade_no = offline.query_spot(spot)["alipay_trans_id"]
    wrong = offline.refund_spot(spot, new_number(), "1.00", alipay_trans_id=trade_no[:-1])
    assert wrong["error"] == "TRADE_NOT_EXIST"
    right = offline.refund_spot(spot, new_number(), "1.00", alipay_trans_id=trade_no)
    assert right["result_code"] == "SUCCESS"


def test_a_spot_refund_in_another_currency(offline: Shop, spot: str) -> None:
    assert offline.refund_spot(spot, new_number(), "1.00", currency="USD")["error"] == "INVALID_PARAMETER"


@pytest.mark.parametrize(
    "change",
    [
        {"partner_refund_id": ""},
        {"partner_refund_id": "x" * 65},
        {"refund_amount": ""},
        {"refund_amount": "0"},
        {"refund_amount": "1.001"},
        {"refund_amount": "10000000.00"},
        {"currency": ""},
        {"currency": "JPY", "refund_amount": "1.00"},
        {"is_sync": "X"},
        {"refund_reason": "x" * 129},
    ],
)
def test_a_bad_spot_refund_is_refused(offline: Shop, spot: str, change: dict[str, str]) -> None:
    assert offline.refund_spot(spot, new_number(), "1.00", **change).error == "INVALID_PARAMETER"
    assert offline.book_row(spot)["refunded"] == 0


def test_a_spot_refund_has_a_number_of_its_own(offline: Shop, spot: str) -> None:
    assert offline.refund_spot(spot, spot, "1.00").error == "INVALID_PARAMETER"


def test_forex_refunds_respond_bare_and_add_up(sandbox: Sandbox, online: Shop, bought: str) -> None:
    before = balance(sandbox, "ada")
    done = online.refund_online(bought, new_number(), "40.01")
    assert done.body.endswith(b"<alipay><is_success>T</is_success></alipay>")
    assert done.content_type == "text/xml;charset=UTF-8"
    queried = online.query_online(bought)
    assert (queried["trade_status"], queried["refund_fee"]) == ("TRADE_FINISHED", "36.50")
    assert queried["refund_status"] == "REFUND_SUCCESS"
    assert online.refund_online(bought, new_number(), "80.00").error == "RETURN_AMOUNT_EXCEED"
    assert online.refund_online(bought, new_number(), "79.99").error is None
    assert balance(sandbox, "ada") == before + 10948
    assert online.query_online(bought)["trade_status"] == "TRADE_CLOSED"
    assert online.refund_online(bought, new_number(), "0.01").error == "TRADE_HAS_CLOSE"


def test_a_forex_refund_number_is_one_refund(sandbox: Sandbox, online: Shop, bought: str) -> None:
    refund = new_number()
    assert online.refund_online(bought, refund, "1.00").error is None
    assert online.refund_online(bought, refund, "1.00").error is None
    assert online.refund_online(bought, refund, "1.01").error == "REPEATED_REFUNDMENT_REQUEST"
    assert online.book_row(bought)["refunded"] == 100


def test_forex_refunds_of_what_is_not_paid(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    assert online.refund_online(order, new_number(), "1.00").error == "PURCHASE_TRADE_NOT_EXIST"
    sandbox.control("POST", "scan", {"url": online.pc_link(order)})
    assert online.refund_online(order, new_number(), "1.00").error == "PURCHASE_TRADE_NOT_EXIST"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"currency": "USD"}, "CURRENCY_NOT_SAME"),
        ({"currency": ""}, "ILLEGAL_ARGUMENT"),
        ({"return_amount": ""}, "ILLEGAL_ARGUMENT"),
        ({"return_rmb_amount": "1.00"}, "ILLEGAL_ARGUMENT"),
        ({"return_amount": "0.00"}, "ILLEGAL_ARGUMENT"),
        ({"out_return_no": ""}, "ILLEGAL_ARGUMENT"),
        ({"product_code": ""}, "ILLEGAL_ARGUMENT"),
        ({"product_code": "NEW_WAP_OVERSEAS_SELLER"}, "ILLEGAL_ARGUMENT"),
        ({"gmt_return": "yesterday"}, "ILLEGAL_ARGUMENT"),
        ({"is_sync": "X"}, "ILLEGAL_ARGUMENT"),
        ({"split_fund_info": "{}"}, "ILLEGAL_ARGUMENT"),
    ],
)
def test_a_bad_forex_refund_is_refused(online: Shop, bought: str, change: dict[str, str], error: str) -> None:
    assert online.refund_online(bought, new_number(), "1.00", **change).error == error
    assert online.book_row(bought)["refunded"] == 0


@pytest.mark.parametrize("gmt_return", ["20260102030405", "2026-01-02 03:04:05", ""])
def test_both_forms_of_the_refund_time_are_taken(online: Shop, bought: str, gmt_return: str) -> None:
    assert online.refund_online(bought, new_number(), "1.00", gmt_return=gmt_return).error is None


def test_refunds_of_both_families_are_queried_alike(
    offline: Shop, online: Shop, spot: str, bought: str
) -> None:
    cases: list[tuple[Shop, str, Callable[[str, str, str], Reply]]] = [
        (offline, spot, offline.refund_spot),
        (online, bought, online.refund_online),
    ]
    for asker, order, refund in cases:
        number = new_number()
        before = asker.call("alipay.acquire.refund.query", out_trade_no=order, out_return_no=number)
        assert before.node == {"response_code": "NOT_FOUND"}
        refund(order, number, "1.00")
        after = asker.call("alipay.acquire.refund.query", out_trade_no=order, out_return_no=number)
        assert (after["response_code"], after["refund_result_code"]) == ("SUCCESS", "SUCCESS")
        assert (after["out_return_no"], after["out_trade_no"]) == (number, order)
        assert after["trade_no"] == asker.book_row(order)["trade"]
        unknown = asker.call("alipay.acquire.refund.query", out_trade_no=new_number(), out_return_no=number)
        assert unknown["response_code"] == "TRADE_NOT_EXIST"
        assert asker.call("alipay.acquire.refund.query", out_trade_no=order).error == "INVALID_PARAMETER"


def test_after_a_year_nothing_is_refunded(own_sandbox: Sandbox) -> None:
    offline, online = shop(own_sandbox, "offline"), shop(own_sandbox, "online")
    spot, bought, refund = new_number(), new_number(), new_number()
    offline.pay_spot(own_sandbox.code(), spot)
    confirm(own_sandbox, url=online.pc_link(bought))
    own_sandbox.advance(YEAR_S - 60)
    assert offline.refund_spot(spot, refund, "1.00")["result_code"] == "SUCCESS"
    assert online.refund_online(bought, refund, "1.00").error is None
    own_sandbox.advance(120)
    late = "REFUNDMENT_VALID_DATE_EXCEED"
    assert offline.refund_spot(spot, new_number(), "1.00")["error"] == late
    assert online.refund_online(bought, new_number(), "1.00").error == late
    assert offline.query_spot(spot)["alipay_trans_status"] == "TRADE_FINISHED"
    assert offline.refund_spot(spot, refund, "1.00")["result_code"] == "SUCCESS"
