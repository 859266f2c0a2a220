"""The small calls: exchange rate, a barcode's owner, short links and reports."""

from typing import Any

import pytest

from tests.sandbox.conftest import ControlRefused, Sandbox
from tests.sandbox.days import compact, move_to
from tests.sandbox.wechat_shop import Shop, as_xml, code, confirm, fresh, from_xml, openid, shop, signature

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
def demo(sandbox: Sandbox) -> Shop:
    return shop(sandbox)


def ask(caller: Shop, path: str, without: str = "", **fields: str) -> dict[str, str]:
    asked = {**caller.identity(), "nonce_str": "n0nce", **fields}
    asked = {name: value for name, value in asked.items() if name not in without.split()}
    return caller.send(path, as_xml({**asked, "sign": signature(asked, caller.key, "MD5")})).fields


def test_a_rate_is_told_without_result_code_and_nonce(sandbox: Sandbox, demo: Shop) -> None:
    today = move_to(sandbox, 10)
    said = ask(demo, RATE, "nonce_str", fee_type="HKD", date=compact(today))
    assert said.pop("sign") == signature(said, demo.key, "MD5")
    assert said == {
        **{"return_code": "SUCCESS", "return_msg": "OK"},
        **demo.identity(),
        **{"fee_type": "HKD", "rate_time": compact(today) + "100000", "rate": "91230000"},
    }
    of_provider = ask(demo, RATE, "nonce_str sub_mch_id", fee_type="USD", date=compact(today, -30))
    assert (of_provider["rate"], of_provider["rate_time"]) == ("710340000", compact(today, -30) + "100000")
    assert "sub_mch_id" not in of_provider


def test_a_rate_changes_at_ten(sandbox: Sandbox, demo: Shop) -> None:
    today = move_to(sandbox, 9, 59)
    told = ask(demo, RATE, fee_type="CNY", date=compact(today))
    assert (told["rate"], told["rate_time"]) == ("100000000", compact(today, -1) + "100000")


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
def test_a_wrong_question_about_rates_is_refused(demo: Shop, change: dict[str, str], text: str) -> None:
    said = ask(demo, RATE, **({"fee_type": "HKD", "date": "20261101"} | change))
    assert said == {"return_code": "FAIL", "return_msg": text}


def test_a_code_tells_its_owner_and_can_still_be_charged(sandbox: Sandbox, demo: Shop) -> None:
    auth_code, sub_appid = code(sandbox, payer="dora"), demo.account["sub_appid"]
    said = demo.call(OWNER, auth_code=auth_code, sub_appid=sub_appid)
    assert said["result_code"] == "SUCCESS"
    assert said["openid"] == openid(sandbox, "dora", demo.account["appid"])
    assert said["sub_openid"] == openid(sandbox, "dora", sub_appid)
    assert "sub_openid" not in demo.call(OWNER, auth_code=auth_code).fields
    assert demo.scan_code(auth_code)["openid"] == said["openid"]


def test_only_the_shop_that_asked_first_may_charge_the_code(sandbox: Sandbox, demo: Shop) -> None:
    auth_code, neighbour = code(sandbox), shop(sandbox, "wechat_only")
    demo.call(OWNER, auth_code=auth_code)
    assert neighbour.scan_code(auth_code).error == "AUTH_CODE_INVALID"
    assert neighbour.call(OWNER, auth_code=auth_code).error == "AUTH_CODE_INVALID"
    assert demo.scan_code(auth_code)["result_code"] == "SUCCESS"


def test_a_code_that_is_none_has_no_owner(sandbox: Sandbox, demo: Shop) -> None:
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


def test_a_short_link_leads_where_the_long_one_does(sandbox: Sandbox, demo: Shop) -> None:
    order = fresh()
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


def test_a_long_link_may_be_sent_encoded_and_signed_as_it_is(demo: Shop) -> None:
    long_url = "weixin://wxpay/bizpayurl?appid=wx1&mch_id=1&product_id=a%20b&time_stamp=1&nonce_str=2&sign=3"
    asked = demo.signed(long_url=long_url)
    encoded = {**asked, "long_url": long_url.replace("%", "%25").replace("&", "%26").replace("?", "%3F")}
    said = [from_xml(demo.send(SHORT, as_xml(fields)).body) for fields in (asked, encoded)]
    assert said[0]["short_url"] == said[1]["short_url"]
    other = {**asked, "long_url": encoded["long_url"] + "4"}
    assert demo.send(SHORT, as_xml(other)).error == "签名错误，请检查后再试"


@pytest.mark.parametrize("long_url", ["https://shop.example/", "weixin://pay", "weixin%3A%2F%2Fpay"])
def test_only_links_of_the_wallet_are_shortened(demo: Shop, long_url: str) -> None:
    assert demo.call(SHORT, long_url=long_url).error == "URLFORMATERROR"


def test_a_report_is_taken_in_each_spelling_and_answered_unsigned(demo: Shop) -> None:
    thanks = {"return_code": "SUCCESS", "return_msg": "OK", "result_code": "SUCCESS"}
    of_many = {"trades": '[{"out_trade_no": "1", "state": "OK"}]'}
    one = {name: value for name, value in REPORTED.items() if name != "execute_time_"}
    assert ask(demo, REPORT, **REPORTED) == thanks
    assert ask(demo, REPORT, "appid", **one, execute_time="7") == thanks
    assert ask(demo, REPORT, "execute_time_ return_code result_code", **(REPORTED | of_many)) == thanks


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
    assert ask(demo, REPORT, **(REPORTED | change)) == {"return_code": "FAIL", "return_msg": text}
