"""The checks that are the same for every call, in their order: form, identity, signature."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.wechat_shop import NATIVE, SALE, Shop, as_xml, code, fresh, shop, signature

PROFILES = ("demo", "sdk", "strict")
#: What each call cannot do without, by the documents; of names with a blank between them any one will do.
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
#: Requests that lack nothing, of the calls that `asks` has none for.
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
def demo(sandbox: Sandbox) -> Shop:
    return shop(sandbox)


@pytest.fixture(scope="module")
def asks(sandbox: Sandbox, demo: Shop) -> dict[str, dict[str, Any]]:
    """For each call the fields of a request that succeeds."""
    unpaid, to_reverse, paid, refund = fresh(), fresh(), fresh(), fresh("R")
    demo.order(out_trade_no=unpaid)
    for number in (to_reverse, paid):
        demo.scan_code(code(sandbox), out_trade_no=number)
    demo.refund(paid, 1, out_refund_no=refund)
    extra = {"attach": "店 & <b>", "device_info": "0", "sub_appid": demo.account["sub_appid"]}
    return {
        "/pay/unifiedorder": SALE | NATIVE | extra | {"out_trade_no": fresh()},
        "/pay/micropay": SALE | extra | {"out_trade_no": fresh(), "auth_code": code(sandbox)},
        "/pay/orderquery": {"out_trade_no": paid},
        "/pay/closeorder": {"out_trade_no": unpaid},
        "/secapi/pay/reverse": {"out_trade_no": to_reverse},
        "/secapi/pay/refund": {
            "out_trade_no": paid,
            "out_refund_no": fresh("R"),
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


def twisted(value: str) -> Iterator[str]:
    """Every way to replace one character by a neighbour of its kind, and some to add or lose one."""
    for place, character in enumerate(value):
        neighbour = chr(ord(character) ^ 1)
        yield value[:place] + neighbour + value[place + 1 :]
    yield value + "1"
    yield value + " "
    yield value[:-1]


@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
@pytest.mark.parametrize("path", CALLS)
def test_a_changed_byte_in_any_value_is_refused(
    demo: Shop, asks: dict[str, dict[str, Any]], path: str, sign_type: str
) -> None:
    good = demo.signed(sign_type, **asks[path])
    for name, value in good.items():
        for wrong in twisted(value):
            answer = demo.send(path, as_xml({**good, name: wrong})).fields
            assert answer["return_code"] == "FAIL", (name, wrong)
            assert set(answer) == {"return_code", "return_msg"}
            if name not in ("appid", "mch_id", "sub_mch_id", "sub_appid") and len(wrong) == len(value):
                assert answer["return_msg"] in (BAD_SIGNATURE, f"{name}参数格式错误"), (name, wrong)
    for name in good:
        left_out = {key: value for key, value in good.items() if key != name}
        assert demo.send(path, as_xml(left_out))["return_code"] == "FAIL", name
    assert demo.send(path, as_xml({**good, "smuggled": "1"})).error == BAD_SIGNATURE


@pytest.mark.parametrize("path", CALLS)
def test_the_very_same_requests_succeed_unchanged(
    demo: Shop, asks: dict[str, dict[str, Any]], path: str
) -> None:
    assert demo.call(path, **asks[path])["result_code"] == "SUCCESS"


@pytest.mark.parametrize("path", CALLS)
def test_only_a_post_with_a_body_is_read(demo: Shop, path: str) -> None:
    for method, body in (("GET", b""), ("POST", b""), ("PUT", b"<xml/>"), ("DELETE", b"")):
        answer = demo.send(path, body, method=method)
        assert (answer.status, answer.error) == (200, "post数据为空")


@pytest.mark.parametrize("path", CALLS)
def test_what_is_not_flat_xml_is_refused(demo: Shop, path: str) -> None:
    good = as_xml(demo.signed(out_trade_no="1"))
    bomb = b'<!DOCTYPE xml [<!ENTITY a "1">]>' + good.replace(b">1<", b">&a;<")
    nested = good.replace(b"<nonce_str>", b"<nonce_str><b>x</b>")
    for body in (b"{}", good[:-1], bomb, nested, b"\xff", b"<xml><a>" + b"x" * 300_000 + b"</a></xml>"):
        assert demo.send(path, body).error == "XML格式错误"


@pytest.mark.parametrize("path", CALLS)
def test_who_asks_is_checked_before_what_is_asked(
    sandbox: Sandbox, demo: Shop, asks: dict[str, dict[str, Any]], path: str
) -> None:
    """Each identity is signed rightly by the caller's own key, so that nothing else is wrong."""
    stranger, neighbour = shop(sandbox, "chain_east").account, shop(sandbox, "wechat_only").account
    cases: list[tuple[dict[str, Any], str]] = [
        ({"nonce_str": ""}, "缺少参数nonce_str"),
        ({"nonce_str": "n" * 33}, "nonce_str参数格式错误"),
        ({"sub_mch_id": ""}, "受理机构必须传入sub_mch_id"),
        ({"mch_id": "1900000000"}, UNBOUND),
        ({"appid": stranger["appid"]}, UNBOUND),
        ({"sub_mch_id": stranger["sub_mch_id"]}, UNBOUND),
        ({"sub_appid": neighbour["sub_appid"]}, UNBOUND),
        ({"sign_type": "RSA"}, BAD_SIGNATURE),
    ]
    for change, error in cases:
        ask = demo.signed(**(asks[path] | change))
        assert demo.send(path, as_xml(ask)).error == error


