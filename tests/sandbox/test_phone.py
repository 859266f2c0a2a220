"""The phone at `/`: its page without a script, its forms, and the payer's actions."""

import html
import re

import pytest

from tael_sandbox.codes import BEHAVIOURS
from tael_sandbox.fault_injection.faults import KINDS
from tael_sandbox.phone import texts
from tests.sandbox import alipay_shop, wechat_shop
from tests.sandbox.alipay_shop import balance, new_number
from tests.sandbox.conftest import Sandbox
from tests.sandbox.handset import Handset, fetch, text_of

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
RETURN_URL = "https://merchant.example/back?shop=7"
SCRIPT = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@pytest.fixture
def online(sandbox: Sandbox) -> alipay_shop.Shop:
    return alipay_shop.shop(sandbox, "online")


@pytest.fixture
def offline(sandbox: Sandbox) -> alipay_shop.Shop:
    return alipay_shop.shop(sandbox, "offline")


@pytest.fixture
def wechat(sandbox: Sandbox) -> wechat_shop.Shop:
    return wechat_shop.shop(sandbox)


def test_the_page_and_its_files_are_its_own_and_its_policy_is_strict(sandbox: Sandbox) -> None:
    page = fetch(sandbox, "/")
    assert (page.status, page.headers["Content-Security-Policy"]) == (200, POLICY)
    assert page.headers["Cache-Control"] == "no-store"
    sources = re.findall(r'(?:src|href|action)="([^"]*)"', page.body)
    assert len(sources) > 10
    assert [source for source in sources if not source.startswith(("/", "#", "data:image/svg+xml,"))] == []
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script>", page.body)
    for name, kind in (("phone.css", "text/css"), ("phone.js", "text/javascript")):
        file = fetch(sandbox, f"/phone/{name}")
        assert file.headers["Content-Type"].startswith(kind)
        assert "://" not in file.body
    assert fetch(sandbox, "/phone/other.js").status == 404


@pytest.mark.parametrize(
    ("query", "wallet", "payers", "balance"),
    [
        ("", "alipay", ("Ada Wong", "Bao Li", "Gil Ng"), "CNY"),
        ("?wallet=alipay_hk", "alipay_hk", ("Jade Yip", "Kit Tam", "Lok Mak"), "HKD"),
        ("?wallet=wechat", "wechat", ("Chen Yu", "Dora Lam", "Hana Sun"), "CNY"),
        ("?wallet=wechat_hk", "wechat_hk", ("Emil Ho", "Fay Chan", "Ivy Kwok"), "HKD"),
        ("?payer=fay", "wechat_hk", ("Fay Chan", "Emil Ho", "Ivy Kwok"), "HKD"),
    ],
)
def test_each_wallet_and_payer_has_a_phone(
    sandbox: Sandbox, query: str, wallet: str, payers: tuple[str, ...], balance: str
) -> None:
    page = fetch(sandbox, f"/{query}")
    assert f'data-wallet="{wallet}"' in page.body
    assert f'aria-current="true">{payers[0]}<' in page.body
    assert all(f">{payer}</a>" in page.body for payer in payers[1:])
    assert f"Balance {balance} " in text_of(page.body)


def test_every_behaviour_and_every_fault_has_a_text() -> None:
    assert list(texts.BEHAVIOURS) == list(BEHAVIOURS)
    assert set(texts.FAULTS) == set(KINDS)


def test_a_code_is_shown_with_its_number_and_two_drawings_until_a_shop_uses_it(
    sandbox: Sandbox, offline: alipay_shop.Shop
) -> None:
    phone, order = Handset(sandbox, "bao"), new_number()
    code = phone.code()
    assert re.fullmatch(r"28\d{16}", code)
    page = fetch(sandbox, f"/?payer=bao&code={code}")
    assert f"{code[:4]} {code[4:8]} {code[8:12]} {code[12:16]} {code[16:]}" in page.body
    assert 'aria-label="Barcode"' in page.body
    assert 'aria-label="QR code"' in page.body
    assert offline.pay_spot(code, order)["result_code"] == "SUCCESS"
    page = fetch(sandbox, f"/?payer=bao&code={code}")
    assert 'aria-label="Barcode"' not in page.body
    assert f"A shop used this code {code[:4]}" in text_of(page.body)
    assert order in page.body
    assert "A shop used this code" not in fetch(sandbox, f"/?payer=ada&code={code}").body


