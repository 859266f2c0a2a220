"""The pages of single payments: their content, access, languages and content policy."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.end_to_end.checkout import DESKTOP, IN_WECHAT, PHONE, choose, look, opened
from tests.end_to_end.merchant import ALL_TYPES, OFFLINE, Merchant, send
from tests.end_to_end.rig import Demo, eventually
from tests.support.commands import run_tael
from tests.support.http_calls import Answer


def page_of(shop: Merchant, wallet: str, agent: str = DESKTOP, **given: str) -> tuple[str, str]:
    """The page of a new order, and the order's number."""
    path = choose(shop, opened(shop, **given), wallet, agent).headers["location"].partition("?")[0]
    return path, path.split("/")[4]


def in_wechat_path(shop: Merchant) -> str:
    """A payment's page inside WeChat, by its `pay_url`."""
    return str(shop.open("800207")["pay_url"]).removeprefix(shop.demo.gateway)


def state_of(shop: Merchant, path: str) -> str:
    return str(look(shop, f"{path}/state").members["state"])


def text_of(answer: Answer) -> str:
    return answer.body.decode()


# ---- access to a payment -----------------------------------------------------------------------------------------


def test_an_address_without_its_token_looks_like_an_unknown_payment(shop: Merchant) -> None:
    path, syssn = page_of(shop, "alipay")
    token = path.rpartition("/")[2]
    other = page_of(shop, "alipay")[0].rpartition("/")[2]
    wrong = [token[:-1], f"{token}A", token.swapcase(), other, "x"]
    unknown = look(shop, f"/cashier/pay/{shop.mchid}/{'1' * 24}/{token}")

    assert unknown.status == 404
    for each in wrong:
        answer = look(shop, f"/cashier/pay/{shop.mchid}/{syssn}/{each}")
        assert answer.status == 404, each
        assert _without_nonce(answer) == _without_nonce(unknown)
        assert look(shop, f"/cashier/pay/{shop.mchid}/{syssn}/{each}/state").status == 404
        assert look(shop, f"/cashier/pay/{shop.mchid}/{syssn}/{each}/onward").status == 404


def _without_nonce(answer: Answer) -> str:
    return re.sub(r'nonce="[^"]+"', "", text_of(answer))


def test_a_token_opens_the_payment_of_its_own_merchant_only(shop: Merchant, chain: Merchant) -> None:
    path, syssn = page_of(shop, "alipay")
    token = path.rpartition("/")[2]

    assert look(shop, f"/cashier/pay/{chain.mchid}/{syssn}/{token}").status == 404


def test_the_address_inside_wechat_works_with_its_token_only(shop: Merchant, demo: Demo) -> None:
    opened_there = shop.open("800207")
    path = str(opened_there["pay_url"]).removeprefix(demo.gateway)
    without = path.rpartition("/")[0]

    assert without == f"/cashier/wechat/{shop.mchid}/{opened_there['syssn']}"
    page = look(shop, path, IN_WECHAT)
    assert page.status == 200
    assert opened_there["pay_params"]["paySign"] in text_of(page)
    assert look(shop, without, IN_WECHAT).status == 404
    assert look(shop, f"{without}/wrong", IN_WECHAT).status == 404


@pytest.mark.parametrize("folder", ["pay", "wechat"])
@pytest.mark.parametrize("pay_type", ALL_TYPES)
def test_an_address_without_a_token_leads_nowhere(shop: Merchant, pay_type: str, folder: str) -> None:
    syssn, unknown = shop.open(pay_type)["syssn"], "1" * 24

    answer, never = (look(shop, f"/cashier/{folder}/{shop.mchid}/{number}") for number in (syssn, unknown))
    assert (answer.status, answer.body) == (never.status, never.body) == (404, never.body)


def test_an_operator_sees_the_page_of_an_online_payment_and_none_of_a_barcode_payment(
    shop: Merchant, demo: Demo
) -> None:
    for pay_type, has_page in (("800151", True), ("800201", True), ("800208", False)):
        syssn = shop.open(pay_type)["syssn"]
        shown = run_tael("payment", "show", syssn, "--data", str(demo.folder), "--json")
        payment = json.loads(shown.stdout)["payment"]
        assert ("page" in payment) is has_page
        if has_page:
            page = look(shop, payment["page"])
            assert page.status == 200
            assert 'class="qr"' in text_of(page)


# ---- content -----------------------------------------------------------------------------------------------------


def test_a_page_shows_payee_subject_and_amount_and_none_of_the_merchants_secrets(shop: Merchant) -> None:
    path, _ = page_of(shop, "wechat", txamt="3925", goods_name="White tea")
    page = look(shop, path)

    for shown in ("Harbour Tea", "White tea", "39.25", "HKD"):
        assert shown in text_of(page)
    assert shop.key not in re.sub(r"[0-9A-Za-z/_-]{16,}", "", text_of(page))
    assert "shop.example" not in text_of(page)


