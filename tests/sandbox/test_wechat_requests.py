"""The checks that all calls share, in their order: form, identity, signature."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import (
    NATIVE,
    SALE,
    Shop,
    as_xml,
    both_kinds,
    code,
    new_number,
    shop,
    signature,
)

PROFILES = ("demo", "sdk", "strict")
#: The required elements of each call, from the documents. Of names separated by a space, one is required.
NEEDED = {
    "/pay/unifiedorder": (
        *("body", "out_trade_no", "total_fee", "spbill_create_ip"),
        *("notify_url", "trade_type"),
    ),
    "/pay/micropay": ("body", "out_trade_no", "total_fee", "spbill_create_ip", "auth_code"),
    "/pay/orderquery": ("transaction_id out_trade_no",),
    "/pay/closeorder": ("out_trade_no",),
    "/secapi/pay/reverse": ("transaction_id out_trade_no",),
    "/secapi/pay/refund": (*("transaction_id out_trade_no", "out_refund_no", "total_fee", "refund_fee"),),
    "/pay/refundquery": ("refund_id out_refund_no transaction_id out_trade_no",),
    "/pay/settlementquery": ("usetag", "offset", "limit", "date_start", "date_end"),
    "/tools/authcodetoopenid": ("auth_code",),
    "/tools/shorturl": ("long_url",),
    "/pay/downloadbill": ("bill_date",),
    "/pay/queryexchagerate": ("fee_type", "date"),
    "/payitil/report": (
        *("interface_url", "user_ip", "return_code", "result_code"),
        "execute_time_ execute_time trades",
    ),
}
#: Complete requests of the calls that `valid_requests` does not have.
OTHERS = {
    "/pay/downloadbill": {"bill_date": "20261101"},
    "/pay/queryexchagerate": {"fee_type": "HKD", "date": "20261101"},
    "/payitil/report": {
        **{"interface_url": "https://x.example/", "execute_time_": "1", "user_ip": "127.0.0.1"},
        **{"return_code": "SUCCESS", "result_code": "SUCCESS"},
    },
}
IDENTITY = ("appid", "mch_id", "sub_mch_id", "nonce_str", "sign")
NOT_NEEDED = {
    "/payitil/report": {"appid"},
    "/pay/queryexchagerate": {"nonce_str", "sub_mch_id"},
    "/pay/downloadbill": {"sub_mch_id"},
}
BAD_SIGNATURE = "签名错误，请检查后再试"
UNBOUND = "商户号mch_id与appid不匹配"
CALLS = (
    "/pay/unifiedorder",
    "/pay/micropay",
    "/pay/orderquery",
    "/pay/closeorder",
    "/secapi/pay/reverse",
    "/secapi/pay/refund",
    "/pay/refundquery",
    "/pay/settlementquery",
    "/tools/authcodetoopenid",
    "/tools/shorturl",
)


@pytest.fixture(scope="module")
def demo(request: pytest.FixtureRequest, sandbox: Sandbox) -> Shop:
    return shop(sandbox, getattr(request, "param", "demo"))


@pytest.fixture(scope="module")
def valid_requests(sandbox: Sandbox, demo: Shop) -> dict[str, dict[str, Any]]:
    """The fields of a successful request for each call."""
    unpaid, to_reverse, paid, refund = new_number(), new_number(), new_number(), new_number("R")
    demo.order(out_trade_no=unpaid)
    for number in (to_reverse, paid):
        demo.scan_code(code(sandbox), out_trade_no=number)
    demo.refund(paid, 1, out_refund_no=refund)
    extra = {"attach": "店 & <b>", "device_info": "0", **demo.own_appid()}
    return {
        "/pay/unifiedorder": SALE | NATIVE | extra | {"out_trade_no": new_number()},
        "/pay/micropay": SALE | extra | {"out_trade_no": new_number(), "auth_code": code(sandbox)},
        "/pay/orderquery": {"out_trade_no": paid},
        "/pay/closeorder": {"out_trade_no": unpaid},
        "/secapi/pay/reverse": {"out_trade_no": to_reverse},
        "/secapi/pay/refund": {
            "out_trade_no": paid,
            "out_refund_no": new_number("R"),
            "total_fee": 8800,
            "refund_fee": 100,
            "refund_desc": "cold tea",
        },
        "/pay/refundquery": {"out_refund_no": refund},
        "/pay/settlementquery": {
            "usetag": 2,
            "offset": 0,
            "limit": 10,
            "date_start": "20261101",
            "date_end": "20261130",
        },
        "/tools/authcodetoopenid": {"auth_code": code(sandbox)},
        "/tools/shorturl": {"long_url": "weixin://wxpay/bizpayurl?pr=1234567"},
    }


@pytest.fixture(params=PROFILES)
def profile(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[str]:
    name: str = request.param
    sandbox.control("PUT", "profile", {"profile": name})
    yield name
    sandbox.control("PUT", "profile", {"profile": "demo"})


def altered(value: str) -> Iterator[str]:
    """Each character replaced with a neighbouring one, and some variants with one character more or less."""
    for place, character in enumerate(value):
        neighbour = chr(ord(character) ^ 1)
        yield value[:place] + neighbour + value[place + 1 :]
    yield value + "1"
    yield value + " "
    yield value[:-1]


@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
@pytest.mark.parametrize("path", CALLS)
def test_a_changed_byte_in_any_value_is_refused(
    demo: Shop, valid_requests: dict[str, dict[str, Any]], path: str, sign_type: str
) -> None:
    good = demo.signed(sign_type, **valid_requests[path])
    for name, value in good.items():
        for wrong in altered(value):
            answer = demo.send(path, as_xml({**good, name: wrong})).fields
            assert answer["return_code"] == "FAIL", (name, wrong)
            assert set(answer) == {"return_code", "return_msg"}
            if name not in ("appid", "mch_id", "sub_mch_id", "sub_appid") and len(wrong) == len(value):
                assert answer["return_msg"] in (BAD_SIGNATURE, f"{name}参数格式错误"), (name, wrong)
    for name in good:
        left_out = {key: value for key, value in good.items() if key != name}
        assert demo.send(path, as_xml(left_out))["return_code"] == "FAIL", name
    assert demo.send(path, as_xml({**good, "smuggled": "1"})).error == BAD_SIGNATURE


@both_kinds
@pytest.mark.parametrize("path", CALLS)
def test_the_very_same_requests_succeed_unchanged(
    demo: Shop, valid_requests: dict[str, dict[str, Any]], path: str
) -> None:
    assert demo.call(path, **valid_requests[path])["result_code"] == "SUCCESS"


@pytest.mark.parametrize("path", CALLS)
def test_only_a_post_with_a_body_is_read(demo: Shop, path: str) -> None:
    for method, body in (("GET", b""), ("POST", b""), ("PUT", b"<xml/>"), ("DELETE", b"")):
        answer = demo.send(path, body, method=method)
        assert (answer.status, answer.error) == (200, "post数据为空")


@pytest.mark.parametrize("path", CALLS)
def test_xml_that_is_not_flat_is_refused(demo: Shop, path: str) -> None:
    good = as_xml(demo.signed(out_trade_no="1"))
    bomb = b'<!DOCTYPE xml [<!ENTITY a "1">]>' + good.replace(b">1<", b">&a;<")
    nested = good.replace(b"<nonce_str>", b"<nonce_str><b>x</b>")
    for body in (b"{}", good[:-1], bomb, nested, b"\xff", b"<xml><a>" + b"x" * 300_000 + b"</a></xml>"):
        assert demo.send(path, body).error == "XML格式错误"


@pytest.mark.parametrize("path", CALLS)
def test_the_sender_is_checked_before_the_request(
    sandbox: Sandbox, demo: Shop, valid_requests: dict[str, dict[str, Any]], path: str
) -> None:
    """Each request is correctly signed with the caller's own key, so that only the identity is wrong."""
    other_provider, neighbour = shop(sandbox, "chain_east").account, shop(sandbox, "wechat_only").account
    cases: list[tuple[dict[str, Any], str]] = [
        ({"nonce_str": ""}, "缺少参数nonce_str"),
        ({"nonce_str": "n" * 33}, "nonce_str参数格式错误"),
        ({"sub_mch_id": ""}, "受理机构必须传入sub_mch_id"),
        ({"mch_id": "1900000000"}, UNBOUND),
        ({"appid": other_provider["appid"]}, UNBOUND),
        ({"sub_mch_id": other_provider["sub_mch_id"]}, UNBOUND),
        ({"sub_appid": neighbour["sub_appid"]}, UNBOUND),
        ({"sign_type": "RSA"}, BAD_SIGNATURE),
    ]
    for change, error in cases:
        request = demo.signed(**(valid_requests[path] | change))
        assert demo.send(path, as_xml(request)).error == error