def test_a_code_expires_after_a_day(own_sandbox: Sandbox) -> None:
    phone = Handset(own_sandbox)
    phone.code()
    assert "Show this to the shop" in phone.send("clock", advance_s="3600")["code"]
    assert "This code has expired" in phone.send("clock", advance_s="86400")["code"]


def test_an_alipay_link_is_opened_and_paid_and_returns_to_the_merchant(
    sandbox: Sandbox, online: alipay_shop.Shop
) -> None:
    phone, order, before = Handset(sandbox, "bao"), new_number(), balance(sandbox, "bao")
    seen = phone.scan(f"  {online.pc_link(order, return_url=RETURN_URL)}\n")
    assert (seen.status, seen["link-note"]) == (200, "")
    for shown in ("Demo Shop", "Two tickets", "HKD 120.00", "CNY 109.48", order, "WAIT_BUYER_PAY"):
        assert shown in seen["order"]
    wrong = phone.act("wrong_password")
    assert (wrong.status, "Wrong password" in wrong["order-note"]) == (200, True)
    left = phone.act("cancel")
    assert "without paying" in left["order-note"]
    assert "Pay with password" in left["order"]
    assert balance(sandbox, "bao") == before
    paid = phone.act("pay")
    assert paid["order-note"] == "Paid HKD 120.00. Back to the merchant"
    back = re.search(r'href="([^"]+)"', paid.region("order-note"))
    assert back is not None
    assert html.unescape(back[1]).startswith(f"{RETURN_URL}&currency=HKD&out_trade_no={order}&")
    assert "TRADE_FINISHED" in paid["order"]
    assert "Pay with password" not in paid["order"]
    assert paid["history"].startswith("Demo Shop − CNY 109.48 Two tickets HKD 120.00 Paid")
    assert before - balance(sandbox, "bao") == 10948
    again = phone.act("pay")
    assert (again.status, "takes no payment any more" in again["order-note"]) == (400, True)
    assert before - balance(sandbox, "bao") == 10948


def test_without_a_return_url_no_link_back_is_shown(sandbox: Sandbox, online: alipay_shop.Shop) -> None:
    phone = Handset(sandbox)
    phone.scan(online.wap_link(new_number()))
    assert phone.act("pay")["order-note"] == "Paid HKD 120.00."


def test_a_wechat_code_takes_hong_kong_money_from_a_hong_kong_payer(
    sandbox: Sandbox, wechat: wechat_shop.Shop
) -> None:
    phone, before = Handset(sandbox, "emil"), balance(sandbox, "emil")
    seen = phone.scan(wechat.order()["code_url"])["order"]
    assert "HKD 88.00 CNY 80.28" in seen
    assert "From your balance HKD 88.00" in seen
    assert phone.act("pay")["order-note"] == "Paid HKD 88.00."
    assert before - balance(sandbox, "emil") == 8800


def test_a_prepay_id_is_opened_and_only_its_owner_can_pay(sandbox: Sandbox, wechat: wechat_shop.Shop) -> None:
    owner = wechat_shop.openid(sandbox, "chen", wechat.account["sub_appid"])
    made = wechat.order(
        trade_type="JSAPI", sub_appid=wechat.account["sub_appid"], sub_openid=owner, device_info="WEB"
    )
    link = f"prepay_id={made['prepay_id']}"
    stranger, phone = Handset(sandbox, "dora"), Handset(sandbox, "chen")
    assert "CNY 80.28" in stranger.scan(link)["order"]
    refused = stranger.act("pay")
    assert (refused.status, refused["order-note"]) == (400, "Only chen can pay this trade.")
    phone.scan(link)
    assert phone.act("pay")["order-note"] == "Paid HKD 88.00."


