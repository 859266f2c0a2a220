"""The auxiliary calls: exchange rate, a barcode's owner, short links and reports."""

from typing import Any

import pytest

from tests.sandbox.conftest import ControlRefused, Sandbox
from tests.sandbox.days import compact, move_to
from tests.sandbox.wechat_shop import (
    Shop,
    as_xml,
    both_kinds,
    code,
    confirm,
    from_xml,
    new_number,
    openid,
    shop,
    signature,
)

RATE, REPORT = "/pay/queryexchagerate", "/payitil/report"
OWNER, SHORT = "/tools/authcodetoopenid", "/tools/shorturl"
REPORTED = {
    "interface_url": "https://api.mch.weixin.qq.com/pay/micropay/total",
    "execute_time_": "1500",
    "return_code": "SUCCESS",
    "result_code": "SUCCESS",
    "user_ip": "127.0.0.1",
}


@pytest.fixture
def demo(request: pytest.FixtureRequest, sandbox: Sandbox) -> Shop:
    return shop(sandbox, getattr(request, "param", "demo"))


def call(caller: Shop, path: str, without: str = "", **fields: str) -> dict[str, str]:
    request = {**caller.identity(), "nonce_str": "n0nce", **fields}
    request = {name: value for name, value in request.items() if name not in without.split()}
    return caller.send(path, as_xml({**request, "sign": signature(request, caller.key, "MD5")})).fields


def test_a_rate_comes_without_result_code_and_nonce(sandbox: Sandbox, demo: Shop) -> None:
    today = move_to(sandbox, 10)
    reply = call(demo, RATE, "nonce_str", fee_type="HKD", date=compact(today))
    assert reply.pop("sign") == signature(reply, demo.key, "MD5")
    assert reply == {
        **{"return_code": "SUCCESS", "return_msg": "OK"},
        **demo.identity(),
        **{"fee_type": "HKD", "rate_time": compact(today) + "100000", "rate": "91230000"},
    }
    of_provider = call(demo, RATE, "nonce_str sub_mch_id", fee_type="USD", date=compact(today, -30))
    assert (of_provider["rate"], of_provider["rate_time"]) == ("710340000", compact(today, -30) + "100000")
    assert "sub_mch_id" not in of_provider


def test_a_rate_changes_at_ten(sandbox: Sandbox, demo: Shop) -> None:
    today = move_to(sandbox, 9, 59)
    reply = call(demo, RATE, fee_type="CNY", date=compact(today))
    assert (reply["rate"], reply["rate_time"]) == ("100000000", compact(today, -1) + "100000")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"fee_type": ""}, "缺少参数fee_type"),
        ({"fee_type": "XXX"}, "fee_type参数格式错误"),
        ({"date": "2026112"}, "date参数格式错误"),
        ({"date": "20260230"}, "date参数格式错误"),
        ({"date": "21991231"}, "date参数格式错误"),
        ({"mch_id": "1"}, "商户号mch_id与appid不匹配"),
        ({"sign_type": "RSA"}, "签名错误，请检查后再试"),
    ],
    ids=str,
)
def test_an_invalid_query_of_rates_is_refused(demo: Shop, change: dict[str, str], text: str) -> None:
    reply = call(demo, RATE, **({"fee_type": "HKD", "date": "20261101"} | change))
    assert reply == {"return_code": "FAIL", "return_msg": text}


def test_a_code_resolves_to_its_owner_and_can_still_be_charged(sandbox: Sandbox, demo: Shop) -> None:
    auth_code, sub_appid = code(sandbox, payer="dora"), demo.account["sub_appid"]
    reply = demo.call(OWNER, auth_code=auth_code, sub_appid=sub_appid)
    assert reply["result_code"] == "SUCCESS"
    assert reply["openid"] == openid(sandbox, "dora", demo.account["appid"])
    assert reply["sub_openid"] == openid(sandbox, "dora", sub_appid)
    assert "sub_openid" not in demo.call(OWNER, auth_code=auth_code).fields
    assert demo.scan_code(auth_code)["openid"] == reply["openid"]


@both_kinds
def test_only_the_shop_that_resolved_the_code_first_can_charge_it(sandbox: Sandbox, demo: Shop) -> None:
    auth_code, neighbour = code(sandbox), shop(sandbox, "wechat_only")
    demo.call(OWNER, auth_code=auth_code)
    assert neighbour.scan_code(auth_code).error == "AUTH_CODE_INVALID"
    assert neighbour.call(OWNER, auth_code=auth_code).error == "AUTH_CODE_INVALID"
    assert demo.scan_code(auth_code)["result_code"] == "SUCCESS"


