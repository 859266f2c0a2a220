"""The phone at `/`: its page without a script, its forms, and what a payer sees and does."""

import html
import re

import pytest

from tael_sandbox.codes import BEHAVIOURS
from tael_sandbox.fault_injection.faults import KINDS
from tael_sandbox.phone import words
from tests.sandbox import alipay_shop, wechat_shop
from tests.sandbox.alipay_shop import balance, fresh
from tests.sandbox.conftest import Sandbox
from tests.sandbox.handset import Handset, ask, text_of

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
def till(sandbox: Sandbox) -> alipay_shop.Shop:
    return alipay_shop.shop(sandbox, "offline")


@pytest.fixture
def wechat(sandbox: Sandbox) -> wechat_shop.Shop:
    return wechat_shop.shop(sandbox)


def test_the_page_and_its_files_are_its_own_and_its_policy_is_strict(sandbox: Sandbox) -> None:
    page = ask(sandbox, "/")
    assert (page.status, page.headers["Content-Security-Policy"]) == (200, POLICY)
    assert page.headers["Cache-Control"] == "no-store"
    sources = re.findall(r'(?:src|href|action)="([^"]*)"', page.body)
    assert len(sources) > 10
    assert [source for source in sources if not source.startswith(("/", "#", "data:image/svg+xml,"))] == []
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script>", page.body)
    for name, kind in (("phone.css", "text/css"), ("phone.js", "text/javascript")):
        file = ask(sandbox, f"/phone/{name}")
        assert file.headers["Content-Type"].startswith(kind)
        assert "://" not in file.body
    assert ask(sandbox, "/phone/other.js").status == 404


@pytest.mark.parametrize(
    ("query", "wallet", "payers", "balance"),
    [
        ("", "alipay", ("Ada Wong", "Bao Li", "Gil Ng"), "CNY"),
        ("?wallet=wechat", "wechat", ("Chen Yu", "Dora Lam", "Hana Sun"), "CNY"),
        ("?wallet=wechat_hk", "wechat_hk", ("Emil Ho", "Fay Chan", "Ivy Kwok"), "HKD"),
        ("?payer=fay", "wechat_hk", ("Fay Chan", "Emil Ho", "Ivy Kwok"), "HKD"),
    ],
)
def test_each_wallet_and_payer_has_a_phone(
    sandbox: Sandbox, query: str, wallet: str, payers: tuple[str, ...], balance: str
) -> None:
    page = ask(sandbox, f"/{query}")
    assert f'data-wallet="{wallet}"' in page.body
    assert f'aria-current="true">{payers[0]}<' in page.body
    assert all(f">{payer}</a>" in page.body for payer in payers[1:])
    assert f"Balance {balance} " in text_of(page.body)


def test_every_behaviour_and_every_fault_has_words() -> None:
    assert list(words.BEHAVIOURS) == list(BEHAVIOURS)
    assert set(words.FAULTS) == set(KINDS)


def test_a_code_is_shown_with_its_number_and_two_drawings_until_a_shop_takes_it(
    sandbox: Sandbox, till: alipay_shop.Shop
) -> None:
    phone, order = Handset(sandbox, "bao"), fresh()
    code = phone.code()
    assert re.fullmatch(r"28\d{16}", code)
    page = ask(sandbox, f"/?payer=bao&code={code}")
    assert f"{code[:4]} {code[4:8]} {code[8:12]} {code[12:16]} {code[16:]}" in page.body
    assert 'aria-label="Barcode"' in page.body
    assert 'aria-label="QR code"' in page.body
    assert till.pay_spot(code, order)["result_code"] == "SUCCESS"
    page = ask(sandbox, f"/?payer=bao&code={code}")
    assert 'aria-label="Barcode"' not in page.body
    assert f"A shop took this code {code[:4]}" in text_of(page.body)
    assert order in page.body
    assert "A shop took this code" not in ask(sandbox, f"/?payer=ada&code={code}").body