def test_a_barcode_waits_for_its_payer_only(
    sandbox: Sandbox, offline: alipay_shop.Shop, wechat: wechat_shop.Shop
) -> None:
    for payer, other, name, sell in (
        ("ada", "bao", "HKD 39.25", lambda code: offline.pay_spot(code, new_number())),
        ("chen", "dora", "HKD 88.00", lambda code: wechat.scan_code(code)),
    ):
        phone = Handset(sandbox, payer)
        sell(phone.code("password"))
        shown = phone.send("faults", action="clear")
        assert f"Waiting for you Demo Shop {name}" in shown["waiting"]
        assert Handset(sandbox, other).send("faults", action="clear")["waiting"] == ""
        number = re.findall(r'name="number" value="(\d+)"', shown.region("waiting"))[0]
        assert "Wrong password" in phone.act("wrong_password", number=number)["waiting-note"]
        paid = phone.act("pay", number=number)
        assert (paid["waiting"], paid["waiting-note"]) == ("", f"Paid {name}.")
        sell(phone.code("password"))
        shown = phone.send("faults", action="clear")
        number = re.findall(r'name="number" value="(\d+)"', shown.region("waiting"))[0]
        declined = phone.act("cancel", number=number)
        assert (declined["waiting"], declined["waiting-note"]) == ("", "Declined. Nothing was paid.")
        assert "Not paid" in declined["history"]


def test_insufficient_funds_are_explained_and_another_payer_can_pay(
    sandbox: Sandbox, online: alipay_shop.Shop, wechat: wechat_shop.Shop
) -> None:
    for poor, rich, shown_balance, link in (
        ("gil", "bao", "CNY 5.00", online.pc_link(new_number())),
        ("gil", "bao", "CNY 5.00", online.wap_link(new_number())),
        ("hana", "dora", "CNY 5.00", wechat.order()["code_url"]),
        ("ivy", "fay", "HKD 5.00", wechat.order()["code_url"]),
    ):
        phone = Handset(sandbox, poor)
        phone.scan(link)
        refused = phone.act("pay")
        assert refused.status == 400
        assert refused["order-note"] == f"Not enough money, nothing was paid. The balance is {shown_balance}."
        assert "Pay with password" in refused["order"]
        assert balance(sandbox, poor) == 500
        phone = Handset(sandbox, rich)
        phone.scan(link)
        assert phone.act("pay")["order-note"].startswith("Paid HKD ")


def test_a_poor_payer_can_spend_the_whole_balance(own_sandbox: Sandbox) -> None:
    phone = Handset(own_sandbox, "ivy")
    phone.scan(wechat_shop.shop(own_sandbox).order(total_fee="500")["code_url"])
    assert phone.act("pay")["order-note"] == "Paid HKD 5.00."
    assert balance(own_sandbox, "ivy") == 0


def test_history_distinguishes_refunds_and_reversals(sandbox: Sandbox, wechat: wechat_shop.Shop) -> None:
    phone, order, reversed_order = Handset(sandbox, "fay"), new_number(), new_number()
    wechat.scan_code(sandbox.code("pays", "wechat_hk", "fay"), out_trade_no=order)
    wechat.refund(order, 300)
    wechat.refund(order, 8500)
    wechat.scan_code(sandbox.code("pays", "wechat_hk", "fay"), out_trade_no=reversed_order)
    wechat.reverse(reversed_order)
    sandbox.advance(2)
    history = phone.send("faults", action="clear")["history"]
    assert "+ HKD 3.00" in history
    assert "+ HKD 85.00" in history
    assert history.count("Refund SUCCESS") == 2
    assert "Refunded REFUND" in history
    assert "Reversed, money returned REVOKED" in history
    offline = alipay_shop.shop(sandbox, "offline")
    partly, undone = new_number(), new_number()
    for number in (partly, undone):
        offline.pay_spot(sandbox.code("pays", "alipay", "bao"), number)
    offline.refund_spot(partly, new_number(), "9.25")
    offline.cancel(undone)
    history = Handset(sandbox, "bao").send("faults", action="clear")["history"]
    assert "Paid, HKD 9.25 refunded TRADE_SUCCESS" in history
    assert "+ CNY 8.44" in history  # 9.25 x 0.9123 = 8.4388
    assert "Reversed, money returned TRADE_CLOSED" in history


