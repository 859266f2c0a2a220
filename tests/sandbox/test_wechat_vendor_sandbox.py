"""WeChat Pay's own sandbox: the key that getsignkey hands out, the calls under the prefix, and books of their own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.sandbox.conftest import Receiver, Sandbox
from tests.sandbox.days import compact, move_to
from tests.sandbox.test_wechat_notices import THANKS, decrypted, url_of
from tests.sandbox.wechat_shop import (
    NATIVE,
    SALE,
    Reply,
    Shop,
    as_xml,
    code,
    confirm,
    fresh,
    from_xml,
    shop,
    signature,
)

KEY_PATHS = ("/sandboxnew/pay/getsignkey", "/xdc/apiv2getsignkey/sign/getsignkey")
PREFIXES = ("/sandboxnew", "/xdc/apiv2sandbox")
BAD_SIGNATURE = "签名错误，请检查后再试"


@pytest.fixture
def demo(sandbox: Sandbox) -> Shop:
    return shop(sandbox)


def ask_for_key(caller: Shop, path: str = KEY_PATHS[0], key: str = "", **fields: str) -> dict[str, str]:
    asked = {"mch_id": str(caller.account["mch_id"]), "nonce_str": "n0nce", **fields}
    asked["sign"] = signature(asked, key or caller.key, "MD5")
    return caller.send(path, as_xml(asked)).fields


@dataclass(frozen=True, slots=True)
class Rehearsing(Shop):
    """The same shop under the prefix, signing with the key that it was given."""

    prefix: str

    def call(self, path: str, sign_type: str = "MD5", tls: Any = None, **fields: Any) -> Reply:
        return Shop.call(self, self.prefix + path, sign_type, tls, **fields)


def rehearsing(caller: Shop, prefix: str = PREFIXES[0]) -> Rehearsing:
    key = ask_for_key(caller)["sandbox_signkey"]
    return Rehearsing({**caller.account, "key": key}, prefix)


@pytest.fixture
def strict(sandbox: Sandbox) -> Iterator[None]:
    sandbox.control("PUT", "profile", {"profile": "strict"})
    yield
    sandbox.control("PUT", "profile", {"profile": "demo"})


@pytest.mark.parametrize("path", KEY_PATHS)
def test_the_key_is_handed_out_to_who_signs_with_the_real_one(
    sandbox: Sandbox, demo: Shop, path: str
) -> None:
    told = ask_for_key(demo, path)
    key = told.pop("sandbox_signkey")
    assert told == {"return_code": "SUCCESS", "return_msg": "OK", "mch_id": demo.account["mch_id"]}
    assert (len(key), key.isalnum(), key == demo.key) == (32, True, False)
    assert ask_for_key(demo, path)["sandbox_signkey"] == key
    assert ask_for_key(shop(sandbox, "chain_east"), path)["sandbox_signkey"] != key
    for wrong in ("0" * 32, key):
        assert ask_for_key(demo, path, key=wrong) == {"return_code": "FAIL", "return_msg": BAD_SIGNATURE}
    for name in ("mch_id", "nonce_str"):
        assert ask_for_key(demo, path, **{name: ""})["return_msg"] == f"缺少参数{name}"


def test_the_key_is_the_same_after_a_restart(own_sandbox: Sandbox) -> None:
    demo = shop(own_sandbox)
    key = ask_for_key(demo)["sandbox_signkey"]
    own_sandbox.restart()
    assert ask_for_key(demo)["sandbox_signkey"] == key


@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_same_calls_are_served_under_the_prefix_with_that_key(
    sandbox: Sandbox, demo: Shop, prefix: str, sign_type: str
) -> None:
    """Each answer's signature is proven with the handed-out key by `call`."""
    apart, number, sale = rehearsing(demo, prefix), fresh(), fresh()
    made = apart.call("/pay/unifiedorder", sign_type, **(SALE | NATIVE | {"out_trade_no": number}))
    assert apart.call("/pay/orderquery", sign_type, out_trade_no=number)["trade_state"] == "NOTPAY"
    confirm(sandbox, "pay", url=made["code_url"])
    assert apart.call("/pay/orderquery", sign_type, out_trade_no=number)["trade_state"] == "SUCCESS"
    paid = apart.call(
        "/pay/micropay", sign_type, **(SALE | {"out_trade_no": sale, "auth_code": code(sandbox)})
    )
    assert paid["trade_type"] == "MICROPAY"
    for path in ("/pay/refund", "/secapi/pay/refund"):
        asked = {"out_trade_no": number, "total_fee": 8800, "refund_fee": 100, "out_refund_no": fresh("R")}
        assert apart.call(path, sign_type, **asked)["result_code"] == "SUCCESS"
    assert apart.call("/pay/refundquery", sign_type, out_trade_no=number)["refund_count"] == "2"
    for path in ("/pay/reverse", "/secapi/pay/reverse"):
        assert apart.call(path, sign_type, out_trade_no=sale)["recall"] == "N"
    unpaid = fresh()
    apart.call("/pay/unifiedorder", sign_type, **(SALE | NATIVE | {"out_trade_no": unpaid}))
    assert apart.call("/pay/closeorder", sign_type, out_trade_no=unpaid)["result_code"] == "SUCCESS"
    days = {"date_start": "20261101", "date_end": "20261130", "offset": 0, "limit": 10}
    assert apart.call("/pay/settlementquery", sign_type, usetag=2, **days)["result_code"] == "SUCCESS"
    assert apart.call("/tools/authcodetoopenid", sign_type, auth_code=code(sandbox))["openid"]
    assert apart.call("/tools/shorturl", sign_type, long_url=made["code_url"])["short_url"]
    of_rate = apart.signed(sign_type, fee_type="HKD", date="20261101")
    rate = apart.send(f"{prefix}/pay/queryexchagerate", as_xml(of_rate)).fields
    assert rate["sign"] == signature(rate, apart.key, sign_type)
    assert (rate["mch_id"], rate["sub_mch_id"]) == (apart.account["mch_id"], apart.account["sub_mch_id"])
    reported: dict[str, Any] = {
        **{"interface_url": "https://x.example/", "execute_time_": 1, "user_ip": "127.0.0.1"},
        **{"return_code": "SUCCESS", "result_code": "SUCCESS"},
    }
    thanks = apart.send(f"{prefix}/payitil/report", as_xml(apart.signed(sign_type, **reported))).fields
    assert thanks["result_code"] == "SUCCESS"


