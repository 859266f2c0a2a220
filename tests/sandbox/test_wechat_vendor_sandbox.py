"""WeChat Pay's own sandbox: the key from getsignkey, the calls under the prefix, and their separate books."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.sandbox.conftest import Receiver, Sandbox
from tests.sandbox.days import compact, move_to
from tests.sandbox.test_wechat_notices import SUCCESS_REPLY, decrypted, url_of
from tests.sandbox.wechat_shop import (
    NATIVE,
    SALE,
    Reply,
    Shop,
    as_xml,
    both_kinds,
    code,
    confirm,
    from_xml,
    new_number,
    shop,
    signature,
)

KEY_PATHS = ("/sandboxnew/pay/getsignkey", "/xdc/apiv2getsignkey/sign/getsignkey")
PREFIXES = ("/sandboxnew", "/xdc/apiv2sandbox")
BAD_SIGNATURE = "签名错误，请检查后再试"


@pytest.fixture
def demo(request: pytest.FixtureRequest, sandbox: Sandbox) -> Shop:
    return shop(sandbox, getattr(request, "param", "demo"))


def request_key(caller: Shop, path: str = KEY_PATHS[0], key: str = "", **fields: str) -> dict[str, str]:
    request = {"mch_id": str(caller.account["mch_id"]), "nonce_str": "n0nce", **fields}
    request["sign"] = signature(request, key or caller.key, "MD5")
    return caller.send(path, as_xml(request)).fields


@dataclass(frozen=True, slots=True)
class VendorSandboxShop(Shop):
    """The same shop under the prefix, signing with the sandbox's key."""

    prefix: str

    def call(self, path: str, sign_type: str = "MD5", tls: Any = None, **fields: Any) -> Reply:
        return Shop.call(self, self.prefix + path, sign_type, tls, **fields)


def in_vendor_sandbox(caller: Shop, prefix: str = PREFIXES[0]) -> VendorSandboxShop:
    key = request_key(caller)["sandbox_signkey"]
    return VendorSandboxShop({**caller.account, "key": key}, prefix)


@pytest.fixture
def strict(sandbox: Sandbox) -> Iterator[None]:
    sandbox.control("PUT", "profile", {"profile": "strict"})
    yield
    sandbox.control("PUT", "profile", {"profile": "demo"})


@both_kinds
@pytest.mark.parametrize("path", KEY_PATHS)
def test_the_key_is_returned_to_a_sender_with_the_live_key(sandbox: Sandbox, demo: Shop, path: str) -> None:
    reply = request_key(demo, path)
    key = reply.pop("sandbox_signkey")
    assert reply == {"return_code": "SUCCESS", "return_msg": "OK", "mch_id": demo.account["mch_id"]}
    assert (len(key), key.isalnum(), key == demo.key) == (32, True, False)
    assert request_key(demo, path)["sandbox_signkey"] == key
    assert request_key(shop(sandbox, "chain_east"), path)["sandbox_signkey"] != key
    for wrong in ("0" * 32, key):
        assert request_key(demo, path, key=wrong) == {"return_code": "FAIL", "return_msg": BAD_SIGNATURE}
    for name in ("mch_id", "nonce_str"):
        assert request_key(demo, path, **{name: ""})["return_msg"] == f"缺少参数{name}"


def test_the_key_is_the_same_after_a_restart(own_sandbox: Sandbox) -> None:
    demo = shop(own_sandbox)
    key = request_key(demo)["sandbox_signkey"]
    own_sandbox.restart()
    assert request_key(demo)["sandbox_signkey"] == key