def test_the_clock_moves_by_named_steps(own_sandbox: Sandbox) -> None:
    phone = Handset(own_sandbox)
    moved = phone.send("clock", advance_s="86400")
    assert moved["tester-note"] == "The clock was moved forward by 1 day."
    moved = phone.send("clock", advance_s="3600")
    assert "ahead of real time by 1 day 1 hour" in moved["clock"]
    assert own_sandbox.control("GET", "clock")["offset_s"] == 90_000
    assert phone.send("clock", advance_s="1").status == 400


def test_faults_are_added_one_at_a_time_and_cleared_together(
    sandbox: Sandbox, wechat: wechat_shop.Shop
) -> None:
    phone = Handset(sandbox, "chen")
    assert "WeChat Pay: 1 remaining" in phone.send("faults", action="add", kind="http_500")["faults"]
    assert wechat.query(new_number()).status == 500
    shown = phone.send("faults", action="add", kind="slow")
    assert (
        shown["faults"] == "HTTP 500 WeChat Pay: 0 remaining Response after 3 seconds WeChat Pay: 1 remaining"
    )
    assert [(row["kind"], row["hits"]) for row in sandbox.control("GET", "faults")] == [
        ("http_500", 1),
        ("slow", 0),
    ]
    sandbox.restart()
    assert [row["hits"] for row in sandbox.control("GET", "faults")] == [1, 0]
    assert phone.send("faults", action="clear")["faults"] == "No faults are on."
    assert sandbox.control("GET", "faults") == []


def test_opening_a_form_s_address_redirects_to_the_phone(sandbox: Sandbox) -> None:
    for form in ("code", "scan", "act", "clock", "faults"):
        page = fetch(sandbox, f"/phone/{form}")
        assert (page.status, 'id="phone"' in page.body) == (200, True)


def test_without_a_script_the_same_forms_return_the_page(sandbox: Sandbox, online: alipay_shop.Shop) -> None:
    link = online.pc_link(new_number(), return_url=RETURN_URL)
    opened = fetch(sandbox, "/phone/scan", {"payer": "ada", "link": link})
    assert f'name="opened" value="{html.escape(link)}"' in opened.body
    paid = fetch(sandbox, "/phone/act", {"payer": "ada", "opened": link, "action": "pay"})
    assert "Paid HKD 120.00. Back to the merchant" in text_of(paid.body)


def test_texts_of_merchants_are_shown_as_text(
    sandbox: Sandbox, online: alipay_shop.Shop, wechat: wechat_shop.Shop
) -> None:
    phone = Handset(sandbox, "bao")
    phone.scan(online.pc_link(new_number(), subject=SCRIPT, return_url=RETURN_URL))
    paid = phone.act("pay")
    chen = Handset(sandbox, "chen")
    wechat.scan_code(chen.code("password"), body=SCRIPT)
    waiting = chen.send("faults", action="clear")
    for region in (paid.region("order"), paid.region("history"), waiting.region("waiting")):
        assert html.unescape(region).count(SCRIPT) >= 1
        assert "<script" not in region
        assert "<img" not in region
    chen.act("cancel", number=re.findall(r'name="number" value="(\d+)"', waiting.region("waiting"))[0])
