"""In-store payments: each behaviour of a code, repeats, timeouts, query and cancel."""

import re
from datetime import timedelta

import pytest

from tests.sandbox.alipay_shop import Shop, balance, confirm, new_number, scan, shop
from tests.sandbox.conftest import ControlRefused, Sandbox


@pytest.fixture
def offline(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "offline")


def test_a_paid_order_has_trade_rate_and_buyer(sandbox: Sandbox, offline: Shop) -> None:
    order, before = new_number(), balance(sandbox, "bao")
    paid = offline.pay_spot(sandbox.code(payer="bao"), order)
    assert paid["result_code"] == "SUCCESS"
    day = f"{offline.now():%Y%m%d}"
    assert re.fullmatch(day + r"22001\d{15}", paid["alipay_trans_id"])
    assert re.fullmatch(r"\d{14}", paid["alipay_pay_time"])
    assert {name: paid[name] for name in ("partner_trans_id", "currency", "trans_amount")} == {
        "partner_trans_id": order,
        "currency": "HKD",
        "trans_amount": "39.25",
    }
    assert (paid["exchange_rate"], paid["trans_amount_cny"]) == ("0.91230000", "35.81")
    assert paid["alipay_buyer_user_id"].startswith("2088")
    assert balance(sandbox, "bao") == before - 3581
    queried = offline.query_spot(order)
    assert queried["result_code"] == "SUCCESS"
    assert queried["alipay_trans_status"] == "TRADE_SUCCESS"
    assert queried["out_trade_no"] == order
    assert queried["alipay_trans_id"] == paid["alipay_trans_id"]
    by_trade_no = offline.call("alipay.acquire.overseas.query", alipay_trans_id=paid["alipay_trans_id"])
    assert by_trade_no.node == queried.node
    row = offline.book_row(order)
    assert (row["amount"], row["currency"], row["refunded"]) == (3925, "HKD", 0)


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        ("refuses", "PAYMENT_FAIL"),
        ("insufficient", "BUYER_BALANCE_NOT_ENOUGH"),
        ("expired", "SOUNDWAVE_PARSER_FAIL"),
        ("used", "SOUNDWAVE_PARSER_FAIL"),
    ],
)
def test_a_refusal_creates_no_trade(sandbox: Sandbox, offline: Shop, behaviour: str, error: str) -> None:
    order, before = new_number(), balance(sandbox, "ada")
    code = sandbox.code(behaviour)
    for _ in range(2):
        refused = offline.pay_spot(code, order)
        assert (refused["result_code"], refused["error"]) == ("FAILED", error)
        assert refused["partner_trans_id"] == order
    assert offline.query_spot(order)["error"] == "TRADE_NOT_EXIST"
    assert balance(sandbox, "ada") == before
    assert offline.pay_spot(sandbox.code(), order)["result_code"] == "SUCCESS"


def test_a_password_makes_the_order_wait(sandbox: Sandbox, offline: Shop) -> None:
    order, code = new_number(), sandbox.code("password")
    for _ in range(2):
        request = offline.pay_spot(code, order)
        assert request["result_code"] == "UNKNOW"
        assert "error" not in request.node
    assert offline.query_spot(order)["alipay_trans_status"] == "WAIT_BUYER_PAY"
    assert "alipay_pay_time" not in offline.query_spot(order).node
    assert confirm(sandbox, "wrong_password", trade=order)["state"] == "WAIT_BUYER_PAY"
    with pytest.raises(ControlRefused, match="another payer"):
        confirm(sandbox, trade=order, payer="bao")
    done = confirm(sandbox, trade=request["alipay_trans_id"])
    assert done["state"] == done["trade"]["state"] == "TRADE_SUCCESS"
    assert done["trade"]["trade"] == request["alipay_trans_id"]
    assert done["return_to"] is None
    with pytest.raises(ControlRefused, match="TRADE_SUCCESS"):
        confirm(sandbox, trade=order)
    assert offline.pay_spot(code, order)["result_code"] == "SUCCESS"