@both_kinds
def test_the_key_of_another_provider_signs_nothing(sandbox: Sandbox, demo: Shop) -> None:
    request = {**demo.identity(), "nonce_str": secrets.token_hex(8), "out_trade_no": "1"}
    request["sign"] = signature(request, shop(sandbox, "chain_east").key, "MD5")
    assert demo.send("/pay/orderquery", as_xml(request)).error == BAD_SIGNATURE


@both_kinds
def test_the_algorithm_must_be_named(demo: Shop) -> None:
    request = {**demo.identity(), "nonce_str": "n", "out_trade_no": "1"}
    request["sign"] = signature(request, demo.key, "HMAC-SHA256")
    assert demo.send("/pay/orderquery", as_xml(request)).error == BAD_SIGNATURE


def test_empty_elements_count_as_absent(demo: Shop) -> None:
    request = {**demo.signed(out_trade_no=new_number()), "attach": "", "transaction_id": ""}
    assert demo.send("/pay/orderquery", as_xml(request)).error == "ORDERNOTEXIST"


def test_unknown_fields_are_signed_and_otherwise_ignored(demo: Shop) -> None:
    assert demo.order(op_user_id="1", NewThing="0")["result_code"] == "SUCCESS"


def test_a_reply_has_the_wallet_s_format(demo: Shop) -> None:
    lines = demo.order().body.decode().split("\n")
    assert (lines[0], lines[-1]) == ("<xml>", "</xml>")
    assert "<return_code><![CDATA[SUCCESS]]></return_code>" in lines