@both_kinds
@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_same_calls_are_served_under_the_prefix_with_that_key(
    sandbox: Sandbox, demo: Shop, prefix: str, sign_type: str
) -> None:
    """`call` verifies the signature of each reply with the sandbox's key."""
    vendor, number, sale = in_vendor_sandbox(demo, prefix), new_number(), new_number()
    made = vendor.call("/pay/unifiedorder", sign_type, **(SALE | NATIVE | {"out_trade_no": number}))
    assert vendor.call("/pay/orderquery", sign_type, out_trade_no=number)["trade_state"] == "NOTPAY"
    confirm(sandbox, "pay", url=made["code_url"])
    assert vendor.call("/pay/orderquery", sign_type, out_trade_no=number)["trade_state"] == "SUCCESS"
    paid = vendor.call(
        "/pay/micropay", sign_type, **(SALE | {"out_trade_no": sale, "auth_code": code(sandbox)})
    )
    assert paid["trade_type"] == "MICROPAY"
    for path in ("/pay/refund", "/secapi/pay/refund"):
        request = {
            "out_trade_no": number,
            "total_fee": 8800,
            "refund_fee": 100,
            "out_refund_no": new_number("R"),
        }
        assert vendor.call(path, sign_type, **request)["result_code"] == "SUCCESS"
    assert vendor.call("/pay/refundquery", sign_type, out_trade_no=number)["refund_count"] == "2"
    for path in ("/pay/reverse", "/secapi/pay/reverse"):
        assert vendor.call(path, sign_type, out_trade_no=sale)["recall"] == "N"
    unpaid = new_number()
    vendor.call("/pay/unifiedorder", sign_type, **(SALE | NATIVE | {"out_trade_no": unpaid}))
    assert vendor.call("/pay/closeorder", sign_type, out_trade_no=unpaid)["result_code"] == "SUCCESS"
    days = {"date_start": "20261101", "date_end": "20261130", "offset": 0, "limit": 10}
    assert vendor.call("/pay/settlementquery", sign_type, usetag=2, **days)["result_code"] == "SUCCESS"
    assert vendor.call("/tools/authcodetoopenid", sign_type, auth_code=code(sandbox))["openid"]
    assert vendor.call("/tools/shorturl", sign_type, long_url=made["code_url"])["short_url"]
    of_rate = vendor.signed(sign_type, fee_type="HKD", date="20261101")
    rate = vendor.send(f"{prefix}/pay/queryexchagerate", as_xml(of_rate)).fields
    assert rate["sign"] == signature(rate, vendor.key, sign_type)
    assert rate | vendor.identity() == rate
    reported: dict[str, Any] = {
        **{"interface_url": "https://x.example/", "execute_time_": 1, "user_ip": "127.0.0.1"},
        **{"return_code": "SUCCESS", "result_code": "SUCCESS"},
    }
    thanks = vendor.send(f"{prefix}/payitil/report", as_xml(vendor.signed(sign_type, **reported))).fields
    assert thanks["result_code"] == "SUCCESS"


def test_neither_key_is_valid_for_the_other_side(demo: Shop) -> None:
    vendor = in_vendor_sandbox(demo)
    live_under_prefix = as_xml(demo.signed(out_trade_no="1"))
    assert demo.send("/sandboxnew/pay/orderquery", live_under_prefix).error == BAD_SIGNATURE
    assert demo.send("/pay/orderquery", as_xml(vendor.signed(out_trade_no="1"))).error == BAD_SIGNATURE
    marked = {"mch_id": f"sandboxnew/{demo.account['mch_id']}"}
    for path in ("/pay/orderquery", "/sandboxnew/pay/orderquery"):
        answer = demo.send(path, as_xml(vendor.signed(out_trade_no="1", **marked)))
        assert answer.error == "商户号mch_id与appid不匹配"


@pytest.mark.parametrize("label", ["demo", "direct"])
def test_its_books_are_separate(own_sandbox: Sandbox, label: str) -> None:
    """The same number is used on both sides, and no bill has rows of the other side."""
    demo = shop(own_sandbox, label)
    vendor = in_vendor_sandbox(demo)
    noon, number = move_to(own_sandbox, 12), new_number()
    for side, price in ((demo, 8800), (vendor, 100)):
        paid = side.scan_code(code(own_sandbox), out_trade_no=number, total_fee=price)
        assert paid["total_fee"] == str(price)
    assert (demo.query(number)["total_fee"], vendor.query(number)["total_fee"]) == ("8800", "100")
    only_here = new_number()
    demo.order(out_trade_no=only_here)
    assert vendor.query(only_here).error == "ORDERNOTEXIST"
    assert vendor.call("/pay/orderquery", transaction_id=demo.query(number)["transaction_id"]).error == (
        "ORDERNOTEXIST"
    )
    assert vendor.refund(number, 100, total_fee=100, out_refund_no="same")["refund_fee"] == "100"
    assert demo.refund(number, 200, out_refund_no="same")["refund_fee"] == "200"

    move_to(own_sandbox, 10)
    for side, path, amounts in (
        (demo, "/pay/downloadbill", ["88.00", "2.00"]),
        (vendor, "/sandboxnew/pay/downloadbill", ["1.00", "1.00"]),
    ):
        for numbers in ({}, {"sub_mch_id": ""}):
            request = side.signed(bill_date=compact(noon), bill_type="ALL", **numbers)
            rows = side.send(path, as_xml(request)).body.decode("utf-8-sig").split("\r\n")[1:-3]
            cells = [row[1:].split(",`") for row in rows]
            assert [cell[12] if cell[9] == "SUCCESS" else cell[16] for cell in cells] == amounts
            assert {(cell[2], cell[3]) for cell in cells} == {
                (side.account["mch_id"], side.account["sub_mch_id"] or "0")
            }