def test_a_payer_who_cancels_closes_the_order(sandbox: Sandbox, offline: Shop) -> None:
    order, code = new_number(), sandbox.code("password")
    offline.pay_spot(code, order)
    assert confirm(sandbox, "cancel", trade=order)["state"] == "TRADE_CLOSED"
    assert offline.query_spot(order)["alipay_trans_status"] == "TRADE_CLOSED"
    assert offline.pay_spot(code, order)["error"] == "TRADE_HAS_CLOSE"


def test_an_entered_password_pays_after_three_seconds(sandbox: Sandbox, offline: Shop) -> None:
    order = new_number()
    assert offline.pay_spot(sandbox.code("password_then_pays"), order)["result_code"] == "UNKNOW"
    assert offline.query_spot(order)["alipay_trans_status"] == "WAIT_BUYER_PAY"
    sandbox.advance(3)
    assert offline.query_spot(order)["alipay_trans_status"] == "TRADE_SUCCESS"


def test_an_unconfirmed_order_closes_after_three_minutes(sandbox: Sandbox, offline: Shop) -> None:
    order = new_number()
    offline.pay_spot(sandbox.code("password"), order)
    sandbox.advance(170)
    assert offline.query_spot(order)["alipay_trans_status"] == "WAIT_BUYER_PAY"
    sandbox.advance(10)
    assert offline.query_spot(order)["alipay_trans_status"] == "TRADE_CLOSED"
    with pytest.raises(ControlRefused, match="TRADE_CLOSED"):
        confirm(sandbox, trade=order)


def test_a_system_error_may_hide_a_payment(sandbox: Sandbox, offline: Shop) -> None:
    order, code = new_number(), sandbox.code("unknown_then_paid")
    lost = offline.pay_spot(code, order)
    assert lost.node == {"result_code": "UNKNOW", "error": "SYSTEM_ERROR"}
    assert offline.query_spot(order)["alipay_trans_status"] == "TRADE_SUCCESS"
    assert offline.pay_spot(code, order)["result_code"] == "SUCCESS"


def test_a_system_error_may_hide_no_payment(sandbox: Sandbox, offline: Shop) -> None:
    order, code = new_number(), sandbox.code("unknown_then_nothing")
    for _ in range(2):
        assert offline.pay_spot(code, order).node == {"result_code": "UNKNOW", "error": "SYSTEM_ERROR"}
        assert offline.query_spot(order)["error"] == "TRADE_NOT_EXIST"
    assert offline.cancel(order)["result_code"] == "SUCCESS"


def test_a_repeat_is_the_same_payment_once(sandbox: Sandbox, offline: Shop) -> None:
    order, code, before = new_number(), sandbox.code(), balance(sandbox, "ada")
    first = offline.pay_spot(code, order)
    assert offline.pay_spot(code, order).node == first.node
    assert balance(sandbox, "ada") == before - 3581
    other = offline.pay_spot(code, order, trans_amount="39.26")
    assert (other["result_code"], other["error"]) == ("FAILED", "CONTEXT_INCONSISTENT")
    assert offline.pay_spot(code, order, trans_name="Coffee")["error"] == "CONTEXT_INCONSISTENT"
    assert offline.pay_spot(sandbox.code(payer="bao"), order)["error"] == "TRADE_BUYER_NOT_MATCH"
    assert offline.pay_spot(code, new_number())["error"] == "SOUNDWAVE_PARSER_FAIL"


def test_a_code_serves_one_merchant_only(sandbox: Sandbox, offline: Shop) -> None:
    order, code = new_number(), sandbox.code()
    offline.pay_spot(code, order)
    other = shop(sandbox, "offline", "chain_west")
    assert other.pay_spot(code, order)["error"] == "SOUNDWAVE_PARSER_FAIL"
    assert other.query_spot(order)["error"] == "TRADE_NOT_EXIST"


