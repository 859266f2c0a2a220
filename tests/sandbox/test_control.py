"""The control API: its responses, and that no request causes HTTP 500."""

import json
import math
import re
import signal
from datetime import datetime
from typing import Any

import pytest

from tests.sandbox import wechat_shop
from tests.sandbox.alipay_shop import balance, confirm, new_number, shop
from tests.sandbox.conftest import ControlRefused, Sandbox


def test_codes_look_like_the_wallets_codes(sandbox: Sandbox) -> None:
    shapes = {
        "alipay": r"28\d{16}",
        "alipay_hk": r"29\d{16}",
        "wechat": r"13\d{16}",
        "wechat_hk": r"15\d{16}",
    }
    for wallet, shape in shapes.items():
        codes = {sandbox.code(wallet=wallet) for _ in range(5)}
        assert len(codes) == 5
        assert all(re.fullmatch(shape, code) for code in codes)


@pytest.mark.parametrize(
    ("name", "members", "field"),
    [
        ("codes", {}, "wallet"),
        ("codes", {"wallet": "paypal"}, "wallet"),
        ("codes", {"wallet": 7}, "wallet"),
        ("codes", {"wallet": "alipay", "behaviour": "explodes"}, "behaviour"),
        ("codes", {"wallet": "alipay", "payer": "nobody"}, "payer"),
        ("codes", {"wallet": "alipay", "payer": "chen"}, "payer"),
        ("codes", {"wallet": "alipay_hk", "payer": "ada"}, "payer"),
        ("codes", {"wallet": "alipay", "payer": ["ada"]}, "payer"),
        ("scan", {}, "url"),
        ("scan", {"url": ""}, "url"),
        ("scan", {"url": "http://["}, "url"),
        ("scan", {"url": "https://elsewhere.example/x"}, "url"),
        ("scan", {"url": "weixin://wxpay/bizpayurl?pr=nothing"}, "url"),
        ("confirm", {"action": "pay"}, "trade"),
        ("confirm", {"trade": "x", "action": "steal"}, "action"),
        ("confirm", {"trade": "no such order", "action": "pay"}, "trade"),
        ("confirm", {"url": "https://elsewhere.example/x", "action": "pay"}, "url"),
        ("clock", {}, "advance_s"),
        ("clock", {"advance_s": "1"}, "advance_s"),
        ("clock", {"advance_s": True}, "advance_s"),
        ("clock", {"advance_s": -1}, "advance_s"),
        ("clock", {"advance_s": math.nan}, "advance_s"),
        ("clock", {"advance_s": math.inf}, "advance_s"),
        ("clock", {"advance_s": 1e300}, "advance_s"),
        ("clock", {"advance_s": 10**400}, "advance_s"),
    ],
)
def test_an_invalid_call_names_the_field(
    sandbox: Sandbox, name: str, members: dict[str, Any], field: str
) -> None:
    with pytest.raises(ControlRefused) as refused:
        sandbox.control("POST", name, members)
    assert (refused.value.status, refused.value.field) == (400, field)
    assert refused.value.text


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"1", b"null", b"\xff\xfe", b"[" * 50_000, b'{"a": "' + b"a" * 70_000 + b'"}']
)
@pytest.mark.parametrize("name", ["codes", "scan", "confirm", "clock"])
def test_an_unreadable_body_is_refused(sandbox: Sandbox, name: str, body: bytes) -> None:
    status, answer = sandbox.call("POST", f"/control/{name}", body)
    assert status == 400
    assert json.loads(answer)["field"] is None


def test_unknown_paths_and_methods_are_refused_in_json(sandbox: Sandbox) -> None:
    for method, path, expected in (
        ("GET", "/control/nothing", 404),
        ("GET", "/control/codes", 405),
        ("POST", "/control/book", 405),
        ("DELETE", "/control/clock", 405),
    ):
        status, answer = sandbox.call(method, path)
        assert status == expected
        assert set(json.loads(answer)) == {"error", "field"}


def test_the_clock_moves_forward_and_returns_its_offset(sandbox: Sandbox) -> None:
    before = sandbox.control("GET", "clock")
    after = sandbox.control("POST", "clock", {"advance_s": 90.5})
    assert after["offset_s"] == before["offset_s"] + 90.5
    passed = datetime.fromisoformat(after["now"]) - datetime.fromisoformat(before["now"])
    assert 90.5 <= passed.total_seconds() < 100
    assert (sandbox.folder / "clock").stat().st_size == 8


def test_every_wallet_has_two_rich_payers_and_one_poor_one(own_sandbox: Sandbox) -> None:
    rows = own_sandbox.control("GET", "payers")
    assert all(set(row) == {"payer", "wallet", "openids", "balance"} for row in rows)
    assert {row["payer"]: (row["wallet"], row["balance"]) for row in rows} == {
        "ada": ("alipay", 10**12),
        "bao": ("alipay", 10**12),
        "gil": ("alipay", 500),
        "jade": ("alipay_hk", 10**12),
        "kit": ("alipay_hk", 10**12),
        "lok": ("alipay_hk", 500),
        "chen": ("wechat", 10**12),
        "dora": ("wechat", 10**12),
        "hana": ("wechat", 500),
        "emil": ("wechat_hk", 10**12),
        "fay": ("wechat_hk", 10**12),
        "ivy": ("wechat_hk", 500),
    }


