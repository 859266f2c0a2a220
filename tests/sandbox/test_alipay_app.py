"""Payments in an app: the order string of `mobile.securitypay.pay`, which the payer's phone opens."""

import json
from typing import Any
from urllib.parse import quote, unquote

import pytest

from tests.sandbox.alipay_shop import Shop, balance, confirm, form_of, new_number, quoted, scan, shop
from tests.sandbox.conftest import ControlRefused, Receiver, Sandbox
from tests.sandbox.days import move_to
from tests.sandbox.handset import Handset

SELLER = "NEW_WAP_OVERSEAS_SELLER"


MISSING = (
    "service, seller_id, _input_charset, sign_type, sign, notify_url, out_trade_no, subject, payment_type, currency,"
    " forex_biz, product_code, total_fee"
)


@pytest.fixture
def online(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "online")


def refusal_of(sandbox: Sandbox, text: str) -> str:
    """Both calls refuse the string, with the same text and without an order."""
    before = sandbox.control("GET", "book")
    texts: set[str] = set()
    for name, members in (("scan", {}), ("confirm", {"action": "pay"})):
        with pytest.raises(ControlRefused) as refused:
            sandbox.control("POST", name, {"url": text, **members})
        assert (refused.value.status, refused.value.field) == (400, "url")
        texts.add(refused.value.text)
    assert sandbox.control("GET", "book") == before
    (reason,) = texts
    return reason


def test_a_trade_exists_with_the_password_and_is_notified_queried_and_refunded(
    sandbox: Sandbox, online: Shop, receiver: Receiver
) -> None:
    order, before = new_number(), balance(sandbox, "bao")
    text = online.order_string(order, notify_url=receiver.url)
    assert scan(sandbox, text) == {
        "wallet": "alipay",
        "trade": order,
        "order": order,
        "payee": "Demo Shop",
        "subject": "Two tickets",
        "amount": 12000,
        "currency": "HKD",
        "amount_cny": 10948,
        "state": "TRADE_NOT_EXIST",
    }
    for action in ("wrong_password", "cancel"):
        assert confirm(sandbox, action, url=text)["state"] == "TRADE_NOT_EXIST"
        assert online.query_online(order).error == "TRADE_NOT_EXIST"
        assert online.call("close_trade", out_order_no=order).error == "TRADE_NOT_EXIST"

    paid = confirm(sandbox, trade=order, payer="bao")
    assert (paid["state"], paid["return_to"]) == ("TRADE_FINISHED", None)
    assert before - balance(sandbox, "bao") == 10948
    notice = form_of(receiver.wait_for(1)[0])
    assert notice["sign_type"] == "RSA"
    assert online.is_signed(notice)
    assert set(notice) == {
        *("notify_id", "notify_type", "notify_time", "sign", "sign_type", "out_trade_no", "trade_no"),
        *("trade_status", "total_fee", "currency"),
    }
    assert (notice["notify_type"], notice["trade_status"]) == ("trade_status_sync", "TRADE_FINISHED")
    assert (notice["out_trade_no"], notice["total_fee"], notice["currency"]) == (order, "120.00", "HKD")
    queried = online.query_online(order)
    assert (queried["trade_status"], queried["total_fee"]) == ("TRADE_FINISHED", "109.48")
    assert online.call("close_trade", out_order_no=order).error == "TRADE_STATUS_ERROR"

    refund = new_number()
    assert online.refund_online(order, refund, "20.00").error == "ILLEGAL_ARGUMENT"  # the product of PC
    assert online.refund_online(order, refund, "20.00", product_code=SELLER).error is None
    found = online.call("alipay.acquire.refund.query", out_trade_no=order, out_return_no=refund)
    assert found["refund_result_code"] == "SUCCESS"
    assert online.refund_online(order, new_number(), "100.00", product_code=SELLER).error is None
    assert online.query_online(order)["trade_status"] == "TRADE_CLOSED"
    assert balance(sandbox, "bao") == before


@pytest.mark.parametrize("label", ["demo", "chain_east", "chain_west"], ids=["MD5", "RSA", "RSA2"])
def test_every_merchant_signs_with_its_private_key(sandbox: Sandbox, label: str) -> None:
    text = shop(sandbox, "online", label).order_string(new_number())
    assert confirm(sandbox, url=text)["state"] == "TRADE_FINISHED"