def test_a_code_that_nobody_took_for_a_day_is_too_old(own_sandbox: Sandbox) -> None:
    phone = Handset(own_sandbox)
    phone.code()
    assert "Show this to the shop" in phone.send("clock", advance_s="3600")["code"]
    assert "This code is too old" in phone.send("clock", advance_s="86400")["code"]


def test_an_alipay_link_is_opened_paid_and_leads_back(sandbox: Sandbox, online: alipay_shop.Shop) -> None:
    phone, order, before = Handset(sandbox, "bao"), fresh(), balance(sandbox, "bao")
    seen = phone.scan(f"  {online.pc_link(order, return_url=RETURN_URL)}\n")
    assert (seen.status, seen["link-note"]) == (200, "")
    for shown in ("Demo Shop", "Two tickets", "HKD 120.00", "CNY 109.48", order, "WAIT_BUYER_PAY"):
        assert shown in seen["order"]
    wrong = phone.act("wrong_password")
    assert (wrong.status, "wrong" in wrong["order-note"]) == (200, True)
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


def test_without_a_return_address_no_way_back_is_offered(sandbox: Sandbox, online: alipay_shop.Shop) -> None:
    phone = Handset(sandbox)
    phone.scan(online.wap_link(fresh()))
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


def test_a_barcode_waits_for_its_payer_and_for_nobody_else(
    sandbox: Sandbox, till: alipay_shop.Shop, wechat: wechat_shop.Shop
) -> None:
    for payer, other, name, sell in (
        ("ada", "bao", "HKD 39.25", lambda code: till.pay_spot(code, fresh())),
        ("chen", "dora", "HKD 88.00", lambda code: wechat.scan_code(code)),
    ):
        phone = Handset(sandbox, payer)
        sell(phone.code("password"))
        shown = phone.send("faults", action="clear")
        assert f"Waiting for you Demo Shop {name}" in shown["waiting"]
        assert Handset(sandbox, other).send("faults", action="clear")["waiting"] == ""
        number = re.findall(r'name="number" value="(\d+)"', shown.region("waiting"))[0]
        assert "wrong" in phone.act("wrong_password", number=number)["waiting-note"]
        paid = phone.act("pay", number=number)
        assert (paid["waiting"], paid["waiting-note"]) == ("", f"Paid {name}.")
        sell(phone.code("password"))
        shown = phone.send("faults", action="clear")
        number = re.findall(r'name="number" value="(\d+)"', shown.region("waiting"))[0]
        declined = phone.act("cancel", number=number)
        assert (declined["waiting"], declined["waiting-note"]) == ("", "Declined. Nothing was paid.")
        assert "Not paid" in declined["history"]


def test_too_little_money_is_said_as_a_wallet_says_it_and_somebody_else_can_pay(
    sandbox: Sandbox, online: alipay_shop.Shop, wechat: wechat_shop.Shop
) -> None:
    for poor, rich, told, link in (
        ("gil", "bao", "CNY 5.00", online.pc_link(fresh())),
        ("gil", "bao", "CNY 5.00", online.wap_link(fresh())),
        ("hana", "dora", "CNY 5.00", wechat.order()["code_url"]),
        ("ivy", "fay", "HKD 5.00", wechat.order()["code_url"]),
    ):
        phone = Handset(sandbox, poor)
        phone.scan(link)
        refused = phone.act("pay")
        assert refused.status == 400
        assert refused["order-note"] == f"Not enough money, nothing was paid. The balance is {told}."
        assert "Pay with password" in refused["order"]
        assert balance(sandbox, poor) == 500
        phone = Handset(sandbox, rich)
        phone.scan(link)
        assert phone.act("pay")["order-note"].startswith("Paid HKD ")


def test_a_poor_payer_pays_what_the_balance_reaches(own_sandbox: Sandbox) -> None:
    phone = Handset(own_sandbox, "ivy")
    phone.scan(wechat_shop.shop(own_sandbox).order(total_fee="500")["code_url"])
    assert phone.act("pay")["order-note"] == "Paid HKD 5.00."
    assert balance(own_sandbox, "ivy") == 0