def test_an_invalid_code_has_no_owner(sandbox: Sandbox, demo: Shop) -> None:
    spent = code(sandbox)
    demo.scan_code(spent)
    for auth_code, error in (
        (spent, "AUTH_CODE_ERROR"),
        (code(sandbox, "expired"), "AUTHCODEEXPIRE"),
        (code(sandbox, wallet="alipay"), "AUTH_CODE_INVALID"),
        ("13" + "0" * 16, "AUTH_CODE_INVALID"),
        ("x", "AUTH_CODE_INVALID"),
    ):
        assert demo.call(OWNER, auth_code=auth_code).error == error


@both_kinds
def test_a_short_link_leads_to_the_same_order_as_the_long_one(sandbox: Sandbox, demo: Shop) -> None:
    order = new_number()
    long_url = demo.order(out_trade_no=order)["code_url"]
    short_url = demo.call(SHORT, long_url=long_url)["short_url"]
    assert short_url.startswith("weixin://wxpay/s/")
    assert len(short_url) < 64
    assert demo.call(SHORT, long_url=long_url)["short_url"] == short_url
    assert sandbox.control("POST", "scan", {"url": short_url})["order"] == order
    assert confirm(sandbox, "pay", url=short_url)["state"] == "SUCCESS"
    with pytest.raises(ControlRefused) as refused:
        sandbox.control("POST", "scan", {"url": "weixin://wxpay/s/nothing"})
    assert refused.value.field == "url"


def test_a_long_link_may_be_sent_encoded_and_signed_unencoded(demo: Shop) -> None:
    long_url = "weixin://wxpay/bizpayurl?appid=wx1&mch_id=1&product_id=a%20b&time_stamp=1&nonce_str=2&sign=3"
    request = demo.signed(long_url=long_url)
    encoded = {**request, "long_url": long_url.replace("%", "%25").replace("&", "%26").replace("?", "%3F")}
    reply = [from_xml(demo.send(SHORT, as_xml(fields)).body) for fields in (request, encoded)]
    assert reply[0]["short_url"] == reply[1]["short_url"]
    other = {**request, "long_url": encoded["long_url"] + "4"}
    assert demo.send(SHORT, as_xml(other)).error == "签名错误，请检查后再试"


@pytest.mark.parametrize("long_url", ["https://shop.example/", "weixin://pay", "weixin%3A%2F%2Fpay"])
def test_only_links_of_the_wallet_are_shortened(demo: Shop, long_url: str) -> None:
    assert demo.call(SHORT, long_url=long_url).error == "URLFORMATERROR"


@both_kinds
def test_a_report_is_accepted_in_each_spelling_and_the_reply_is_unsigned(demo: Shop) -> None:
    thanks = {"return_code": "SUCCESS", "return_msg": "OK", "result_code": "SUCCESS"}
    of_many = {"trades": '[{"out_trade_no": "1", "state": "OK"}]'}
    one = {name: value for name, value in REPORTED.items() if name != "execute_time_"}
    assert call(demo, REPORT, **REPORTED) == thanks
    assert call(demo, REPORT, "appid", **one, execute_time="7") == thanks
    assert call(demo, REPORT, "execute_time_ return_code result_code", **(REPORTED | of_many)) == thanks


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"execute_time_": ""}, "缺少参数execute_time_或execute_time或trades"),
        ({"result_code": ""}, "缺少参数result_code"),
        ({"user_ip": ""}, "缺少参数user_ip"),
        ({"sub_mch_id": ""}, "受理机构必须传入sub_mch_id"),
        ({"trades": "{}"}, "trades参数格式错误"),
        ({"trades": "["}, "trades参数格式错误"),
        ({"execute_time_": "-1"}, "execute_time_参数格式错误"),
        ({"appid": "wx1"}, "商户号mch_id与appid不匹配"),
        ({"sign_type": "RSA"}, "签名错误，请检查后再试"),
    ],
    ids=str,
)
def test_a_wrong_report_is_refused(demo: Shop, change: dict[str, Any], text: str) -> None:
    assert call(demo, REPORT, **(REPORTED | change)) == {"return_code": "FAIL", "return_msg": text}
