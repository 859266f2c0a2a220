"""precreate: a QR code that the shop shows, from the scan to the refund, and its cancel and expiry."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.alipay_shop import Reply, Shop, balance, confirm, form_of, new_number, scan, shop
from tests.sandbox.conftest import ControlRefused, Receiver, Sandbox
from tests.sandbox.days import move_to

PRECREATE = "alipay.acquire.precreate"


@pytest.fixture
def offline(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "offline")


def precreate(offline: Shop, order: str, **fields: str) -> Reply:
    return offline.call(PRECREATE, **offline.precreate_fields(order) | fields)


def code(offline: Shop, order: str, **fields: str) -> str:
    reply = precreate(offline, order, **fields)
    assert reply["result_code"] == "SUCCESS"
    return reply["qr_code"]


def state(offline: Shop, order: str) -> str:
    reply = offline.query_spot(order).node
    return reply.get("alipay_trans_status") or reply["error"]


def test_a_code_is_scanned_paid_notified_and_refunded(
    sandbox: Sandbox, offline: Shop, receiver: Receiver
) -> None:
    order, before = new_number(), balance(sandbox, "bao")
    passed = {"notify_url": receiver.url, "passback_parameters": "table 7 & 8"}
    reply = precreate(offline, order, **passed)
    assert set(reply.node) == {"result_code", "out_trade_no", "voucher_type", "qr_code"}
    assert (reply["result_code"], reply["out_trade_no"], reply["voucher_type"]) == (
        "SUCCESS",
        order,
        "qrcode",
    )
    qr_code = reply["qr_code"]
    assert qr_code.startswith("https://qr.alipay.com/")
    assert state(offline, order) == "TRADE_NOT_EXIST"

    seen = scan(sandbox, qr_code)
    assert (seen["order"], seen["amount"], seen["currency"]) == (order, 3925, "HKD")
    assert state(offline, order) == "WAIT_BUYER_PAY"
    assert confirm(sandbox, "wrong_password", url=qr_code)["state"] == "WAIT_BUYER_PAY"
    assert confirm(sandbox, url=qr_code, payer="bao")["state"] == "TRADE_SUCCESS"
    assert before - balance(sandbox, "bao") == 3581
    assert state(offline, order) == "TRADE_SUCCESS"

    notice = form_of(receiver.wait_for(1)[0])
    assert offline.is_signed(notice)
    assert notice["trade_status"] == "TRADE_SUCCESS"
    assert notice["notify_action_type"] == "payByAccountAction"
    assert (notice["out_trade_no"], notice["total_fee"]) == (order, "39.25")
    assert notice["extra_common_param"] == "table 7 & 8"

    assert offline.refund_spot(order, new_number(), "39.25")["result_code"] == "SUCCESS"
    assert state(offline, order) == "TRADE_CLOSED"
    assert balance(sandbox, "bao") == before


def test_the_same_order_shows_the_same_code_until_it_is_paid(sandbox: Sandbox, offline: Shop) -> None:
    order = new_number()
    qr_code = code(offline, order)
    assert code(offline, order) == qr_code
    scan(sandbox, qr_code)
    assert code(offline, order) == qr_code
    other = precreate(offline, order, total_fee="39.26")
    assert (other["result_code"], other["detail_error_code"]) == ("FAIL", "CONTEXT_INCONSISTENT")
    confirm(sandbox, url=qr_code)
    assert precreate(offline, order)["detail_error_code"] == "TRADE_HAS_SUCCESS"
    offline.refund_spot(order, new_number(), "39.25")
    assert precreate(offline, order)["detail_error_code"] == "TRADE_HAS_CLOSE"


def test_a_barcode_payment_and_a_code_share_no_number(sandbox: Sandbox, offline: Shop) -> None:
    shown, scanned = new_number(), new_number()
    code(offline, shown)
    assert offline.pay_spot(sandbox.code(), shown)["error"] == "CONTEXT_INCONSISTENT"
    offline.pay_spot(sandbox.code(), scanned)
    assert precreate(offline, scanned)["detail_error_code"] == "CONTEXT_INCONSISTENT"


@pytest.mark.parametrize("is_scanned", [False, True])
def test_a_cancelled_code_cannot_be_paid(sandbox: Sandbox, offline: Shop, is_scanned: bool) -> None:
    order = new_number()
    qr_code = code(offline, order)
    if is_scanned:
        scan(sandbox, qr_code)
    for _ in range(2):
        done = offline.cancel(order)
        assert (done["result_code"], done.node.get("action")) == ("SUCCESS", "close" if is_scanned else None)
    assert state(offline, order) == ("TRADE_CLOSED" if is_scanned else "TRADE_NOT_EXIST")
    with pytest.raises(ControlRefused):
        confirm(sandbox, url=qr_code)
    with pytest.raises(ControlRefused):
        confirm(sandbox, trade=order)
    assert precreate(offline, order)["detail_error_code"] == "TRADE_HAS_CLOSE"


def test_cancelling_a_paid_code_returns_its_money(sandbox: Sandbox, offline: Shop) -> None:
    order, before = new_number(), balance(sandbox, "ada")
    confirm(sandbox, url=code(offline, order))
    assert offline.cancel(order)["action"] == "refund"
    assert balance(sandbox, "ada") == before


def test_the_cancel_s_day_is_that_of_the_scan(sandbox: Sandbox, offline: Shop) -> None:
    move_to(sandbox, 23, 50)
    order = new_number()
    qr_code = code(offline, order)
    move_to(sandbox, 0, 10)
    confirm(sandbox, url=qr_code)
    move_to(sandbox, 23, 55)
    assert offline.cancel(order)["action"] == "refund"
    late = new_number()
    confirm(sandbox, url=code(offline, late))
    move_to(sandbox, 0, 20)
    refused = offline.cancel(late)
    assert (refused["result_code"], refused["detail_error_code"], refused["retry_flag"]) == (
        "FAIL",
        "TRADE_CANCEL_TIME_OUT",
        "N",
    )


def test_a_cancel_says_what_it_did(sandbox: Sandbox, offline: Shop) -> None:
    unscanned, unpaid, paid = new_number(), new_number(), new_number()
    codes = {order: code(offline, order) for order in (unscanned, unpaid, paid)}
    trades = {order: scan(sandbox, codes[order])["trade"] for order in (unpaid, paid)}
    confirm(sandbox, url=codes[paid])
    done = {"result_code": "SUCCESS", "retry_flag": "N"}
    assert offline.cancel(new_number("N")).node.keys() == {"result_code", "out_trade_no", "retry_flag"}
    assert offline.cancel(unscanned).node == done | {"out_trade_no": unscanned}
    for order, action in ((unpaid, "close"), (paid, "refund")):
        expected = done | {"action": action, "out_trade_no": order, "trade_no": trades[order]}
        assert offline.cancel(order).node == expected
        assert state(offline, order) == "TRADE_CLOSED"


IN_STORE = {
    *("notify_id", "notify_type", "notify_time", "sign", "sign_type", "out_trade_no", "trade_no"),
    *("trade_status", "total_fee", "currency", "notify_action_type", "subject", "seller_id", "price"),
    *("quantity", "gmt_create", "buyer_id", "buyer_email"),
}


@pytest.mark.parametrize(
    ("events", "action", "state", "more"),
    [
        (["pay"], "payByAccountAction", "TRADE_SUCCESS", {"gmt_payment"}),
        (["cancel"], "closeTradeAction", "TRADE_CLOSED", {"gmt_close"}),
        (["expire"], "closeTradeAction", "TRADE_CLOSED", {"gmt_close"}),
        (["pay", "cancel"], "reverseAction", "TRADE_CLOSED", {"gmt_payment", "gmt_close", "refund_fee"}),
        (["pay", "refund"], "refundFPAction", "TRADE_CLOSED", {"gmt_payment", "gmt_close", "refund_fee"}),
    ],
)
def test_each_decision_is_notified(
    sandbox: Sandbox,
    offline: Shop,
    receiver: Receiver,
    events: list[str],
    action: str,
    state: str,
    more: set[str],
) -> None:
    order = new_number()
    qr_code = code(offline, order, notify_url=receiver.url)
    scan(sandbox, qr_code)
    steps: dict[str, Callable[[], object]] = {
        "pay": lambda: confirm(sandbox, url=qr_code),
        "cancel": lambda: offline.cancel(order),
        "expire": lambda: sandbox.advance(181),
        "refund": lambda: offline.refund_spot(order, new_number(), "39.25"),
    }
    for number, event in enumerate(events, 1):
        steps[event]()
        receiver.wait_for(number)
    notice = form_of(receiver.bodies[-1])
    assert offline.is_signed(notice)
    assert set(notice) == IN_STORE | more
    assert (notice["notify_type"], notice["notify_action_type"]) == ("trade_status_sync", action)
    assert (notice["out_trade_no"], notice["trade_status"]) == (order, state)
    assert (notice["total_fee"], notice["currency"], notice["seller_id"]) == ("39.25", "HKD", offline.pid)


@pytest.mark.parametrize(
    ("fields", "lives_s"), [({}, 7200), ({"qr_code_it_b_pay": "10m"}, 600)], ids=["default", "10m"]
)
def test_a_code_can_be_scanned_until_it_expires(
    sandbox: Sandbox, offline: Shop, fields: dict[str, str], lives_s: int
) -> None:
    young, old = new_number(), new_number()
    codes = [code(offline, order, **fields) for order in (young, old)]
    sandbox.advance(lives_s - 60)
    assert scan(sandbox, codes[0])["state"] == "WAIT_BUYER_PAY"
    sandbox.advance(61)
    with pytest.raises(ControlRefused, match="too old"):
        scan(sandbox, codes[1])
    assert state(offline, old) == "TRADE_NOT_EXIST"


def test_a_payer_has_a_limited_time_to_pay_after_the_scan(sandbox: Sandbox, offline: Shop) -> None:
    usual, longer = new_number(), new_number()
    for order, fields in ((usual, {}), (longer, {"it_b_pay": "5m"})):
        scan(sandbox, code(offline, order, **fields))
    sandbox.advance(170)
    assert state(offline, usual) == "WAIT_BUYER_PAY"
    sandbox.advance(11)
    assert (state(offline, usual), state(offline, longer)) == ("TRADE_CLOSED", "WAIT_BUYER_PAY")
    sandbox.advance(120)
    assert state(offline, longer) == "TRADE_CLOSED"


def test_1c_lasts_until_midnight(sandbox: Sandbox, offline: Shop) -> None:
    move_to(sandbox, 20)
    order = new_number()
    scan(sandbox, code(offline, order, it_b_pay="1c"))
    move_to(sandbox, 23, 59)
    assert state(offline, order) == "WAIT_BUYER_PAY"
    move_to(sandbox, 0)
    assert state(offline, order) == "TRADE_CLOSED"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"timestamp": ""}, "INVALID_PARAMETER"),
        ({"timestamp": "2020-01-02 03:04:05"}, "INVALID_PARAMETER"),
        ({"out_trade_no": ""}, "INVALID_PARAMETER"),
        ({"subject": ""}, "INVALID_PARAMETER"),
        ({"subject": 'a "tea"'}, "INVALID_PARAMETER"),
        ({"total_fee": "0.00"}, "INVALID_PARAMETER"),
        ({"total_fee": "1.001"}, "INVALID_PARAMETER"),
        ({"currency": "USD", "trans_currency": "USD"}, "ILLEGAL_CURRENCY"),
        ({"trans_currency": ""}, "INVALID_PARAMETER"),
        ({"trans_currency": "USD"}, "ILLEGAL_CURRENCY"),
        ({"seller_id": ""}, "INVALID_PARAMETER"),
        ({"seller_id": "2088000000000000"}, "INVALID_PARAMETER"),
        ({"product_code": ""}, "INVALID_PARAMETER"),
        ({"notify_url": ""}, "INVALID_PARAMETER"),
        ({"notify_url": "http://127.0.0.1/" + "n" * 174}, "INVALID_PARAMETER"),
        ({"extend_params": ""}, "INVALID_PARAMETER"),
        ({"extend_params": "[]"}, "INVALID_PARAMETER"),
        ({"goods_detail": json.dumps([{"goodsId": "1"}] * 51)}, "INVALID_PARAMETER"),
        ({"it_b_pay": "16d"}, "INVALID_PARAMETER"),
        ({"it_b_pay": "1.5h"}, "INVALID_PARAMETER"),
        ({"it_b_pay": "2c"}, "INVALID_PARAMETER"),
        ({"qr_code_it_b_pay": "0m"}, "INVALID_PARAMETER"),
    ],
    ids=str,
)
def test_a_bad_request_makes_no_code(offline: Shop, change: dict[str, Any], error: str) -> None:
    order = new_number()
    assert precreate(offline, order, **change).error == error
    assert offline.query_spot(order)["error"] == "TRADE_NOT_EXIST"


def test_a_seller_may_be_named_by_e_mail_and_goods_listed(offline: Shop) -> None:
    goods = json.dumps([{"goodsId": "1", "goodsName": "tea", "quantity": "1", "price": "39.25"}])
    code(
        offline,
        new_number(),
        seller_id="",
        seller_email="till@shop.example",
        goods_detail=goods,
        it_b_pay="15d",
    )


def test_an_unknown_code_is_refused(sandbox: Sandbox, offline: Shop) -> None:
    with pytest.raises(ControlRefused) as refused:
        scan(sandbox, "https://qr.alipay.com/bax0")
    assert refused.value.field == "url"
    token = code(offline, new_number()).rpartition("/")[2]
    status, page = sandbox.call("GET", f"/alipay/cashier/{token}")
    assert (status, b"TRADE_NOT_EXIST" in page) == (200, True)


def test_only_in_store_contracts_have_precreate(sandbox: Sandbox) -> None:
    online = shop(sandbox, "online")
    request = online.signed(PRECREATE, online.precreate_fields(new_number()))
    assert online.post(request).error == "ILLEGAL_PARTNER_EXTERFACE"