@pytest.mark.parametrize(
    "code", ["13", "2" * 15, "999999999999999999", "28abcdefghijklmnop", "28" + "0" * 16]
)
def test_an_invalid_code_is_refused(offline: Shop, code: str) -> None:
    assert offline.pay_spot(code, new_number())["error"] == "SOUNDWAVE_PARSER_FAIL"


def test_a_wechat_code_is_not_read(sandbox: Sandbox, offline: Shop) -> None:
    assert offline.pay_spot(sandbox.code(wallet="wechat"), new_number())["error"] == "SOUNDWAVE_PARSER_FAIL"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"alipay_seller_id": "2088000000000000"}, "INVALID_PARAMETER"),
        ({"alipay_seller_id": ""}, "INVALID_PARAMETER"),
        ({"trans_name": ""}, "INVALID_PARAMETER"),
        ({"trans_name": "x" * 257}, "INVALID_PARAMETER"),
        ({"trans_name": 'a "b"'}, "INVALID_PARAMETER"),
        ({"partner_trans_id": ""}, "INVALID_PARAMETER"),
        ({"partner_trans_id": "x" * 65}, "INVALID_PARAMETER"),
        ({"partner_trans_id": "a-b c"}, "INVALID_PARAMETER"),
        ({"currency": ""}, "INVALID_PARAMETER"),
        ({"currency": "hkd"}, "ILLEGAL_CURRENCY"),
        ({"currency": "USD"}, "ILLEGAL_CURRENCY"),
        ({"trans_currency": "MOP"}, "ILLEGAL_CURRENCY"),
        ({"currency": "JPY", "trans_amount": "100.00"}, "INVALID_PARAMETER"),
        ({"currency": "JPY", "trans_amount": "100"}, "ILLEGAL_CURRENCY"),
        ({"trans_amount": ""}, "INVALID_PARAMETER"),
        ({"trans_amount": "0.00"}, "INVALID_PARAMETER"),
        ({"trans_amount": "-1.00"}, "INVALID_PARAMETER"),
        ({"trans_amount": "1.001"}, "INVALID_PARAMETER"),
        ({"trans_amount": "1e3"}, "INVALID_PARAMETER"),
        ({"trans_amount": "٣"}, "INVALID_PARAMETER"),
        ({"trans_amount": "100000000.01"}, "INVALID_PARAMETER"),
        ({"buyer_identity_code": ""}, "INVALID_PARAMETER"),
        ({"identity_code_type": "soundwave"}, "INVALID_PARAMETER"),
        ({"trans_create_time": ""}, "INVALID_PARAMETER"),
        ({"trans_create_time": "00010101000000"}, "INVALID_PARAMETER"),
        ({"trans_create_time": "20261399000000"}, "INVALID_PARAMETER"),
        ({"biz_product": "OTHER"}, "INVALID_PARAMETER"),
        ({"quantity": "2", "price": "20.00"}, "INVALID_PARAMETER"),
        ({"quantity": "x", "price": "20.00"}, "INVALID_PARAMETER"),
        ({"extend_info": "[]"}, "INVALID_PARAMETER"),
        ({"extend_info": "{"}, "INVALID_PARAMETER"),
        ({"notify_url": "ftp://x/"}, "INVALID_PARAMETER"),
        ({"notify_url": "http://x/" + "x" * 200}, "INVALID_PARAMETER"),
    ],
)
def test_a_bad_parameter_is_refused(
    sandbox: Sandbox, offline: Shop, change: dict[str, str], error: str
) -> None:
    order = new_number()
    assert offline.pay_spot("280000000000000001", order, **change).error == error


def test_good_optional_parameters_are_taken(sandbox: Sandbox, offline: Shop) -> None:
    paid = offline.pay_spot(
        sandbox.code(),
        new_number(),
        quantity="5",
        price="7.85",
        memo="table 4",
        trans_currency="HKD",
        extend_info='{"secondary_merchant_name":"茶 & co","store_id":"S1"}',
    )
    assert paid["result_code"] == "SUCCESS"