def test_pay_params_in_json_are_the_sorted_string(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    members: dict[str, Any] = online.pay_params(order, total_fee="0.01", subject="奶茶　大")
    members["total_fee"] = 0.01  # QFPay has a number here
    for text in (json.dumps(members), json.dumps(members, ensure_ascii=False)):
        assert scan(sandbox, text)["amount"] == 1
    text = online.order_string(order, total_fee="0.01", subject="奶茶　大")
    assert scan(sandbox, text)["subject"] == "奶茶　大"
    assert confirm(sandbox, url=json.dumps(members))["state"] == "TRADE_FINISHED"


def test_a_signature_is_over_the_pairs_in_the_order_in_which_they_stand(
    sandbox: Sandbox, online: Shop
) -> None:
    fields = dict(reversed(online.app_fields(new_number()).items()))
    text = online.signed_string(fields)
    assert scan(sandbox, text)["subject"] == "Two tickets"
    signature = text.removeprefix(f"{quoted(fields)}&")
    assert scan(sandbox, f"{signature}&{quoted(fields)}")["subject"] == "Two tickets"
    for other in (
        f"{quoted(dict(sorted(fields.items())))}&{signature}",
        text.replace("120.00", "120.01"),
        text.replace('sign="', 'sign="A'),
        text.replace("%3D%3D", "=="),  # not URL-encoded
        text.replace('&sign="', '&other="1"&sign="'),
    ):
        assert refusal_of(sandbox, other) == "the order string is refused: ILLEGAL_SIGN"
    members = online.pay_params(new_number()) | {"sign": unquote(signature.split('"')[1])}
    assert "ILLEGAL_SIGN" in refusal_of(sandbox, json.dumps(members))


@pytest.mark.parametrize("sign_type", ["MD5", "RSA2", "rsa"])
def test_only_rsa_is_accepted(sandbox: Sandbox, online: Shop, sign_type: str) -> None:
    text = quoted(online.app_fields(new_number()))
    sign = online.sign(text, sign_type.upper())
    signed = f'{text}&sign="{quote(sign, safe="")}"&sign_type="{sign_type}"'
    assert refusal_of(sandbox, signed) == "the order string is refused: ILLEGAL_SIGN_TYPE"


def test_another_merchant_s_key_is_refused(sandbox: Sandbox, online: Shop) -> None:
    other = shop(sandbox, "online", "chain_west")
    text = online.signed_string(online.app_fields(new_number()) | {"partner": other.pid})
    assert "ILLEGAL_SIGN" in refusal_of(sandbox, text)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"service": "create_forex_trade_wap"}, "ILLEGAL_SERVICE"),
        ({"partner": "2088000000000000"}, "ILLEGAL_PARTNER"),
        ({"_input_charset": "gbk"}, "ILLEGAL_CHARSET"),
        ({"seller_id": "2088000000000000"}, "ILLEGAL_ARGUMENT"),
        ({"payment_type": "2"}, "ILLEGAL_ARGUMENT"),
        ({"forex_biz": "F"}, "ILLEGAL_ARGUMENT"),
        ({"product_code": "NEW_OVERSEAS_SELLER"}, "ILLEGAL_ARGUMENT"),
        ({"out_trade_no": "x" * 65}, "ILLEGAL_ARGUMENT"),
        ({"out_trade_no": "a-b"}, "ILLEGAL_ARGUMENT"),
        ({"subject": "x" * 257}, "ILLEGAL_ARGUMENT"),
        ({"body": "x" * 401}, "ILLEGAL_ARGUMENT"),
        ({"secondary_merchant_id": "x" * 65}, "ILLEGAL_ARGUMENT"),
        ({"secondary_merchant_name": "x" * 129}, "ILLEGAL_ARGUMENT"),
        ({"secondary_merchant_industry": "x" * 5}, "ILLEGAL_ARGUMENT"),
        ({"notify_url": "//m.example/"}, "ILLEGAL_ARGUMENT"),
        ({"return_url": "ftp://m.example/"}, "ILLEGAL_ARGUMENT"),
        ({"return_url": "x" * 201}, "ILLEGAL_ARGUMENT"),
        ({"currency": "USD"}, "ILLEGAL_CURRENCY"),
        ({"currency": "hkd"}, "ILLEGAL_CURRENCY"),
        ({"total_fee": "0.00"}, "TOTAL_FEE_LESSEQUAL_ZERO"),
        ({"total_fee": "1000000.01"}, "TOTAL_FEE_OUT_OF_RANGE"),
        ({"total_fee": "1.001"}, "ILLEGAL_ARGUMENT"),
        ({"rmb_fee": "1.00"}, "ILLEGAL_ARGUMENT"),
        ({"total_fee": "", "rmb_fee": "100000000.01"}, "TOTAL_FEE_OUT_OF_RANGE"),
        ({"it_b_pay": "0m"}, "ILLEGAL_ARGUMENT"),
        ({"it_b_pay": "1.5h"}, "ILLEGAL_ARGUMENT"),
        ({"it_b_pay": "16d"}, "ILLEGAL_ARGUMENT"),
        ({"it_b_pay": "2c"}, "ILLEGAL_ARGUMENT"),
        ({"payment_inst": "ALIPAY"}, "ILLEGAL_ARGUMENT"),
    ],
    ids=str,
)
def test_a_bad_member_is_refused(sandbox: Sandbox, online: Shop, change: dict[str, str], error: str) -> None:
    order = new_number()
    text = online.order_string(order, **change)
    assert refusal_of(sandbox, text) == f"the order string is refused: {error}"
    assert refusal_of(sandbox, json.dumps(online.pay_params(order, **change))).endswith(error)
    assert online.query_online(order).error == "TRADE_NOT_EXIST"


