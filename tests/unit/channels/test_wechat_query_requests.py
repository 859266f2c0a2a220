"""Our requests to WeChat: the same on every repeat, and only with text that XML and WeChat accept."""

from dataclasses import replace

import pytest

from tael.channels.wechat_v2.exchange import complete
from tael.channels.wechat_v2.messages import from_xml, to_xml
from tael.channels.wechat_v2.requests import (
    barcode_payment,
    body_text,
    is_payer_code,
    online_payment,
    refund,
    this_order,
    this_refund,
)
from tests.support.wechat import REFUND_SYSSN, SYSSN, account, order, refund_of, signed


def test_a_code_to_scan_is_requested_with_the_orders_times_in_beijing_time() -> None:
    assert online_payment(order("800201", account()), "10.0.0.1") == {
        "body": "A cup of tea",
        "out_trade_no": SYSSN,
        "total_fee": "888",
        "fee_type": "HKD",
        "spbill_create_ip": "10.0.0.1",
        "time_start": "20260101120000",
        "time_expire": "20260101123000",
        "notify_url": "http://127.0.0.1:1/notices/wechat/account",
        "trade_type": "NATIVE",
        "product_id": SYSSN,
    }


def test_a_payment_inside_wechat_is_one_of_a_page() -> None:
    asked = online_payment(order("800207", account(), openid="o-1"), "10.0.0.1")

    assert (asked["trade_type"], asked["device_info"]) == ("JSAPI", "WEB")


def test_a_barcode_payment_has_no_notice_url_and_no_times() -> None:
    asked = barcode_payment(order("800208", account(), auth_code="130000000000000001"), "10.0.0.1")

    assert asked["auth_code"] == "130000000000000001"
    assert not {"notify_url", "time_start", "time_expire"} & asked.keys()


@pytest.mark.parametrize("pay_type", ["800201", "800207", "800208", "800228"])
def test_only_an_order_without_credit_cards_has_limit_pay(pay_type: str) -> None:
    free = order(pay_type, account(), openid="o-1", auth_code="130000000000000001")
    ask = online_payment if free.pay_type.is_online else barcode_payment

    asked = ask(free.replace(forbid_credit=True), "10.0.0.1")
    assert asked == {**ask(free, "10.0.0.1"), "limit_pay": "no_credit"}
    assert "limit_pay" not in ask(free, "10.0.0.1")


def test_a_partial_refund_names_the_whole_price() -> None:
    assert refund(refund_of(order("800201", account()), amount_minor=88)) == {
        "out_trade_no": SYSSN,
        "out_refund_no": REFUND_SYSSN,
        "total_fee": "888",
        "refund_fee": "88",
        "refund_fee_type": "HKD",
        "notify_url": "http://127.0.0.1:1/notices/wechat/account",
    }


def test_later_requests_name_only_our_number() -> None:
    ask = refund_of(order("800201", account()))

    assert this_order(ask.order) == {"out_trade_no": SYSSN}
    assert this_refund(ask) == {"out_refund_no": REFUND_SYSSN}


def test_a_request_names_the_account_and_is_signed() -> None:
    asked = complete({"out_trade_no": SYSSN}, account("HMAC-SHA256"), "HMAC-SHA256")

    assert asked == signed(asked, sign_type="HMAC-SHA256")
    assert asked["sign_type"] == "HMAC-SHA256"
    assert (asked["appid"], asked["mch_id"]) == ("wx1111111111111111", "1900000109")
    assert (asked["sub_appid"], asked["sub_mch_id"]) == ("wx2222222222222222", "1900000110")


def test_md5_is_not_named_and_a_nonce_is_used_once() -> None:
    first, second = (complete(this_order(order("800201", account())), account(), "MD5") for _ in range(2))

    assert "sign_type" not in first
    assert first == signed(first)
    assert first["nonce_str"] != second["nonce_str"]


def test_an_account_without_an_appid_of_its_own_names_none() -> None:
    asked = complete({}, replace(account(), sub_appid=""), "MD5")

    assert "sub_appid" not in from_xml(to_xml(asked))


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("A cup of tea", "A cup of tea"),
        ("a" * 200, "a" * 128),
        ("茶" * 60, "茶" * 42),
        ("a" + "🍵" * 40, "a" + "🍵" * 31),
        ("two\r\nlines\tand\x00more\x1b\ufffe\ud800.", "two  lines and more   ."),
        ("a" * 127 + " b", "a" * 127),
        ("茶 & <b>]]>", "茶 & <b>]]>"),
        ("", "otherwise"),
        ("\n \x07", "otherwise"),
    ],
)
def test_a_subject_is_cut_on_a_character_and_cleaned(subject: str, body: str) -> None:
    assert body_text(subject, otherwise="otherwise") == body
    assert from_xml(to_xml({"body": body})) == {"body": body}


@pytest.mark.parametrize("code", ["100000000000000000", "131234567890123456", "159999999999999999"])
def test_a_payers_code_of_wechat_is_known(code: str) -> None:
    assert is_payer_code(code)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "28" + "0" * 16,
        "16" + "0" * 16,
        "13" + "0" * 15,
        "13" + "0" * 17,
        "13" + "0" * 16 + "\n",
        "13" + "٠" * 16,
    ],
)
def test_another_wallets_code_is_detected_without_a_request(code: str) -> None:
    assert not is_payer_code(code)