def test_neither_key_opens_the_other_s_door(demo: Shop) -> None:
    apart = rehearsing(demo)
    real_under_prefix = as_xml(demo.signed(out_trade_no="1"))
    assert demo.send("/sandboxnew/pay/orderquery", real_under_prefix).error == BAD_SIGNATURE
    assert demo.send("/pay/orderquery", as_xml(apart.signed(out_trade_no="1"))).error == BAD_SIGNATURE
    marked = {"mch_id": f"sandboxnew/{demo.account['mch_id']}"}
    for path in ("/pay/orderquery", "/sandboxnew/pay/orderquery"):
        answer = demo.send(path, as_xml(apart.signed(out_trade_no="1", **marked)))
        assert answer.error == "商户号mch_id与appid不匹配"


def test_its_books_are_wholly_apart(own_sandbox: Sandbox) -> None:
    """The same number twice, once on each side, and no bill has the other's rows."""
    demo = shop(own_sandbox)
    apart = rehearsing(demo)
    noon, number = move_to(own_sandbox, 12), fresh()
    for side, price in ((demo, 8800), (apart, 100)):
        paid = side.scan_code(code(own_sandbox), out_trade_no=number, total_fee=price)
        assert paid["total_fee"] == str(price)
    assert (demo.query(number)["total_fee"], apart.query(number)["total_fee"]) == ("8800", "100")
    only_here = fresh()
    demo.order(out_trade_no=only_here)
    assert apart.query(only_here).error == "ORDERNOTEXIST"
    assert apart.call("/pay/orderquery", transaction_id=demo.query(number)["transaction_id"]).error == (
        "ORDERNOTEXIST"
    )
    assert apart.refund(number, 100, total_fee=100, out_refund_no="same")["refund_fee"] == "100"
    assert demo.refund(number, 200, out_refund_no="same")["refund_fee"] == "200"

    move_to(own_sandbox, 10)
    for side, path, amounts in (
        (demo, "/pay/downloadbill", ["88.00", "2.00"]),
        (apart, "/sandboxnew/pay/downloadbill", ["1.00", "1.00"]),
    ):
        for numbers in ({}, {"sub_mch_id": ""}):
            asked = side.signed(bill_date=compact(noon), bill_type="ALL", **numbers)
            rows = side.send(path, as_xml(asked)).body.decode("utf-8-sig").split("\r\n")[1:-3]
            cells = [row[1:].split(",`") for row in rows]
            assert [cell[12] if cell[9] == "SUCCESS" else cell[16] for cell in cells] == amounts
            assert {(cell[2], cell[3]) for cell in cells} == {
                (side.account["mch_id"], side.account["sub_mch_id"])
            }