@pytest.mark.parametrize(
    "name",
    [
        *("service", "partner", "seller_id", "_input_charset", "notify_url", "out_trade_no", "subject"),
        *("total_fee", "currency", "payment_type", "forex_biz", "product_code"),
    ],
)
def test_a_missing_member_is_named(sandbox: Sandbox, online: Shop, name: str) -> None:
    fields = online.app_fields(new_number())
    del fields[name]
    assert refusal_of(sandbox, online.signed_string(fields)) == f"the order string is refused: {name} missing"
    empty = online.signed_string(fields | {name: ""})
    assert refusal_of(sandbox, empty) == f"the order string is refused: {name} missing"


@pytest.mark.parametrize("name", ["sign", "sign_type"])
def test_a_missing_signature_is_named(sandbox: Sandbox, online: Shop, name: str) -> None:
    members = online.pay_params(new_number())
    del members[name]
    assert refusal_of(sandbox, json.dumps(members)) == f"the order string is refused: {name} missing"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('partner="2088', 'no name="value" pair stands at character 1'),
        ('partner="1"&service="2"&', 'no name="value" pair stands at character 25'),
        ('partner="1" service="2"', 'no name="value" pair stands at character 12'),
        ('partner="1"&subject="a "b""', 'no name="value" pair stands at character 25'),
        ('partner="1"&partner="1"', "a name stands in it twice"),
        ('{"partner": "1", "partner": "1"}', "a name stands in it twice"),
        ('{"partner": "1"', 'it is neither JSON nor name="value" pairs'),
        ('{"partner": null}', "a member is neither text nor a number"),
        ('{"partner": {"service": "1"}}', "a member is neither text nor a number"),
        ('{"partner": "a\\"&b=\\"c"}', f"{MISSING} missing"),
    ],
)
def test_text_that_is_no_order_string_is_refused_with_the_place(
    sandbox: Sandbox, text: str, reason: str
) -> None:
    assert refusal_of(sandbox, text) == f"the order string is refused: {reason}"


def test_json_cannot_smuggle_in_control_characters(sandbox: Sandbox, online: Shop) -> None:
    text = json.dumps(online.pay_params(new_number(), subject="a\x01b"))
    assert refusal_of(sandbox, text) == "the order string is refused: ILLEGAL_ARGUMENT"


def test_other_json_is_not_taken_for_an_order(sandbox: Sandbox) -> None:
    text = json.dumps({"appid": "wx1", "partnerid": "1", "package": "Sign=WXPay"})
    with pytest.raises(ControlRefused, match="no wallet knows this url"):
        scan(sandbox, text)


def test_what_is_optional_may_be_left_out(sandbox: Sandbox, online: Shop) -> None:
    names = ("body", "it_b_pay", "return_url", *(f"secondary_merchant_{each}" for each in ("id", "name")))
    text = online.order_string(new_number(), **dict.fromkeys(names, ""), seller_id="till@shop.example")
    assert confirm(sandbox, url=text)["state"] == "TRADE_FINISHED"


def test_an_in_store_contract_has_no_app_payments(sandbox: Sandbox) -> None:
    text = shop(sandbox, "offline").order_string(new_number())
    assert "ILLEGAL_PARTNER_EXTERFACE" in refusal_of(sandbox, text)


def test_the_contract_s_currency_is_accepted(sandbox: Sandbox) -> None:
    in_jpy, order = shop(sandbox, "online", "in_jpy"), new_number()
    assert "ILLEGAL_CURRENCY" in refusal_of(sandbox, in_jpy.order_string(order))
    text = in_jpy.order_string(order, currency="JPY", total_fee="1200")
    assert scan(sandbox, text)["amount"] == 1200


def test_a_page_to_return_to_gets_the_signed_result(sandbox: Sandbox, online: Shop) -> None:
    text = online.order_string(new_number(), return_url="https://merchant.example/back?shop=7")
    address, _, query = confirm(sandbox, url=text)["return_to"].partition("?shop=7&")
    fields = form_of(query.encode())
    assert (address, fields["sign_type"]) == ("https://merchant.example/back", "RSA")
    assert online.is_signed(fields)