@pytest.mark.parametrize("path", NEEDED)
def test_an_element_that_is_missing_is_named(
    demo: Shop, valid_requests: dict[str, dict[str, Any]], path: str, profile: str
) -> None:
    good = demo.signed(**(valid_requests | OTHERS)[path])
    of_all = [name for name in IDENTITY if name not in NOT_NEEDED.get(path, ())]
    for names in (*of_all, *NEEDED[path]):
        for absent in ({}, dict.fromkeys(names.split(), "")):
            request = {name: value for name, value in good.items() if name not in names.split()} | absent
            request |= {"sign": signature(request, demo.key, "MD5")} if names != "sign" else {}
            answer = demo.send(path, as_xml(request)).fields
            assert answer["return_code"] == "FAIL"
            assert all(name in answer["return_msg"] for name in names.split()), (names, answer)


@pytest.mark.parametrize("root", ["root", "request", "queryRequest", "x-1", "ns:order"])
def test_the_root_may_have_any_name_unless_the_profile_is_strict(demo: Shop, profile: str, root: str) -> None:
    opening = f'<{root} xmlns:ns="urn:x">' if ":" in root else f"<{root}>"
    for path in NEEDED:
        request = as_xml(demo.signed(out_trade_no="1"))
        renamed = request.replace(b"<xml>", opening.encode()).replace(b"</xml>", f"</{root}>".encode())
        answer = demo.send(path, renamed).fields
        assert answer["return_code"] in ("SUCCESS", "FAIL")
        refused = ("XML格式错误", "data format error")
        assert (answer.get("return_msg") in refused) == (profile == "strict"), (path, answer)


def test_a_reply_s_root_is_xml_whatever_the_request_s_is(demo: Shop) -> None:
    request = as_xml(demo.signed(out_trade_no="1")).replace(b"xml>", b"request>")
    answer = demo.send("/pay/orderquery", request)
    assert answer.body.startswith(b"<xml>")
    assert answer.error == "ORDERNOTEXIST"


def test_a_native_order_may_lack_its_product_unless_the_profile_is_strict(
    sandbox: Sandbox, demo: Shop, profile: str
) -> None:
    for fields in ({"product_id": ""}, {"trade_type": "NATIVE"}):
        whole = SALE | NATIVE | {"out_trade_no": new_number(), **fields}
        if "product_id" not in fields:
            del whole["product_id"]
        made = demo.call("/pay/unifiedorder", **whole)
        if profile == "strict":
            assert made.error == "缺少参数product_id"
        else:
            assert sandbox.control("POST", "scan", {"url": made["code_url"]})["state"] == "NOTPAY"
