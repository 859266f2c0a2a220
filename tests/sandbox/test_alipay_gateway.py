"""The gateway: charset, merge of query and body, and every refusal before a service runs."""

import urllib.parse

import pytest

from tests.sandbox.alipay_shop import Shop, new_number, shop, text_of
from tests.sandbox.conftest import Sandbox

XML_TYPE = "text/xml;charset=UTF-8"


@pytest.fixture
def online(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "online")


@pytest.fixture
def offline(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "offline")


def test_a_query_gets_the_same_response_by_get_and_post(offline: Shop) -> None:
    request = offline.signed("alipay.acquire.overseas.query", {"partner_trans_id": new_number()})
    by_post = offline.post(request)
    by_get = offline.open(f"{offline.account['gateway_url']}?{urllib.parse.urlencode(request)}")
    in_query_of_post = offline.post({}, request)
    assert by_post.body == by_get.body == in_query_of_post.body
    assert by_post.content_type == XML_TYPE
    assert by_post["result_code"] == "FAIL"


def test_the_request_is_echoed_without_its_signature(offline: Shop) -> None:
    reply = offline.call("alipay.acquire.overseas.query", partner_trans_id="E1", remark="<a&b>'")
    echo = {param.get("name"): param.text for param in reply.tree.findall("request/param")}
    assert echo == {
        "service": "alipay.acquire.overseas.query",
        "partner": offline.pid,
        "_input_charset": "utf-8",
        "partner_trans_id": "E1",
        "remark": "<a&b>'",
    }


def test_the_body_takes_precedence_over_the_query(offline: Shop) -> None:
    request = offline.signed("alipay.acquire.overseas.query", {"partner_trans_id": new_number()})
    reply = offline.post(request, {"partner_trans_id": "other", "_input_charset": "utf-8"})
    assert reply.error is None


@pytest.mark.parametrize("sign_type", ["MD5", "RSA", "RSA2"])
@pytest.mark.parametrize("with_empties", [True, False])
def test_empty_values_may_be_signed_or_left_out(offline: Shop, sign_type: str, with_empties: bool) -> None:
    request = {
        "service": "alipay.acquire.overseas.query",
        "partner": offline.pid,
        "_input_charset": "utf-8",
        "partner_trans_id": new_number(),
        "alipay_trans_id": "",
    }
    sign = offline.sign(text_of(request, with_empties=with_empties), sign_type)
    reply = offline.post({**request, "sign": sign, "sign_type": sign_type})
    assert reply.error is None
    assert reply["error"] == "TRADE_NOT_EXIST"
    assert reply.tree.findtext("sign_type") == sign_type


@pytest.mark.parametrize(
    ("charset", "codec"), [("GBK", "gbk"), ("gb2312", "gbk"), ("UTF-8", "utf-8"), ("utf-8", "utf-8")]
)
def test_chinese_is_read_in_the_named_charset(online: Shop, charset: str, codec: str) -> None:
    order = new_number()
    fields = {
        "service": "create_forex_trade",
        "partner": online.pid,
        "_input_charset": charset,
        **online.online_fields(order),
        "subject": "测试 a+b&c=d",
    }
    fields |= {"sign": online.sign(text_of(fields), "MD5", codec), "sign_type": "MD5"}
    body = urllib.parse.urlencode(fields, encoding=codec).encode()
    page = online.open(str(online.account["gateway_url"]), body).body.decode()
    assert "测试 a+b&amp;c=d" in page


def test_without_a_named_charset_the_body_is_gbk(offline: Shop) -> None:
    request = {
        "service": "alipay.acquire.overseas.query",
        "partner": offline.pid,
        "partner_trans_id": "测试",
    }
    request |= {"sign": offline.sign(text_of(request), "MD5", "gbk"), "sign_type": "MD5"}
    body = urllib.parse.urlencode(request, encoding="gbk").encode()
    assert offline.open(str(offline.account["gateway_url"]), body).error == "INVALID_PARAMETER"
    body = urllib.parse.urlencode(request, encoding="utf-8").encode()
    assert offline.open(str(offline.account["gateway_url"]), body).error == "ILLEGAL_SIGN"


def test_an_unknown_charset_is_refused(offline: Shop) -> None:
    request = offline.signed("alipay.acquire.overseas.query", {"partner_trans_id": "X"})
    assert offline.post({**request, "_input_charset": "utf-7"}).error == "ILLEGAL_CHARSET"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"service": ""}, "ILLEGAL_SERVICE"),
        ({"service": "alipay.acquire.overseas.spot.reverse"}, "ILLEGAL_SERVICE"),
        ({"partner": ""}, "ILLEGAL_PARTNER"),
        ({"partner": "2088000000000000"}, "ILLEGAL_PARTNER"),
        ({"service": "forex_refund"}, "ILLEGAL_PARTNER_EXTERFACE"),
        ({"sign_type": "md5"}, "ILLEGAL_SIGN_TYPE"),
        ({"sign_type": ""}, "ILLEGAL_SIGN_TYPE"),
        ({"sign_type": "RSA2"}, "ILLEGAL_SIGN"),
        ({"sign": ""}, "ILLEGAL_SIGN"),
        ({"sign": "ä" * 32}, "ILLEGAL_SIGN"),
        ({"partner_trans_id": "\x01"}, "ILLEGAL_SIGN"),
    ],
)
def test_a_request_is_refused_before_any_service_runs(
    offline: Shop, change: dict[str, str], error: str
) -> None:
    request = offline.signed("alipay.acquire.overseas.query", {"partner_trans_id": "X"})
    reply = offline.post(request | change)
    assert reply.error == error
    assert reply.content_type == XML_TYPE