def test_the_key_of_another_provider_signs_nothing(sandbox: Sandbox, demo: Shop) -> None:
    ask = {**demo.identity(), "nonce_str": secrets.token_hex(8), "out_trade_no": "1"}
    ask["sign"] = signature(ask, shop(sandbox, "chain_east").key, "MD5")
    assert demo.send("/pay/orderquery", as_xml(ask)).error == BAD_SIGNATURE


def test_the_algorithm_must_be_named(demo: Shop) -> None:
    ask = {**demo.identity(), "nonce_str": "n", "out_trade_no": "1"}
    ask["sign"] = signature(ask, demo.key, "HMAC-SHA256")
    assert demo.send("/pay/orderquery", as_xml(ask)).error == BAD_SIGNATURE


def test_empty_elements_count_as_absent(demo: Shop) -> None:
    ask = {**demo.signed(out_trade_no=fresh()), "attach": "", "transaction_id": ""}
    assert demo.send("/pay/orderquery", as_xml(ask)).error == "ORDERNOTEXIST"


def test_unknown_fields_are_signed_and_otherwise_ignored(demo: Shop) -> None:
    assert demo.order(op_user_id="1", NewThing="0")["result_code"] == "SUCCESS"


def test_a_reply_is_written_as_the_wallet_writes_it(demo: Shop) -> None:
    lines = demo.order().body.decode().split("\n")
    assert (lines[0], lines[-1]) == ("<xml>", "</xml>")
    assert "<return_code><![CDATA[SUCCESS]]></return_code>" in lines


@pytest.mark.parametrize("path", NEEDED)
def test_an_element_that_is_missing_is_named(
    demo: Shop, asks: dict[str, dict[str, Any]], path: str, profile: str
) -> None:
    good = demo.signed(**(asks | OTHERS)[path])
    of_all = [name for name in IDENTITY if name not in NOT_NEEDED.get(path, ())]
    for names in (*of_all, *NEEDED[path]):
        for absent in ({}, dict.fromkeys(names.split(), "")):
            ask = {name: value for name, value in good.items() if name not in names.split()} | absent
            ask |= {"sign": signature(ask, demo.key, "MD5")} if names != "sign" else {}
            answer = demo.send(path, as_xml(ask)).fields
            assert answer["return_code"] == "FAIL"
            assert all(name in answer["return_msg"] for name in names.split()), (names, answer)


@pytest.mark.parametrize("root", ["root", "request", "queryRequest", "x-1", "ns:order"])
def test_the_root_may_have_any_name_unless_the_profile_is_strict(demo: Shop, profile: str, root: str) -> None:
    opening = f'<{root} xmlns:ns="urn:x">' if ":" in root else f"<{root}>"
    for path in NEEDED:
        ask = as_xml(demo.signed(out_trade_no="1"))
        renamed = ask.replace(b"<xml>", opening.encode()).replace(b"</xml>", f"</{root}>".encode())
        answer = demo.send(path, renamed).fields
        assert answer["return_code"] in ("SUCCESS", "FAIL")
        refused = ("XML格式错误", "data format error")
        assert (answer.get("return_msg") in refused) == (profile == "strict"), (path, answer)


def test_an_answer_s_root_is_xml_whatever_the_request_s_is(demo: Shop) -> None:
    ask = as_xml(demo.signed(out_trade_no="1")).replace(b"xml>", b"request>")
    answer = demo.send("/pay/orderquery", ask)
    assert answer.body.startswith(b"<xml>")
    assert answer.error == "ORDERNOTEXIST"


def test_a_native_order_may_lack_its_product_unless_the_profile_is_strict(
    sandbox: Sandbox, demo: Shop, profile: str
) -> None:
    for fields in ({"product_id": ""}, {"trade_type": "NATIVE"}):
        whole = SALE | NATIVE | {"out_trade_no": fresh(), **fields}
        if "product_id" not in fields:
            del whole["product_id"]
        made = demo.call("/pay/unifiedorder", **whole)
        if profile == "strict":
            assert made.error == "缺少参数product_id"
        else:
            assert sandbox.control("POST", "scan", {"url": made["code_url"]})["state"] == "NOTPAY"