def test_history_tells_refunds_and_reversals_apart(sandbox: Sandbox, wechat: wechat_shop.Shop) -> None:
    phone, order, reversed_order = Handset(sandbox, "fay"), fresh(), fresh()
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
    till = alipay_shop.shop(sandbox, "offline")
    partly, undone = fresh(), fresh()
    for number in (partly, undone):
        till.pay_spot(sandbox.code("pays", "alipay", "bao"), number)
    till.refund_spot(partly, fresh(), "9.25")
    till.cancel(undone)
    history = Handset(sandbox, "bao").send("faults", action="clear")["history"]
    assert "Paid, HKD 9.25 refunded TRADE_SUCCESS" in history
    assert "+ CNY 8.44" in history  # 9.25 x 0.9123 = 8.4388
    assert "Reversed, money returned TRADE_CLOSED" in history


def test_the_clock_moves_by_named_steps(own_sandbox: Sandbox) -> None:
    phone = Handset(own_sandbox)
    moved = phone.send("clock", advance_s="86400")
    assert moved["tester-note"] == "The clock moved on by 1 day."
    moved = phone.send("clock", advance_s="3600")
    assert "ahead of real time by 1 day 1 hour" in moved["clock"]
    assert own_sandbox.control("GET", "clock")["offset_s"] == 90_000
    assert phone.send("clock", advance_s="1").status == 400


def test_faults_are_added_one_by_one_and_cleared_together(sandbox: Sandbox, wechat: wechat_shop.Shop) -> None:
    phone = Handset(sandbox, "chen")
    assert "WeChat Pay: 1 to come" in phone.send("faults", action="add", kind="http_500")["faults"]
    assert wechat.query(fresh()).status == 500
    shown = phone.send("faults", action="add", kind="slow")
    assert (
        shown["faults"] == "HTTP 500 WeChat Pay: 0 to come The answer takes 3 seconds WeChat Pay: 1 to come"
    )
    assert [(row["kind"], row["hits"]) for row in sandbox.control("GET", "faults")] == [
        ("http_500", 1),
        ("slow", 0),
    ]
    sandbox.restart()
    assert [row["hits"] for row in sandbox.control("GET", "faults")] == [1, 0]
    assert phone.send("faults", action="clear")["faults"] == "None is on."
    assert sandbox.control("GET", "faults") == []


def test_a_form_s_address_that_is_opened_leads_to_the_phone(sandbox: Sandbox) -> None:
    for form in ("code", "scan", "act", "clock", "faults"):
        page = ask(sandbox, f"/phone/{form}")
        assert (page.status, 'id="phone"' in page.body) == (200, True)


def test_without_a_script_the_same_forms_answer_with_the_page(
    sandbox: Sandbox, online: alipay_shop.Shop
) -> None:
    link = online.pc_link(fresh(), return_url=RETURN_URL)
    opened = ask(sandbox, "/phone/scan", {"payer": "ada", "link": link})
    assert f'name="opened" value="{html.escape(link)}"' in opened.body
    paid = ask(sandbox, "/phone/act", {"payer": "ada", "opened": link, "action": "pay"})
    assert "Paid HKD 120.00. Back to the merchant" in text_of(paid.body)


def test_what_merchants_write_is_shown_as_text(
    sandbox: Sandbox, online: alipay_shop.Shop, wechat: wechat_shop.Shop
) -> None:
    phone = Handset(sandbox, "bao")
    phone.scan(online.pc_link(fresh(), subject=SCRIPT, return_url=RETURN_URL))
    paid = phone.act("pay")
    chen = Handset(sandbox, "chen")
    wechat.scan_code(chen.code("password"), body=SCRIPT)
    waiting = chen.send("faults", action="clear")
    for region in (paid.region("order"), paid.region("history"), waiting.region("waiting")):
        assert html.unescape(region).count(SCRIPT) >= 1
        assert "<script" not in region
        assert "<img" not in region
    chen.act("cancel", number=re.findall(r'name="number" value="(\d+)"', waiting.region("waiting"))[0])
