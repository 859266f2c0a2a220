"""A direct merchant of WeChat Pay, without a service provider: its numbers, its appids, and what it does not have.

Whatever it has in common with a sub-merchant is tested for both in the other files.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.days import compact, move_to
from tests.sandbox.test_faults import put
from tests.sandbox.test_wechat_bills import ALL_HEADER, CHINESE_HEADER, download, lines_of, refused, table
from tests.sandbox.test_wechat_oauth import authorize
from tests.sandbox.test_wechat_tools import OWNER, RATE, REPORT, REPORTED, call
from tests.sandbox.test_wechat_vendor_sandbox import in_vendor_sandbox
from tests.sandbox.wechat_shop import Shop, as_xml, code, confirm, new_number, openid, shop, signature

UNBOUND = "商户号mch_id与appid不匹配"
OWN_APPIDS = ("appid", "mini_appid", "app_appid")
#: The least that each call needs to pass the checks of form and identity.
REQUESTS: dict[str, dict[str, Any]] = {
    "/pay/orderquery": {"out_trade_no": "1"},
    "/pay/closeorder": {"out_trade_no": "1"},
    "/secapi/pay/reverse": {"out_trade_no": "1"},
    "/secapi/pay/refund": {"out_trade_no": "1", "out_refund_no": "1", "total_fee": 1, "refund_fee": 1},
    "/pay/refundquery": {"out_trade_no": "1"},
    "/pay/settlementquery": {
        **{"usetag": 2, "offset": 0, "limit": 1, "date_start": "20261101", "date_end": "20261101"},
    },
    "/tools/shorturl": {"long_url": "weixin://wxpay/bizpayurl?pr=1234567"},
    "/tools/authcodetoopenid": {"auth_code": "1"},
}


@pytest.fixture
def direct(sandbox: Sandbox) -> Shop:
    return shop(sandbox, "direct")


@pytest.fixture
def strict(sandbox: Sandbox) -> Iterator[None]:
    sandbox.control("PUT", "profile", {"profile": "strict"})
    yield
    sandbox.control("PUT", "profile", {"profile": "demo"})


# ---- the numbers of a request ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", REQUESTS)
def test_a_direct_merchant_has_no_sub_merchant(sandbox: Sandbox, direct: Shop, path: str) -> None:
    sub_merchant = shop(sandbox).account
    assert direct.call(path, **REQUESTS[path]).fields["return_code"] == "SUCCESS"
    for name in ("sub_mch_id", "sub_appid"):
        assert direct.call(path, **REQUESTS[path], **{name: sub_merchant[name]}).error == UNBOUND
    for own in ({"sub_mch_id": direct.account["mch_id"]}, {"sub_appid": direct.account["appid"]}):
        assert direct.call(path, **REQUESTS[path], **own).error == UNBOUND


@pytest.mark.parametrize("path", REQUESTS)
def test_every_appid_of_its_own_identifies_it(direct: Shop, path: str) -> None:
    for name in OWN_APPIDS:
        reply = direct.call(path, **REQUESTS[path], appid=direct.account[name])
        assert reply["appid"] == direct.account[name]
        assert not [each for each in reply.fields if each.startswith("sub_")]


def test_another_merchant_s_appid_is_refused(sandbox: Sandbox, direct: Shop) -> None:
    demo = shop(sandbox)
    for name in ("appid", "sub_appid", "mini_appid"):
        assert direct.query("1", appid=demo.account[name]).error == UNBOUND
    assert demo.query("1", appid=direct.account["appid"]).error == UNBOUND
    assert demo.query("1", sub_appid=direct.account["appid"]).error == UNBOUND
    assert demo.query("1", mch_id=direct.account["mch_id"]).error == UNBOUND


@pytest.mark.parametrize("label", ["demo", "direct"])
def test_an_unknown_number_is_no_provider_s(sandbox: Sandbox, label: str) -> None:
    assert shop(sandbox, label).query("1", mch_id="1900000000", sub_mch_id="").error == UNBOUND


@pytest.mark.parametrize(
    ("change", "err_code"),
    [
        ({"sub_mch_id": "1900000000"}, "MCHID_NOT_EXIST"),
        ({"mch_id": "1900000000"}, "MCHID_NOT_EXIST"),
        ({"appid": "wx0000000000000000"}, "APPID_NOT_EXIST"),
        ({"appid": "demo"}, "APPID_MCHID_NOT_MATCH"),
        ({"sub_appid": "demo"}, "APPID_MCHID_NOT_MATCH"),
    ],
)
def test_a_wrong_number_has_an_err_code_in_the_profile_strict(
    sandbox: Sandbox, direct: Shop, strict: None, change: dict[str, str], err_code: str
) -> None:
    of_demo = shop(sandbox).account
    change = {name: of_demo[name] if value == "demo" else value for name, value in change.items()}
    request = as_xml(direct.signed(out_trade_no="1", **change))
    assert direct.send("/pay/orderquery", request)["err_code"] == err_code


# ---- orders ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trade_type", "name"),
    [
        *(("APP", name) for name in ("appid", "mini_appid")),
        *((trade_type, "mini_appid") for trade_type in ("NATIVE", "MWEB")),
        *((trade_type, "app_appid") for trade_type in ("NATIVE", "MWEB", "JSAPI")),
    ],
)
def test_an_appid_of_another_kind_is_refused(
    sandbox: Sandbox, direct: Shop, trade_type: str, name: str
) -> None:
    appid, number = direct.account[name], new_number()
    members = {"appid": appid, "trade_type": trade_type}
    assert direct.order(out_trade_no=number, openid="o1", **members).error == UNBOUND
    assert direct.query(number).error == "ORDERNOTEXIST"


@pytest.mark.parametrize("label", ["demo", "direct"])
def test_a_barcode_is_charged_under_the_official_account(sandbox: Sandbox, label: str) -> None:
    caller = shop(sandbox, label)
    for name in ("mini_appid", "app_appid"):
        number = new_number()
        assert caller.scan_code(code(sandbox), out_trade_no=number, **caller.own_appid(name)).error == UNBOUND
        assert caller.query(number).error == "ORDERNOTEXIST"
    assert caller.scan_code(code(sandbox), **caller.own_appid())["result_code"] == "SUCCESS"


def test_an_order_inside_wechat_needs_the_openid_under_its_appid(sandbox: Sandbox, direct: Shop) -> None:
    assert direct.order(trade_type="JSAPI").error == "缺少参数openid"
    of_demo = openid(sandbox, "chen", shop(sandbox).official_appid)
    assert direct.order(trade_type="JSAPI", openid=of_demo).error == "invalid openid"
    own = openid(sandbox, "chen", direct.account["appid"])
    assert direct.order(trade_type="JSAPI", sub_openid=own).error == "缺少参数sub_appid"
    assert direct.order(trade_type="JSAPI", openid=own)["result_code"] == "SUCCESS"


def test_a_query_may_use_another_appid_than_the_order(sandbox: Sandbox, direct: Shop) -> None:
    number, mini_appid = new_number(), direct.account["mini_appid"]
    own = openid(sandbox, "chen", mini_appid)
    made = direct.order(out_trade_no=number, **direct.jsapi(own, "mini_appid"))
    confirm(sandbox, "pay", url=made["prepay_id"])
    reply = direct.query(number)
    assert (reply["appid"], reply["openid"]) == (direct.account["appid"], own)


def test_its_orders_and_refunds_are_its_own(sandbox: Sandbox, direct: Shop) -> None:
    demo, number, refund = shop(sandbox), new_number(), new_number("R")
    for caller in (direct, demo):
        assert caller.scan_code(code(sandbox), out_trade_no=number)["result_code"] == "SUCCESS"
    direct.refund(number, 100, out_refund_no=refund)
    assert (direct.state(number), demo.state(number)) == ("REFUND", "SUCCESS")
    assert demo.call("/pay/refundquery", out_refund_no=refund).error == "REFUNDNOTEXIST"
    by_id: dict[str, Any] = {"transaction_id": direct.query(number)["transaction_id"]}
    assert demo.call("/pay/orderquery", **by_id).error == "ORDERNOTEXIST"


@pytest.mark.parametrize("kind", ["system_error", "wrong_amount", "bad_signature"])
def test_faults_apply_to_its_calls(sandbox: Sandbox, direct: Shop, kind: str) -> None:
    number = new_number()
    direct.scan_code(code(sandbox), out_trade_no=number)
    put(sandbox, [{"wallet": "wechat", "operation": "/pay/orderquery", "kind": kind, "times": 1}])
    request = as_xml(direct.signed("HMAC-SHA256", out_trade_no=number))
    reply = direct.send("/pay/orderquery", request).fields
    is_signed = reply["sign"] == signature(reply, direct.key, "HMAC-SHA256")
    put(sandbox, [])
    assert is_signed == (kind != "bad_signature")
    total_fee = {"system_error": None, "wrong_amount": "8801", "bad_signature": "8800"}
    assert reply.get("total_fee") == total_fee[kind]
    assert "sub_mch_id" not in reply


# ---- the other calls ---------------------------------------------------------------------------------------------


def test_a_barcode_resolves_to_the_openid_under_the_appid(sandbox: Sandbox, direct: Shop) -> None:
    auth_code = code(sandbox, payer="dora")
    for name in ("appid", "mini_appid"):
        reply = direct.call(OWNER, auth_code=auth_code, appid=direct.account[name])
        assert reply["openid"] == openid(sandbox, "dora", direct.account[name])
        assert "sub_openid" not in reply.fields
    assert in_vendor_sandbox(direct).scan_code(auth_code).error == "AUTH_CODE_INVALID"
    assert direct.scan_code(auth_code)["result_code"] == "SUCCESS"


def test_a_rate_and_a_report_need_no_sub_merchant(sandbox: Sandbox, direct: Shop) -> None:
    today = compact(move_to(sandbox, 10))
    reply = call(direct, RATE, "nonce_str", fee_type="HKD", date=today)
    assert reply["rate"] == "91230000"
    assert "sub_mch_id" not in reply
    assert call(direct, REPORT, **REPORTED)["result_code"] == "SUCCESS"
    assert call(direct, REPORT, **REPORTED, sub_mch_id="1")["return_msg"] == UNBOUND


def test_only_its_official_account_has_pages(sandbox: Sandbox, direct: Shop) -> None:
    for name, errcode in (("mini_appid", 10005), ("app_appid", 10005)):
        status, _, answer = authorize(sandbox, direct, appid=direct.account[name])
        assert (status, answer["errcode"]) == (400, errcode)
    assert authorize(sandbox, direct)[0] == 302


# ---- bills -------------------------------------------------------------------------------------------------------


def test_a_bill_has_its_own_orders_only(own_sandbox: Sandbox) -> None:
    """The demo shop and WeChat Pay's own sandbox use the same number. The sub-merchant's number is 0."""
    direct, demo, number = shop(own_sandbox, "direct"), shop(own_sandbox), new_number()
    vendor = in_vendor_sandbox(direct)
    noon = move_to(own_sandbox, 12)
    vendor.scan_code(code(own_sandbox), out_trade_no=number)
    assert vendor.reverse(number)["recall"] == "N"
    direct.scan_code(code(own_sandbox), out_trade_no=number, total_fee=100)
    demo.scan_code(code(own_sandbox), out_trade_no=number)
    direct.refund(number, 40, total_fee=100)
    move_to(own_sandbox, 10)
    header, rows, _ = table(download(direct, compact(noon)))
    assert header == ALL_HEADER
    numbers = [direct.account["appid"], direct.account["mch_id"], "0"]
    assert [[*row[1:4], row[12], row[16]] for row in rows] == [
        [*numbers, "1.00", "0"],
        [*numbers, "0", "0.40"],
    ]
    for whose in ({}, {"sub_mch_id": ""}):
        assert [row[12] for row in table(download(demo, compact(noon), **whose))[1]] == ["88.00"]
    assert refused(download(direct, compact(noon), sub_mch_id="1")) == ("20001", UNBOUND)


def test_closing_a_day_lists_its_statement(own_sandbox: Sandbox) -> None:
    direct = shop(own_sandbox, "direct")
    noon = move_to(own_sandbox, 12)
    direct.scan_code(code(own_sandbox))
    members = {"wallet": "wechat", "day": f"{noon:%Y-%m-%d}"}
    statements = own_sandbox.control("POST", "statements", members)["statements"]
    (mine,) = [statement for statement in statements if statement["rows"]]
    assert (mine["shop"], mine["account"]) == ("direct", direct.account["mch_id"])
    assert mine["ask"] == {"mch_id": direct.account["mch_id"], "bill_date": compact(noon)}
    assert len(table(download(direct, compact(noon)))[1]) == mine["rows"] == 1


def test_its_bills_can_have_headings_in_chinese(own_sandbox: Sandbox) -> None:
    direct, demo = shop(own_sandbox, "direct"), shop(own_sandbox)
    noon = move_to(own_sandbox, 12)
    for caller in (direct, demo):
        caller.scan_code(code(own_sandbox))
    move_to(own_sandbox, 10)
    request = {"wallet": "wechat", "shop": "direct", "bill_headers": "zh"}
    row = own_sandbox.control("PUT", "accounts", request)
    assert (row["kind"], row["bill_headers"]) == ("direct", "zh")
    assert shop(own_sandbox, "direct").account == row
    assert lines_of(download(direct, compact(noon)))[0] == CHINESE_HEADER
    assert lines_of(download(demo, compact(noon), sub_mch_id=""))[0] == ",".join(ALL_HEADER)