@pytest.mark.parametrize("wallet", ["alipay", "wechat"])
def test_a_code_to_scan_is_drawn_on_the_page(shop: Merchant, wallet: str) -> None:
    page = text_of(look(shop, page_of(shop, wallet)[0]))

    assert re.search(r'<div class="qr" role="img" aria-label="[^"]+"><svg[^>]*>.+</svg></div>', page)
    assert "data:" not in page
    assert "http://www.w3.org" not in re.sub(r'xmlns="[^"]+"', "", page)


def test_on_a_phone_a_button_leads_to_alipay_and_inside_wechat_a_text_explains_why_not(
    shop: Merchant,
) -> None:
    path, syssn = page_of(shop, "alipay", PHONE)
    links = re.findall(r'<a class="button alipay" href="([^"]+)"', text_of(look(shop, path, PHONE)))

    assert len(links) == 1
    assert syssn in links[0]
    inside = text_of(look(shop, path, IN_WECHAT))
    assert "Alipay cannot be used inside WeChat" in inside
    assert "button alipay" not in inside


@pytest.mark.parametrize("pay_type", OFFLINE)
def test_a_barcode_payment_has_no_page(shop: Merchant, pay_type: str) -> None:
    path, _ = page_of(shop, "wechat")
    syssn = shop.open(pay_type)["syssn"]

    assert look(shop, path.replace(path.split("/")[4], syssn)).status == 404


@pytest.mark.parametrize("wallet", ["alipay", "wechat"])
def test_the_state_goes_from_pending_to_paid_and_shows_nothing_else(
    shop: Merchant, demo: Demo, wallet: str
) -> None:
    path, syssn = page_of(shop, wallet)
    asked = look(shop, f"{path}/state")
    assert asked.members == {"state": "pending"}
    assert asked.headers["cache-control"] == "no-store"

    pay_by_phone(shop, demo, path, syssn)

    shop.until(syssn, "0000")
    assert eventually(lambda: state_of(shop, path), lambda state: state == "paid") == "paid"
    assert "Paid" in text_of(look(shop, path))


def pay_by_phone(shop: Merchant, demo: Demo, path: str, syssn: str) -> None:
    """A WeChat order exists at its wallet at once, one of Alipay's once its address was opened."""
    links = re.findall(r'href="([^"]+/open)"', text_of(look(shop, path)))
    if links:
        demo.confirm(url=demo.gateway + links[0])
    else:
        demo.confirm(trade=syssn)


def test_the_page_of_a_closed_order_shows_its_state_and_no_code(shop: Merchant) -> None:
    path, syssn = page_of(shop, "wechat")
    assert shop.call("close", syssn=syssn).respcd == "0000"

    assert eventually(lambda: state_of(shop, path), lambda state: state == "closed") == "closed"
    page = text_of(look(shop, path))
    assert "Order closed" in page
    assert 'class="qr"' not in page


def test_the_page_of_an_expired_order_shows_its_state(shop: Merchant, demo: Demo) -> None:
    path, syssn = page_of(shop, "wechat", expired_time="5")
    demo.advance(301)

    shop.until(syssn, "1181")
    assert eventually(lambda: state_of(shop, path), lambda state: state == "expired") == "expired"
    assert "Order expired" in text_of(look(shop, path))


def test_inside_wechat_the_page_shows_the_result_once_there_is_one(shop: Merchant, demo: Demo) -> None:
    paid = shop.open("800207")
    path = str(paid["pay_url"]).removeprefix(demo.gateway)
    demo.confirm(trade=paid["syssn"])
    shop.until(paid["syssn"], "0000")

    page = text_of(look(shop, path, IN_WECHAT))
    assert "Paid" in page
    assert paid["pay_params"]["paySign"] not in page


@pytest.fixture
def with_return_url(shop: Merchant, demo: Demo) -> Iterator[None]:
    demo.set_app(shop.appcode, "--return-url", "https://shop.example/back?a=b")
    yield
    demo.set_app(shop.appcode, "--return-url", "")


def test_the_page_of_an_alipay_payment_leads_to_the_apps_return_url_and_wechats_does_not(
    shop: Merchant, demo: Demo, with_return_url: None
) -> None:
    for pay_type, back in (("800151", "https://shop.example/back?a=b&mchid="), ("800201", "/cashier/pay/")):
        paid = shop.paid(pay_type)
        shown = run_tael("payment", "show", paid["syssn"], "--data", str(demo.folder), "--json")
        path = json.loads(shown.stdout)["payment"]["page"]
        assert look(shop, f"{path}/onward").headers["location"].startswith(back)
        assert ("Back to the shop" in text_of(look(shop, path))) is (pay_type == "800151")


