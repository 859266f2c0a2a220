"""Profiles and magic values at the wallets themselves: their limits and their responses."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tael_sandbox import magic
from tael_sandbox.alipay import magic as alipay
from tael_sandbox.codes import _random_code
from tael_sandbox.wechat import magic as wechat
from tests.sandbox import alipay_shop, wechat_shop
from tests.sandbox.conftest import ControlRefused, Sandbox

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text("utf-8")


@pytest.fixture
def profiled(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The module's sandbox; resets the profile afterwards."""
    yield sandbox
    put(sandbox, "demo")


def put(sandbox: Sandbox, profile: object) -> Any:
    return sandbox.control("PUT", "profile", {"profile": profile})


# ---- control -----------------------------------------------------------------------------------------------------


def test_the_profile_is_demo_until_another_is_set(profiled: Sandbox) -> None:
    assert profiled.control("GET", "profile") == {"profile": "demo"}
    for name in ("sdk", "strict", "demo"):
        assert put(profiled, name) == {"profile": name}
        assert profiled.control("GET", "profile") == {"profile": name}


@pytest.mark.parametrize(
    "members", [{}, {"profile": None}, {"profile": "lax"}, {"profile": 7}, {"profile": ["sdk"]}]
)
def test_an_unknown_profile_is_refused_and_changes_nothing(sandbox: Sandbox, members: dict[str, Any]) -> None:
    with pytest.raises(ControlRefused) as refused:
        sandbox.control("PUT", "profile", members)
    assert (refused.value.status, refused.value.field) == (400, "profile")
    assert sandbox.control("GET", "profile") == {"profile": "demo"}


def test_a_profile_survives_a_restart(own_sandbox: Sandbox) -> None:
    put(own_sandbox, "sdk")
    own_sandbox.restart()
    assert own_sandbox.control("GET", "profile") == {"profile": "sdk"}


def test_a_reset_deletes_the_books_and_keeps_the_accounts(own_sandbox: Sandbox) -> None:
    accounts = own_sandbox.control("GET", "accounts")
    put(own_sandbox, "sdk")
    own_sandbox.advance(3600)
    shop = wechat_shop.shop(own_sandbox)
    assert shop.scan_code(own_sandbox.code(wallet="wechat"))["result_code"] == "SUCCESS"

    own_sandbox.restart("--fresh")

    assert own_sandbox.control("GET", "profile") == {"profile": "demo"}
    assert own_sandbox.control("GET", "book") == {"trades": [], "refunds": []}
    assert own_sandbox.control("GET", "clock")["offset_s"] == 0
    assert own_sandbox.control("GET", "accounts") == accounts


@pytest.mark.parametrize(
    "members",
    [{"ending": "1200"}, {"ending": "201"}, {"ending": 1201}, {"ending": "1201", "behaviour": "pays"}],
)
def test_an_invalid_ending_is_refused(sandbox: Sandbox, members: dict[str, Any]) -> None:
    with pytest.raises(ControlRefused) as refused:
        sandbox.control("POST", "codes", {"wallet": "wechat", **members})
    assert (refused.value.status, refused.value.field) == (400, "ending")


# ---- magic values ------------------------------------------------------------------------------------------------


def test_the_endings_are_those_of_barcode_payments() -> None:
    assert alipay.PAY_OR_WAIT | wechat.MICROPAY | {"0000"} == magic.ENDINGS


def test_the_documented_responses_are_the_wallets_own() -> None:
    rows = {code: [cell.strip(" `") for cell in row.split("|")] for code, row in table_of_magic()}
    waits = dict.fromkeys(alipay.WAITS, "waits")
    columns: list[Mapping[str, str]] = [
        alipay.PAY | waits,
        error_of(wechat.SWIPE | wechat.DECLINED) | {"1145": "USERPAYING"},
        error_of(wechat.OPEN),
        alipay.REFUND,
        error_of(wechat.REFUND),
    ]
    assert set(rows) == {code for column in columns for code in column}
    assert rows == {code: [column.get(code, "") for column in columns] for code in rows}


def table_of_magic() -> list[tuple[str, str]]:
    text = PAGE.split("## Magic values", 1)[1].split("###", 1)[0]
    return re.findall(r"^\| (\d{4}) \|(.*)\|$", text, re.MULTILINE)


def error_of(answers: wechat.Answers) -> dict[str, str]:
    return {code: err_code or text for code, (err_code, text) in answers.items()}


def test_no_issued_code_has_a_magic_ending_by_chance() -> None:
    """20 of 10,000 endings are magic: of this many random codes, about a hundred would have one."""
    endings = {_random_code("28", None)[-4:] for _ in range(50_000)}
    assert len(endings) > 9_000
    assert not endings & magic.ENDINGS