@pytest.mark.parametrize(("wallet", "poor", "first"), [("alipay", "gil", "ada"), ("wechat", "hana", "chen")])
def test_the_default_payer_is_never_the_poor_one(
    own_sandbox: Sandbox, wallet: str, poor: str, first: str
) -> None:
    order = new_number()
    if wallet == "alipay":
        link = shop(own_sandbox, "online").pc_link(order)
    else:
        link = wechat_shop.shop(own_sandbox).order(out_trade_no=order)["code_url"]
    with pytest.raises(ControlRefused) as refused:
        confirm(own_sandbox, url=link, payer=poor)
    assert refused.value.field == "payer"
    before = balance(own_sandbox, first)
    assert confirm(own_sandbox, url=link)["trade"]["order"] == order
    assert balance(own_sandbox, first) < before
    assert balance(own_sandbox, poor) == 500


@pytest.mark.parametrize(
    ("wallet", "poor"), [("alipay", "gil"), ("alipay_hk", "lok"), ("wechat", "hana"), ("wechat_hk", "ivy")]
)
def test_a_poor_payer_s_barcode_is_refused_for_insufficient_funds(
    sandbox: Sandbox, wallet: str, poor: str
) -> None:
    code = sandbox.code(wallet=wallet, payer=poor)
    is_alipay = wallet.startswith("alipay")
    if is_alipay:
        refused = shop(sandbox, "offline").pay_spot(code, new_number())["error"]
    else:
        refused = wechat_shop.shop(sandbox).scan_code(code)["err_code"]
    assert refused == ("BUYER_BALANCE_NOT_ENOUGH" if is_alipay else "NOTENOUGH")
    assert balance(sandbox, poor) == 500


CURRENCIES = ("HKD", "CNY", "USD", "JPY", "KRW", "SGD", "EUR", "GBP", "AUD", "THB")


def test_accounts_are_sorted_by_shop_with_demo_first(sandbox: Sandbox) -> None:
    rows = sandbox.control("GET", "accounts")
    assert [(row["shop"], row["wallet"], row["scene"]) for row in rows] == [
        ("demo", "alipay", "online"),
        ("demo", "alipay", "offline"),
        ("demo", "wechat", "both"),
        ("wechat_only", "wechat", "both"),
        ("chain_east", "alipay", "online"),
        ("chain_east", "alipay", "offline"),
        ("chain_east", "wechat", "both"),
        ("chain_west", "alipay", "online"),
        ("chain_west", "alipay", "offline"),
        ("chain_west", "wechat", "both"),
        *(
            (f"in_{currency.lower()}", wallet, scene)
            for currency in CURRENCIES
            for wallet, scene in (("alipay", "online"), ("alipay", "offline"), ("wechat", "both"))
        ),
        ("direct", "wechat", "both"),
    ]
    assert all(re.fullmatch("[a-z0-9]{32}", row["key"]) for row in rows)
    assert [row["sign_type"] for row in rows] == [
        *("MD5", "MD5", "MD5"),
        "HMAC-SHA256",
        *("RSA", "RSA", "HMAC-SHA256"),
        *("RSA2", "RSA2", "MD5"),
        *["MD5"] * 3 * len(CURRENCIES),
        "HMAC-SHA256",
    ]
    assert {row["shop"]: row["currency"] for row in rows if row["currency"] != "HKD"} == {
        f"in_{currency.lower()}": currency for currency in CURRENCIES[1:]
    }
    assert rows[0]["gateway_url"] == sandbox.http + "/gateway.do"
    assert rows[0]["gateway_tls_url"] == sandbox.tls + "/gateway.do"
    assert len({row["ca_pem"] for row in rows}) == 1
    assert len({row["pid"] for row in rows if row["wallet"] == "alipay"}) == 2 * (3 + len(CURRENCIES))


def test_every_wechat_account_names_its_three_appids(sandbox: Sandbox) -> None:
    rows = [row for row in sandbox.control("GET", "accounts") if row["wallet"] == "wechat"]
    names = {"provider": "sub_appid", "direct": "appid"}
    appids = [row[name] for row in rows for name in (names[row["kind"]], "mini_appid", "app_appid")]
    assert len(set(appids)) == 3 * (5 + len(CURRENCIES))
    assert all(re.fullmatch("wx[0-9a-f]{16}", appid) for appid in appids)


def test_a_direct_merchant_has_the_same_members_and_no_sub_merchant(sandbox: Sandbox) -> None:
    rows = {row["shop"]: row for row in sandbox.control("GET", "accounts") if row["wallet"] == "wechat"}
    direct = rows.pop("direct")
    assert {row["kind"] for row in rows.values()} == {"provider"}
    assert set(direct) == set(rows["demo"])
    assert (direct["kind"], direct["sub_mch_id"], direct["sub_appid"]) == ("direct", "", "")
    assert all(value for name, value in direct.items() if name not in ("sub_mch_id", "sub_appid"))
    for name in ("appid", "mch_id", "key", "cert_pem", "sub_secret"):
        assert direct[name] not in {row[name] for row in rows.values()}