# ---- languages and content policy ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "accept", "lang", "text"),
    [
        ("", "en-GB,en;q=0.9", "en", "Time left"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans", "剩余时间"),
        ("", "zh-TW,zh;q=0.9", "zh-Hant", "剩餘時間"),
        ("", "fr-FR, de;q=0.7", "en", "Time left"),
        ("?lang=zh-hk", "en", "zh-Hant", "剩餘時間"),
        ("?lang=zh-cn", "en", "zh-Hans", "剩余时间"),
        ("?lang=<script>", "zh", "zh-Hans", "剩余时间"),
    ],
)
def test_a_page_is_in_the_requested_language_or_the_browsers(
    shop: Merchant, query: str, accept: str, lang: str, text: str
) -> None:
    page = text_of(look(shop, page_of(shop, "wechat")[0] + query, lang=accept))

    assert f'<html lang="{lang}">' in page
    assert text in page
    assert "<script>" not in page


def test_pages_load_nothing_from_elsewhere(shop: Merchant) -> None:
    link = opened(shop)
    gone = f"/cashier/pay/{shop.mchid}/1/x"
    for path in (link, page_of(shop, "alipay")[0], in_wechat_path(shop), "/checkstand/", gone):
        page = look(shop, path)
        policy = dict(
            part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";")
        )
        nonce = policy["script-src"].removeprefix("'nonce-").removesuffix("'")
        assert policy["default-src"] == "'none'"
        assert policy["style-src"] == policy["script-src"] == f"'nonce-{nonce}'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert page.headers["cache-control"] == "no-store"
        # Of a page that leads to a wallet's, which may ask from which site its payers come: only that.
        assert page.headers["referrer-policy"] in ("no-referrer", "strict-origin")
        assert page.headers["x-content-type-options"] == "nosniff"
        text = text_of(page)
        scripts = re.findall(r"<(?:script|style)\b([^>]*)>", text)
        assert scripts
        assert all(attributes == f' nonce="{nonce}"' for attributes in scripts)
        assert not re.search(r'\son\w+="|\sstyle="|<(?:link|img|iframe)\b', text)


def test_a_subject_with_a_script_in_it_is_text(shop: Merchant) -> None:
    page = text_of(look(shop, page_of(shop, "wechat", goods_name="<script>alert(1)</script>")[0]))

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page


# ---- the return page -----------------------------------------------------------------------------------------------


def test_without_a_return_url_the_payer_sees_the_result_in_their_language(
    chain: Merchant, demo: Demo
) -> None:
    paid = chain.open("800151")
    address = str(demo.confirm(url=paid["pay_url"])["return_to"])
    page = send(
        demo.gateway, "GET", address.removeprefix(demo.gateway), headers=[("Accept-Language", "zh-HK")]
    )

    assert page.status == 200
    assert "支付成功" in text_of(page)


@pytest.fixture
def no_payment_report(demo: Demo) -> Iterator[None]:
    """No report of a payment arrives from Alipay: its notices are lost and its records cannot be read."""
    demo.put_faults(
        {"wallet": "alipay", "operation": "notice", "kind": "drop_notice", "times": 50},
        {"wallet": "alipay", "operation": "single_trade_query", "kind": "http_500", "times": 50},
    )
    yield
    demo.put_faults()


def test_a_return_before_the_payment_is_known_waits_on_a_live_page(
    shop: Merchant, demo: Demo, no_payment_report: None
) -> None:
    paid = shop.open("800151")
    address = str(demo.confirm(url=paid["pay_url"])["return_to"])
    page = text_of(send(demo.gateway, "GET", address.removeprefix(demo.gateway)))
    asks = re.findall(r'data-state-path="([^"]+)"', page)[0]
    assert look(shop, asks).members == {"state": "pending"}

    demo.put_faults()
    shop.until(paid["syssn"], "0000")
    assert eventually(lambda: look(shop, asks).members["state"], lambda state: state == "paid") == "paid"


def test_an_unsigned_return_is_no_payment(shop: Merchant, demo: Demo) -> None:
    paid, other = shop.open("800151"), shop.open("800151")
    address = str(demo.confirm(url=paid["pay_url"])["return_to"]).removeprefix(demo.gateway)

    for forged in (address.replace(paid["syssn"], other["syssn"]), address.partition("?")[0]):
        page = send(demo.gateway, "GET", forged)
        assert page.status == 400
        assert "Payment not found" in text_of(page)