def test_a_code_with_an_ending_is_valid_for_one_order(sandbox: Sandbox) -> None:
    shop = wechat_shop.shop(sandbox)
    code = sandbox.control("POST", "codes", {"wallet": "wechat", "ending": "0000"})["auth_code"]
    assert re.fullmatch(r"13\d{12}0000", code)
    assert shop.scan_code(code)["result_code"] == "SUCCESS"
    assert shop.scan_code(code).error == "AUTH_CODE_ERROR"


def test_a_magic_code_can_be_resolved_by_every_shop(sandbox: Sandbox) -> None:
    for label in ("demo", "wechat_only"):
        shop = wechat_shop.shop(sandbox, label)
        code = "131111222233330000"
        sign_type = shop.account["sign_type"]
        members = shop.call("/tools/authcodetoopenid", sign_type, auth_code=code)
        assert members["openid"] == wechat_shop.openid(sandbox, "chen", shop.account["appid"])


@pytest.mark.parametrize(
    "code",
    ["28111122223333120", "2811112222333312011", "271111222233331201", "28111122223333120１", "x" * 18],
)
def test_a_value_without_the_shape_of_a_code_is_refused(sandbox: Sandbox, code: str) -> None:
    paid = alipay_shop.shop(sandbox, "offline").pay_spot(code, alipay_shop.new_number())
    assert paid["error"] == "SOUNDWAVE_PARSER_FAIL"


def test_a_declined_payment_at_wechat_leaves_an_order_to_reverse(sandbox: Sandbox) -> None:
    shop, order = wechat_shop.shop(sandbox), wechat_shop.new_number()
    for ending in ("2007", "1147"):
        assert shop.scan_code(f"13111122223333{ending}", out_trade_no=order).error == "TRADE_ERROR"
        assert shop.state(order) == "PAYERROR"
    assert shop.reverse(order)["result_code"] == "SUCCESS"


def test_a_refusal_at_wechat_leaves_no_order_whatever_the_amount(sandbox: Sandbox) -> None:
    shop, order = wechat_shop.shop(sandbox), wechat_shop.new_number()
    refused = shop.scan_code("131111222233331201", out_trade_no=order, total_fee=992007)
    assert refused.error == "NOTENOUGH"
    assert shop.query(order).error == "ORDERNOTEXIST"


# ---- strict ------------------------------------------------------------------------------------------------------


@pytest.fixture
def strict(profiled: Sandbox) -> Sandbox:
    put(profiled, "strict")
    return profiled


def test_strict_has_no_magic_values(strict: Sandbox) -> None:
    shop = wechat_shop.shop(strict)
    assert shop.scan_code("131111222233330000").error == "AUTH_CODE_INVALID"
    assert shop.scan_code(strict.code(wallet="wechat"), total_fee=991201)["result_code"] == "SUCCESS"


def test_a_strict_refund_of_wechat_takes_twenty_minutes(strict: Sandbox) -> None:
    shop, order = wechat_shop.shop(strict), wechat_shop.new_number()
    shop.scan_code(strict.code(wallet="wechat"), out_trade_no=order)
    refund = shop.refund(order, 100)["refund_id"]
    strict.advance(1190)
    assert shop.call("/pay/refundquery", refund_id=refund)["refund_status_0"] == "PROCESSING"
    strict.advance(11)
    assert shop.call("/pay/refundquery", refund_id=refund)["refund_status_0"] == "SUCCESS"


def test_two_refunds_of_one_order_are_a_minute_apart_and_repeats_are_not_counted(strict: Sandbox) -> None:
    shop, order, number = wechat_shop.shop(strict), wechat_shop.new_number(), wechat_shop.new_number("R")
    other = wechat_shop.new_number()
    for number_of_order in (order, other):
        shop.scan_code(strict.code(wallet="wechat"), out_trade_no=number_of_order)
    first = shop.refund(order, 100, out_refund_no=number)
    assert shop.refund(order, 100).error == "FREQUENCY_LIMITED"
    assert shop.refund(order, 100, out_refund_no=number)["refund_id"] == first["refund_id"]
    assert shop.refund(other, 100)["result_code"] == "SUCCESS"
    strict.advance(61)
    assert shop.refund(order, 100)["result_code"] == "SUCCESS"


def test_an_order_is_not_closed_in_its_first_five_minutes(strict: Sandbox) -> None:
    shop, order = wechat_shop.shop(strict), wechat_shop.new_number()
    shop.order(out_trade_no=order)
    strict.advance(280)
    assert shop.call("/pay/closeorder", out_trade_no=order).error == "TRADE_STATE_ERROR"
    assert shop.state(order) == "NOTPAY"
    strict.advance(21)
    assert shop.call("/pay/closeorder", out_trade_no=order)["result_code"] == "SUCCESS"