@both_kinds
def test_its_notices_are_signed_and_encrypted_with_its_key(
    sandbox: Sandbox, demo: Shop, receiver: Receiver
) -> None:
    receiver.answer = (200, SUCCESS_REPLY)
    vendor, number = in_vendor_sandbox(demo), new_number()
    made = vendor.order(out_trade_no=number, notify_url=url_of(receiver))
    confirm(sandbox, "pay", url=made["code_url"])
    payment_notice = from_xml(receiver.wait_for(1)[0])
    assert payment_notice["sign"] == signature(payment_notice, vendor.key, "MD5")
    assert {name: payment_notice[name] for name in vendor.identity()} == vendor.identity()
    refund = vendor.refund(number, 300, notify_url=url_of(receiver))
    sandbox.advance(2)
    refund_notice = from_xml(receiver.wait_for(2)[1])
    assert {name: refund_notice[name] for name in vendor.identity()} == vendor.identity()
    assert from_xml(decrypted(refund_notice["req_info"], vendor.key))["refund_id"] == refund["refund_id"]


@both_kinds
def test_it_needs_no_certificate(sandbox: Sandbox, demo: Shop) -> None:
    vendor, number = in_vendor_sandbox(demo), new_number()
    vendor.scan_code(code(sandbox), out_trade_no=number)
    tls = vendor.client_tls(with_certificate=False)
    assert vendor.refund(number, 100, tls=tls)["result_code"] == "SUCCESS"
    assert demo.refund(number, 100, tls=tls).status == 400


def test_in_the_profile_strict_it_accepts_md5_only(demo: Shop, strict: None) -> None:
    vendor = in_vendor_sandbox(demo)
    assert vendor.call("/pay/orderquery", "HMAC-SHA256", out_trade_no="1").error == BAD_SIGNATURE
    assert vendor.query("1").error == "ORDERNOTEXIST"
    assert demo.call("/pay/orderquery", "HMAC-SHA256", out_trade_no="1").error == "ORDERNOTEXIST"


@pytest.mark.parametrize("kind", ["system_error", "wrong_amount", "bad_signature"])
def test_its_calls_have_the_faults_of_the_calls_that_they_mirror(
    sandbox: Sandbox, demo: Shop, kind: str
) -> None:
    vendor, number = in_vendor_sandbox(demo), new_number()
    vendor.scan_code(code(sandbox), out_trade_no=number)
    fault = {"wallet": "wechat", "operation": "/pay/orderquery", "kind": kind}
    sandbox.call("PUT", "/control/faults", str([fault]).replace("'", '"').encode())
    try:
        answer = vendor.send("/sandboxnew/pay/orderquery", as_xml(vendor.signed(out_trade_no=number))).fields
        is_signed = answer["sign"] == signature(answer, vendor.key, "MD5")
    finally:
        sandbox.call("DELETE", "/control/faults")
    assert is_signed == (kind != "bad_signature")
    assert (answer.get("err_code"), answer.get("total_fee")) == (
        ("SYSTEMERROR", None)
        if kind == "system_error"
        else (None, "8801" if kind == "wrong_amount" else "8800")
    )


@both_kinds
def test_a_tampered_notice_is_signed_with_its_key(sandbox: Sandbox, demo: Shop, receiver: Receiver) -> None:
    receiver.answer = (200, SUCCESS_REPLY)
    vendor, number = in_vendor_sandbox(demo), new_number()
    fault = {"wallet": "wechat", "operation": "notice", "kind": "wrong_amount"}
    sandbox.call("PUT", "/control/faults", str([fault]).replace("'", '"').encode())
    try:
        made = vendor.order(out_trade_no=number, notify_url=url_of(receiver))
        confirm(sandbox, "pay", url=made["code_url"])
        payment_notice = from_xml(receiver.wait_for(1)[0])
        vendor.refund(number, 300, notify_url=url_of(receiver))
        sandbox.advance(2)
        refund_notice = from_xml(receiver.wait_for(2)[1])
    finally:
        sandbox.call("DELETE", "/control/faults")
    assert (payment_notice["total_fee"], payment_notice["sign"]) == (
        "8801",
        signature(payment_notice, vendor.key, "MD5"),
    )
    assert from_xml(decrypted(refund_notice["req_info"], vendor.key))["refund_fee"] == "301"