def test_a_query_needs_a_number(offline: Shop) -> None:
    assert offline.call("alipay.acquire.overseas.query").error == "INVALID_PARAMETER"


def test_an_unpaid_order_is_cancelled_by_closing(sandbox: Sandbox, offline: Shop) -> None:
    order = new_number()
    offline.pay_spot(sandbox.code("password"), order)
    for _ in range(2):
        done = offline.cancel(order)
        assert (done["result_code"], done["action"], done["retry_flag"]) == ("SUCCESS", "close", "N")
    assert offline.book_row(order)["state"] == "TRADE_CLOSED"


def test_a_paid_order_is_cancelled_by_returning_everything(sandbox: Sandbox, offline: Shop) -> None:
    order, before = new_number(), balance(sandbox, "ada")
    paid = offline.pay_spot(sandbox.code(), order)
    for _ in range(2):
        done = offline.cancel(order)
        assert (done["result_code"], done["action"]) == ("SUCCESS", "refund")
        assert done["trade_no"] == paid["alipay_trans_id"]
    assert balance(sandbox, "ada") == before
    row = offline.book_row(order)
    assert (row["state"], row["refunded"]) == ("TRADE_CLOSED", 3925)
    assert offline.refund_spot(order, new_number(), "1.00")["error"] == "TRADE_HAS_CLOSE"


def test_cancelling_nothing_succeeds_without_an_action(offline: Shop) -> None:
    done = offline.cancel(new_number())
    assert done["result_code"] == "SUCCESS"
    assert "action" not in done.node


def test_after_a_partial_refund_a_cancel_is_refused(sandbox: Sandbox, offline: Shop) -> None:
    order = new_number()
    offline.pay_spot(sandbox.code(), order)
    assert offline.refund_spot(order, new_number(), "1.00")["result_code"] == "SUCCESS"
    refused = offline.cancel(order)
    assert (refused["result_code"], refused["retry_flag"]) == ("FAIL", "N")
    assert refused["detail_error_code"] == "REASON_TRADE_REFUND_FEE_ERR"
    offline.refund_spot(order, new_number(), "38.25")
    assert offline.cancel(order)["detail_error_code"] == "TRADE_HAS_CLOSE"


def test_a_cancel_is_possible_until_a_quarter_past_midnight(own_sandbox: Sandbox) -> None:
    offline = shop(own_sandbox, "offline")
    early, late = new_number(), new_number()
    for order in (early, late):
        offline.pay_spot(own_sandbox.code(), order)
    now = offline.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    own_sandbox.advance((midnight + timedelta(minutes=14) - now).total_seconds())
    assert offline.cancel(early)["action"] == "refund"
    own_sandbox.advance(61)
    assert offline.cancel(late)["detail_error_code"] == "TRADE_CANCEL_TIME_OUT"
    assert offline.cancel(early)["action"] == "refund"


@pytest.mark.parametrize("timestamp", ["", "x", "1767294245000", "2026-01-02 03:04", "2026-01-02 03:04:05"])
def test_a_cancel_needs_the_current_time(offline: Shop, timestamp: str) -> None:
    reply = offline.call("alipay.acquire.cancel", out_trade_no=new_number(), timestamp=timestamp)
    assert reply.error == "INVALID_PARAMETER"


def test_a_cancel_accepts_a_dashed_time_too(offline: Shop) -> None:
    timestamp = f"{offline.now():%Y-%m-%d %H:%M:%S}"
    done = offline.call("alipay.acquire.cancel", out_trade_no=new_number(), timestamp=timestamp)
    assert done["result_code"] == "SUCCESS"


def test_a_barcode_order_has_no_page_to_scan(sandbox: Sandbox, offline: Shop) -> None:
    link = offline.link("alipay.acquire.overseas.query", {"partner_trans_id": "X"})
    with pytest.raises(ControlRefused):
        scan(sandbox, link)