def test_its_notices_are_signed_and_sealed_with_its_key(
    sandbox: Sandbox, demo: Shop, receiver: Receiver
) -> None:
    receiver.answer = (200, THANKS)
    apart, number = rehearsing(demo), fresh()
    made = apart.order(out_trade_no=number, notify_url=url_of(receiver))
    confirm(sandbox, "pay", url=made["code_url"])
    said = from_xml(receiver.wait_for(1)[0])
    assert said["sign"] == signature(said, apart.key, "MD5")
    assert {name: said[name] for name in apart.identity()} == apart.identity()
    refund = apart.refund(number, 300, notify_url=url_of(receiver))
    sandbox.advance(2)
    told = from_xml(receiver.wait_for(2)[1])
    assert {name: told[name] for name in apart.identity()} == apart.identity()
    assert from_xml(decrypted(told["req_info"], apart.key))["refund_id"] == refund["refund_id"]


def test_it_asks_for_no_certificate(sandbox: Sandbox, demo: Shop) -> None:
    apart, number = rehearsing(demo), fresh()
    apart.scan_code(code(sandbox), out_trade_no=number)
    tls = apart.client_tls(with_certificate=False)
    assert apart.refund(number, 100, tls=tls)["result_code"] == "SUCCESS"
    assert demo.refund(number, 100, tls=tls).status == 400


def test_in_the_profile_strict_it_takes_md5_only(demo: Shop, strict: None) -> None:
    apart = rehearsing(demo)
    assert apart.call("/pay/orderquery", "HMAC-SHA256", out_trade_no="1").error == BAD_SIGNATURE
    assert apart.query("1").error == "ORDERNOTEXIST"
    assert demo.call("/pay/orderquery", "HMAC-SHA256", out_trade_no="1").error == "ORDERNOTEXIST"


@pytest.mark.parametrize("kind", ["system_error", "wrong_amount", "bad_signature"])
def test_its_calls_meet_the_faults_of_the_calls_that_they_repeat(
    sandbox: Sandbox, demo: Shop, kind: str
) -> None:
    apart, number = rehearsing(demo), fresh()
    apart.scan_code(code(sandbox), out_trade_no=number)
    fault = {"wallet": "wechat", "operation": "/pay/orderquery", "kind": kind}
    sandbox.call("PUT", "/control/faults", str([fault]).replace("'", '"').encode())
    try:
        answer = apart.send("/sandboxnew/pay/orderquery", as_xml(apart.signed(out_trade_no=number))).fields
        is_signed = answer["sign"] == signature(answer, apart.key, "MD5")
    finally:
        sandbox.call("DELETE", "/control/faults")
    assert is_signed == (kind != "bad_signature")
    assert (answer.get("err_code"), answer.get("total_fee")) == (
        ("SYSTEMERROR", None)
        if kind == "system_error"
        else (None, "8801" if kind == "wrong_amount" else "8800")
    )


def test_a_false_notice_is_signed_with_its_key(sandbox: Sandbox, demo: Shop, receiver: Receiver) -> None:
    receiver.answer = (200, THANKS)
    apart, number = rehearsing(demo), fresh()
    fault = {"wallet": "wechat", "operation": "notice", "kind": "wrong_amount"}
    sandbox.call("PUT", "/control/faults", str([fault]).replace("'", '"').encode())
    try:
        made = apart.order(out_trade_no=number, notify_url=url_of(receiver))
        confirm(sandbox, "pay", url=made["code_url"])
        said = from_xml(receiver.wait_for(1)[0])
        apart.refund(number, 300, notify_url=url_of(receiver))
        sandbox.advance(2)
        told = from_xml(receiver.wait_for(2)[1])
    finally:
        sandbox.call("DELETE", "/control/faults")
    assert (said["total_fee"], said["sign"]) == ("8801", signature(said, apart.key, "MD5"))
    assert from_xml(decrypted(told["req_info"], apart.key))["refund_fee"] == "301"