def test_the_same_number_with_other_content_is_refused(sandbox: Sandbox, online: Shop) -> None:
    order = new_number()
    first = scan(sandbox, online.order_string(order))
    assert scan(sandbox, online.order_string(order, notify_url="https://m.example/n")) == first
    changes = ({"total_fee": "120.01"}, {"subject": "Other"}, {"body": ""}, {"payment_inst": "ALIPAYHK"})
    for change in changes:
        refused = refusal_of(sandbox, online.order_string(order, **change))
        assert refused == "the order string is refused: TRADE_DATA_MATCH_ERROR"
    same = {name: online.app_fields(order)[name] for name in ("subject", "body", "total_fee")}
    with pytest.raises(ControlRefused, match="TRADE_DATA_MATCH_ERROR"):
        scan(sandbox, online.wap_link(order, **same))


@pytest.mark.parametrize(("it_b_pay", "lives_s"), [("", 12 * 3600), ("1m", 60), ("2h", 7200)])
def test_the_time_to_pay_counts_from_the_first_opening(
    sandbox: Sandbox, online: Shop, it_b_pay: str, lives_s: int
) -> None:
    order, late = new_number(), new_number()
    text = online.order_string(order, it_b_pay=it_b_pay)
    sandbox.advance(86_400)  # nobody has opened it yet
    scan(sandbox, text)
    scan(sandbox, online.order_string(late, it_b_pay=it_b_pay))
    sandbox.advance(lives_s - 10)
    assert confirm(sandbox, url=text)["state"] == "TRADE_FINISHED"
    sandbox.advance(11)
    assert "opened too long ago" in refusal_of(sandbox, online.order_string(late, it_b_pay=it_b_pay))
    with pytest.raises(ControlRefused):
        confirm(sandbox, trade=late)
    assert online.query_online(late).error == "TRADE_NOT_EXIST"


def test_1c_lasts_until_midnight(sandbox: Sandbox, online: Shop) -> None:
    move_to(sandbox, 20)
    early, late = (online.order_string(new_number(), it_b_pay="1c") for _ in range(2))
    scan(sandbox, late)
    move_to(sandbox, 23, 59)
    assert confirm(sandbox, url=early)["state"] == "TRADE_FINISHED"
    move_to(sandbox, 0)
    assert "opened too long ago" in refusal_of(sandbox, late)


def test_it_is_in_the_payer_s_history_and_in_the_merchant_s_file(
    own_sandbox: Sandbox,
) -> None:
    online, order = shop(own_sandbox, "online"), new_number()
    confirm(own_sandbox, url=online.order_string(order))
    assert order in Handset(own_sandbox).act("wrong_password", number="1")["history"]
    day = f"{online.now():%Y-%m-%d}"
    closed = own_sandbox.control("POST", "statements", {"wallet": "alipay", "day": day})
    days = {"start_date": day.replace("-", ""), "end_date": day.replace("-", "")}
    lines = online.open(online.link("forex_compare_file", days)).body.decode().splitlines()
    assert closed["rows"] == len(lines) == 1
    assert lines[0].startswith(f"{order}|120.00|HKD|")


def test_strict_counts_its_refunds_among_the_online_ones(own_sandbox: Sandbox) -> None:
    own_sandbox.control("PUT", "profile", {"profile": "strict"})
    online, order = shop(own_sandbox, "online"), new_number()
    confirm(own_sandbox, url=online.order_string(order))
    answers = [online.refund_online(order, new_number(), "1.00", product_code=SELLER).error for _ in range(2)]
    assert answers == [None, "REPEATED_REFUNDMENT_REQUEST_TO_ONE_TRADE"]


def test_the_phone_opens_it_and_pays(sandbox: Sandbox, online: Shop) -> None:
    def params(order: str) -> str:
        return json.dumps(online.pay_params(order, subject="奶茶　大"), ensure_ascii=False)

    for make in (online.order_string, params):
        phone, order = Handset(sandbox, "ada"), new_number()
        opened = phone.scan(make(order))
        assert (opened.status, order in opened["order"]) == (200, True)
        assert "Paid HKD 120.00" in phone.act("pay")["order-note"]
        with phone.events() as events:
            assert "TRADE_FINISHED" in events.next()["order"]
    refused = Handset(sandbox, "ada").scan(online.order_string(new_number(), currency="USD"))
    assert refused["link-note"] == "The order string is refused: ILLEGAL_CURRENCY."
    other = Handset(sandbox, "chen").scan(online.order_string(new_number()))
    assert other["link-note"].startswith("WeChat Pay does not know this.")