def test_a_payment_younger_than_fifteen_seconds_cannot_be_reversed_yet(strict: Sandbox) -> None:
    shop, order = wechat_shop.shop(strict), wechat_shop.new_number()
    shop.scan_code(strict.code(wallet="wechat"), out_trade_no=order)
    early = shop.reverse(order)
    assert (early["result_code"], early["recall"], shop.state(order)) == ("SUCCESS", "Y", "SUCCESS")
    strict.advance(16)
    assert (shop.reverse(order)["recall"], shop.state(order)) == ("N", "REVOKED")


@pytest.mark.parametrize(
    ("change", "err_code"),
    [
        ({"mch_id": "1"}, "MCHID_NOT_EXIST"),
        ({"sub_mch_id": "1"}, "MCHID_NOT_EXIST"),
        ({"appid": "wx0000000000000000"}, "APPID_NOT_EXIST"),
        ({"sub_appid": "wx0000000000000000"}, "APPID_NOT_EXIST"),
        ({"sub_appid": "another shop's"}, "APPID_MCHID_NOT_MATCH"),
    ],
)
def test_unknown_senders_are_refused_with_an_err_code(
    strict: Sandbox, change: dict[str, str], err_code: str
) -> None:
    shop = wechat_shop.shop(strict)
    if change.get("sub_appid") == "another shop's":
        change = {"sub_appid": strict.account("wechat", "wechat_only")["sub_appid"]}
    members = shop.signed(out_trade_no="1") | change
    reply = shop.send("/pay/orderquery", wechat_shop.as_xml(members)).fields
    assert (reply["return_code"], reply["result_code"], reply["err_code"]) == ("SUCCESS", "FAIL", err_code)
    assert "sign" not in reply
    put(strict, "sdk")
    lenient = shop.send("/pay/orderquery", wechat_shop.as_xml(members))
    assert lenient.error == "商户号mch_id与appid不匹配"


def test_online_refunds_of_one_pid_are_three_seconds_apart(strict: Sandbox) -> None:
    shop = alipay_shop.shop(strict, "online")
    strict.advance(4)
    orders = [alipay_shop.new_number(), alipay_shop.new_number()]
    for order in orders:
        alipay_shop.confirm(strict, url=shop.pc_link(order))
    assert shop.refund_online(orders[0], "A" + orders[0], "1.00").error is None
    too_early = shop.refund_online(orders[1], "A" + orders[1], "1.00")
    assert too_early.error == "REPEATED_REFUNDMENT_REQUEST_TO_ONE_TRADE"
    assert shop.refund_online(orders[0], "A" + orders[0], "1.00").error is None
    strict.advance(4)
    assert shop.refund_online(orders[1], "A" + orders[1], "1.00").error is None


def test_in_store_refunds_pause_at_night(strict: Sandbox) -> None:
    shop, order = alipay_shop.shop(strict, "offline"), alipay_shop.new_number()
    to_midnight(strict, shop)
    assert shop.pay_spot(strict.code(), order)["result_code"] == "SUCCESS"
    assert shop.refund_spot(order, "N1" + order, "1.00")["error"] == "TRADE_STATUS_ERROR"
    assert shop.refund_spot(order, "N2" + order, "1.00", is_sync="N")["result_code"] == "SUCCESS"
    strict.advance(89 * 60)
    assert shop.refund_spot(order, "N1" + order, "1.00")["error"] == "TRADE_STATUS_ERROR"
    strict.advance(60)
    assert shop.refund_spot(order, "N1" + order, "1.00")["result_code"] == "SUCCESS"


def to_midnight(sandbox: Sandbox, shop: alipay_shop.Shop) -> None:
    """Moves the clock to the first half minute of a day in Beijing."""
    now = shop.now()
    sandbox.advance(86_400 + 10 - (now.hour * 3600 + now.minute * 60 + now.second))


def test_rates_can_be_queried_a_hundred_times_a_day(strict: Sandbox) -> None:
    shop, other = alipay_shop.shop(strict, "online"), alipay_shop.shop(strict, "offline")
    to_midnight(strict, shop)
    signed = shop.signed("forex_rate_file", {})
    for _ in range(100):
        assert b"|USD|" in shop.post(signed).body
    assert shop.post(signed).body == b"System exception"
    assert b"|USD|" in other.post(other.signed("forex_rate_file", {})).body
    strict.advance(86_400)
    assert b"|USD|" in shop.post(signed).body


def test_empty_values_must_not_be_signed(strict: Sandbox) -> None:
    shop = alipay_shop.shop(strict, "online")
    fields = {"service": "forex_rate_file", "partner": shop.pid, "_input_charset": "utf-8", "memo": ""}
    for with_empties, error in ((False, None), (True, "ILLEGAL_SIGN")):
        sign = shop.sign(alipay_shop.text_of(fields, with_empties=with_empties), "MD5")
        body = shop.post({**fields, "sign": sign, "sign_type": "MD5"}).body
        assert (error or "|USD|").encode() in body