def test_control_characters_are_refused(offline: Shop) -> None:
    reply = offline.call("alipay.acquire.overseas.query", partner_trans_id="X\x01")
    assert reply.error == "ILLEGAL_ARGUMENT"


def test_nonsense_is_refused(offline: Shop) -> None:
    assert offline.open(str(offline.account["gateway_url"]), b"\xff\x00=%zz&&&=").error == "ILLEGAL_SERVICE"
    many = "&".join(f"a{number}=1" for number in range(1000)).encode()
    assert offline.open(str(offline.account["gateway_url"]), many).error == "ILLEGAL_ARGUMENT"


ONLINE_SERVICES = {
    "single_trade_query": {"out_trade_no": "F1"},
    "close_trade": {"out_order_no": "F1"},
    "forex_refund": {
        "out_return_no": "R1",
        "out_trade_no": "F1",
        "return_amount": "1.00",
        "currency": "HKD",
        "gmt_return": "20260102030405",
        "product_code": "NEW_OVERSEAS_SELLER",
    },
    "alipay.acquire.refund.query": {"out_trade_no": "F1", "out_return_no": "R1"},
    "forex_compare_file": {"start_date": "20261101", "end_date": "20261102"},
    "forex_liquidation_file": {"start_date": "20261101", "end_date": "20261102"},
    "forex_rate_file": {},
}


def _calls(online: Shop, offline: Shop) -> list[tuple[Shop, str, dict[str, str]]]:
    spot = offline.spot_fields("280000000000000000", "F1")
    in_store = {
        "alipay.acquire.overseas.spot.pay": spot,
        "alipay.acquire.overseas.query": {"partner_trans_id": "F1"},
        "alipay.acquire.precreate": offline.precreate_fields("F2"),
        "alipay.acquire.cancel": {"out_trade_no": "F1", "timestamp": "1767294245000"},
        "alipay.acquire.overseas.spot.refund": {
            "partner_trans_id": "F1",
            "partner_refund_id": "R1",
            "refund_amount": "1.00",
            "currency": "HKD",
        },
    }
    calls = [(offline, service, fields) for service, fields in in_store.items()]
    return calls + [(online, service, fields) for service, fields in ONLINE_SERVICES.items()]


@pytest.mark.parametrize("sign_type", ["MD5", "RSA", "RSA2"])
def test_one_changed_byte_in_any_value_of_any_service_is_refused(
    online: Shop, offline: Shop, sign_type: str
) -> None:
    for caller, service, fields in _calls(online, offline):
        request = caller.signed(service, fields, sign_type)
        assert b"ILLEGAL_SIGN" not in caller.post(request).body
        for name in set(request) - {"service", "partner", "sign_type", "_input_charset"}:
            flipped = chr(ord(request[name][0]) ^ 1) + request[name][1:]
            assert caller.post({**request, name: flipped}).error == "ILLEGAL_SIGN", (service, name)
        assert caller.post({**request, "_input_charset": "UTF-8"}).error == "ILLEGAL_SIGN"
        assert caller.post({**request, "added": "1"}).error == "ILLEGAL_SIGN"
        assert caller.post({**request, "sign": request["sign"][:-1]}).error == "ILLEGAL_SIGN"


@pytest.mark.parametrize("service", ["create_forex_trade", "create_forex_trade_wap"])
def test_one_changed_byte_in_a_link_is_an_error_page(online: Shop, service: str) -> None:
    is_wap = service.endswith("wap")
    request = online.signed(service, online.online_fields(new_number(), is_wap=is_wap))
    for name in set(request) - {"service", "partner", "sign_type", "_input_charset"}:
        flipped = chr(ord(request[name][0]) ^ 1) + request[name][1:]
        page = online.post({**request, name: flipped})
        assert page.content_type.startswith("text/html")
        assert b"ILLEGAL_SIGN" in page.body
    assert b"Pay as" in online.post(request).body


def test_another_merchants_signature_is_refused(sandbox: Sandbox, offline: Shop) -> None:
    other = shop(sandbox, "offline", "chain_west")
    request = other.signed("alipay.acquire.overseas.query", {"partner_trans_id": "X"})
    assert offline.post({**request, "partner": offline.pid}).error == "ILLEGAL_SIGN"


@pytest.mark.parametrize("label", ["demo", "chain_east", "chain_west"])
def test_every_shop_signs_in_its_own_way(sandbox: Sandbox, label: str) -> None:
    for scene in ("online", "offline"):
        one = shop(sandbox, scene, label)
        reply = one.call("alipay.acquire.refund.query", out_trade_no="Z", out_return_no="Y")
        assert reply["response_code"] == "TRADE_NOT_EXIST"
        assert reply.tree.findtext("sign_type") == one.account["sign_type"]