def test_a_payer_has_an_openid_under_each_appid_except_those_of_apps(sandbox: Sandbox) -> None:
    accounts = [row for row in sandbox.control("GET", "accounts") if row["wallet"] == "wechat"]
    names = ("appid", "sub_appid", "mini_appid")
    for row in sandbox.control("GET", "payers"):
        openids = row["openids"]
        appids = {each[name] for each in accounts for name in names if each[name]}
        assert set(openids) == (set() if row["wallet"].startswith("alipay") else appids)
        assert len(set(openids.values())) == len(openids)


def test_private_keys_are_for_the_owner_only(sandbox: Sandbox) -> None:
    private = [sandbox.folder / "shops.json", *sandbox.folder.glob("certificates/*.key.pem")]
    private += sandbox.folder.glob("certificates/*.p12")
    assert len(private) == 1 + 5 + 3  # of the CA, the server, two service providers and a direct merchant
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)


def test_the_book_can_be_limited_to_a_wallet(sandbox: Sandbox) -> None:
    order = new_number()
    offline = shop(sandbox, "offline")
    assert offline.pay_spot(sandbox.code(), order)["result_code"] == "SUCCESS"
    rows = sandbox.control("GET", "book")["trades"]
    (row,) = [row for row in rows if row["order"] == order]
    assert set(row) == {"wallet", "order", "trade", "state", "amount", "currency", "refunded"}
    assert row["wallet"] == "alipay"
    assert sandbox.control("GET", "book?wallet=wechat") == {"trades": [], "refunds": []}
    with pytest.raises(ControlRefused) as refused:
        sandbox.control("GET", "book?wallet=paypal")
    assert refused.value.field == "wallet"


def test_a_replaced_key_counts_at_once_and_the_old_one_is_refused(sandbox: Sandbox) -> None:
    """The shared key of WeChat Pay and of an MD5 contract, and the private key of an RSA2 contract."""
    before = sandbox.control("GET", "accounts")
    direct = wechat_shop.shop(sandbox, "direct")
    given = sandbox.control("POST", "keys", {"wallet": "wechat", "shop": "direct", "key": "k" * 32})
    assert [(row["shop"], row["key"]) for row in given] == [("direct", "k" * 32)]
    assert (
        "签名错误"
        in direct.send("/pay/orderquery", wechat_shop.as_xml(direct.signed(out_trade_no="1"))).body.decode()
    )
    assert wechat_shop.shop(sandbox, "direct").query("1")["err_code"] == "ORDERNOTEXIST"
    for label, name in (("in_thb", "key"), ("chain_west", "private_key_pem")):
        old = shop(sandbox, "offline", label)
        rows = sandbox.control("POST", "keys", {"wallet": "alipay", "shop": label})
        assert {(row["shop"], row["scene"]) for row in rows} == {(label, "online"), (label, "offline")}
        new = shop(sandbox, "offline", label)
        assert new.account == old.account | {name: new.account[name]}
        assert new.account[name] != old.account[name]
        query = "alipay.acquire.overseas.query"
        assert old.call(query, partner_trans_id="1").error == "ILLEGAL_SIGN"
        assert new.call(query, partner_trans_id="1")["error"] == "TRADE_NOT_EXIST"
    changed = {("wechat", "direct"), ("alipay", "in_thb"), ("alipay", "chain_west")}
    after = sandbox.control("GET", "accounts")
    assert {(row["wallet"], row["shop"]) for row in after if row not in before} == changed
    with pytest.raises(ControlRefused) as refused:
        sandbox.control("POST", "keys", {"wallet": "alipay", "shop": "chain_west", "key": "k" * 32})
    assert refused.value.field == "key"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_books_clock_and_keys_survive_the_end_of_the_process(
    own_sandbox: Sandbox, number: signal.Signals
) -> None:
    offline = shop(own_sandbox, "offline")
    order, waiting = new_number(), new_number()
    offline.pay_spot(own_sandbox.code(), order)
    code = own_sandbox.code("password")
    offline.pay_spot(code, waiting)
    own_sandbox.advance(60)
    own_sandbox.control("POST", "keys", {"wallet": "wechat", "shop": "demo"})
    seen = [own_sandbox.control("GET", name) for name in ("book", "accounts", "payers")]
    offset = own_sandbox.control("GET", "clock")["offset_s"]
    own_sandbox.restart(number=number)
    assert [own_sandbox.control("GET", name) for name in ("book", "accounts", "payers")] == seen
    assert own_sandbox.control("GET", "clock")["offset_s"] == offset
    assert confirm(own_sandbox, trade=waiting)["state"] == "TRADE_SUCCESS"
    assert balance(own_sandbox, "ada") < 10**12


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_status_zero(own_sandbox: Sandbox, number: signal.Signals) -> None:
    assert own_sandbox.end(number) == 0
